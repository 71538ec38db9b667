//! The control endpoint over real sockets.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::net::SocketAddr;
use std::time::Duration;

use mysa_sim::{CloudSpec, DeviceFault, Fault, Names};
use mysa_sim_server::{Certificate, ControlClient, ControlError, Limits, Notice, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const LIVING: &str = "a0b1c2d3e4f5";

struct Bench {
    server: Server,
    control: SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let certificate = Certificate::for_cloud(&Names::default()).unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let mut spec = CloudSpec::demo().without_schedules();
        // Heaters are off for days in summer.
        spec.accounts[0].homes[0].weather.season = 0.0;
        let start = Server::start_with(any, certificate, spec, 1, 1.0, limits);
        let mut server = start.await.unwrap();
        let control = server.open_control(any).await.unwrap();
        // Nothing happens by itself while a test looks.
        server.freeze();
        Self { server, control }
    }

    /// Sends the bytes and reads until the endpoint closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.control).await.unwrap();
        // The endpoint may have closed already, where its time limit is short.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let host = self.control;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.raw(&request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send("POST", path, &body.to_string()).await;
        assert!(status == 200 || status == 201, "{path}: {status} {answer}");
        answer
    }

    /// A stream of events as lines, after its head.
    async fn follow(&self, query: &str, accept: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.control).await.unwrap();
        let host = self.control;
        let request = format!("GET /events{query} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }
}

/// The next line that begins with this.
async fn line(stream: &mut BufReader<TcpStream>, start: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the stream ended");
        if line.starts_with(start) {
            return line.trim_end().to_owned();
        }
    }
}

#[tokio::test]
async fn accounts_homes_and_devices_are_listed_with_their_physical_truth() {
    let bench = Bench::new().await;
    let status = bench.get("/status").await;
    assert_eq!((&status["seed"], &status["devices"]), (&json!(1), &json!(5)));
    assert_eq!(status["address"], bench.server.address().to_string());
    let accounts = bench.get("/accounts").await;
    assert_eq!(accounts[0]["email"], CloudSpec::DEMO_EMAIL);
    assert!(!accounts.to_string().contains(CloudSpec::DEMO_PASSWORD));
    let homes = bench.get("/homes").await;
    assert_eq!(homes[0]["id"], accounts[0]["homes"][0]);
    assert_eq!(homes[0]["devices"].as_array().unwrap().len(), 5);
    let home = homes[0]["id"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/homes/{home}")).await, homes[0]);
    let devices = bench.get("/devices").await;
    let living = &devices[0];
    assert_eq!(
        (&living["id"], &living["name"], &living["mode"]),
        (&json!(LIVING), &json!("Living room"), &json!("heat"))
    );
    assert!(living["room_c"].as_f64().unwrap() > 15.0 && living["watts"].is_number(), "{living}");
    assert_eq!(bench.get(&format!("/devices/{LIVING}")).await, *living);
    assert_eq!(bench.get("/counters").await["http_requests"], 0);
    assert_eq!(bench.get("/connections").await, json!([]));
}

#[tokio::test]
async fn a_person_changes_rooms_weather_setpoints_and_buttons() {
    let bench = Bench::new().await;
    let path = |action: &str| format!("/devices/{LIVING}/{action}");
    assert_eq!(bench.post(&path("room"), json!({ "celsius": 12.5 })).await["room_c"], 12.5);
    assert_eq!(bench.post(&path("setpoint"), json!({ "celsius": 22 })).await["setpoint_c"], 22.0);
    assert_eq!(bench.post(&path("press"), json!({ "button": "up" })).await["setpoint_c"], 22.5);
    assert_eq!(bench.post(&path("mode"), json!({ "mode": "off" })).await["mode"], "off");
    let commands = bench.get(&path("commands")).await;
    let outcomes: Vec<&Value> = commands.as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("applied"); 3]);
    assert_eq!(
        (&commands[0]["origin"], &commands[0]["wanted"]),
        (&json!("button"), &json!({ "setpoint_c": 22.0 }))
    );
    let home = bench.get("/homes").await[0]["id"].as_str().unwrap().to_owned();
    let weather = json!({ "mean_c": -30, "season_k": 0, "day_k": 0, "variation_k": 0 });
    assert_eq!(bench.post(&format!("/homes/{home}/weather"), weather).await["outdoors_c"], -30.0);
    assert_eq!(bench.get("/devices").await[0]["firmware_offer"], Value::Null);
    let offered = bench.post(&path("firmware"), json!({ "offer": "9.9.9" })).await;
    assert_eq!((&offered["firmware"], &offered["firmware_offer"]), (&json!("3.16.2.3"), &json!("9.9.9")));
    assert_eq!(bench.post(&path("firmware"), json!({ "offer": null })).await["firmware_offer"], Value::Null);
    bench.post(&path("reboot"), json!({})).await;
    bench.post("/clock", json!({ "advance_s": 10 })).await;
    assert_eq!(bench.get(&path("")[..path("").len() - 1]).await["boots"], 2);
}

#[tokio::test]
async fn faults_start_now_or_later_and_end() {
    let bench = Bench::new().await;
    let body = json!({ "name": "drop-acks", "device": LIVING, "after_s": 60, "for_s": 30 });
    let id = bench.post("/faults", body).await["ids"][0].as_u64().unwrap();
    let faults = bench.get("/faults").await;
    let fault = &faults[0];
    assert_eq!(
        (&fault["id"], &fault["name"], &fault["active"]),
        (&json!(id), &json!("drop-acks"), &json!(false))
    );
    bench.post("/clock", json!({ "advance_s": 65 })).await;
    assert_eq!(bench.get("/faults").await[0]["active"], true);
    bench.server.with_cloud(|cloud, _| {
        let (_, window) = cloud.faults().next().unwrap();
        assert!(matches!(window.fault, Fault::Device(Some(_), DeviceFault::DropAcks)));
    });
    bench.post("/clock", json!({ "advance_s": 30 })).await;
    assert_eq!(bench.get("/faults").await, json!([]));

    let planned = bench.post("/faults", json!({ "name": "press", "after_s": 60 })).await;
    assert_eq!(planned["ids"].as_array().unwrap().len(), 5);
    let first = planned["ids"][0].as_u64().unwrap();
    assert_eq!(bench.send("DELETE", &format!("/faults/{first}"), "").await.0, 200);
    assert_eq!(bench.send("DELETE", &format!("/faults/{first}"), "").await.0, 404);
    bench.post("/clock", json!({ "advance_s": 61 })).await;
    let pressed: Vec<bool> =
        bench.get("/devices").await.as_array().unwrap().iter().map(|one| one["setpoint_c"] == 16.0).collect();
    assert_eq!(pressed, [false, true, true, true, true]);

    bench.post("/faults", json!({ "name": "rest-down" })).await;
    assert_eq!(bench.send("DELETE", "/faults", "").await.0, 200);
    assert_eq!(bench.get("/faults").await, json!([]));
    let names = bench.get("/fault-names").await;
    assert!(
        names
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "drop-acks" && one["happens_once"] == false)
    );
}

#[tokio::test]
async fn a_device_is_taken_offline_and_back() {
    let bench = Bench::new().await;
    let path = format!("/devices/{LIVING}/online");
    for _ in 0..2 {
        assert_eq!(bench.post(&path, json!({ "online": false })).await["online"], false);
    }
    assert_eq!(bench.get("/faults").await.as_array().unwrap().len(), 1, "once");
    assert_eq!(bench.get("/devices").await[1]["online"], true, "the others stay");
    assert_eq!(bench.post(&path, json!({ "online": true })).await["online"], true);
    assert_eq!(bench.get("/faults").await, json!([]));
}

#[tokio::test]
async fn the_clock_is_frozen_moved_and_released() {
    let bench = Bench::new().await;
    let before = bench.get("/clock").await;
    assert_eq!((&before["frozen"], &before), (&json!(true), &bench.get("/clock").await));
    let after = bench.post("/clock", json!({ "advance_s": 3600 })).await;
    let moved = after["unix_ms"].as_i64().unwrap() - before["unix_ms"].as_i64().unwrap();
    assert_eq!((moved, &after["frozen"]), (3_600_000, &json!(true)));
    assert!(bench.get("/devices").await[0]["energy_kwh"].as_f64().unwrap() > 0.1, "an hour of heating");
    assert_eq!(bench.post("/clock", json!({ "frozen": false })).await["frozen"], false);
    let both = bench.post("/clock", json!({ "frozen": true, "advance_s": 10 })).await;
    assert_eq!(both["frozen"], true);
}

#[tokio::test]
async fn events_are_followed_as_lines_and_as_server_sent_events() {
    let bench = Bench::new().await;
    let mut events = bench.server.events();
    let mut lines = bench.follow("", "*/*").await;
    let head = line(&mut lines, "HTTP/1.1").await;
    assert!(head.ends_with("200 OK"), "{head}");
    assert_eq!(line(&mut lines, "content-type").await, "content-type: application/x-ndjson");
    bench.post(&format!("/devices/{LIVING}/room"), json!({ "celsius": 12.5 })).await;
    let event: Value = serde_json::from_str(&line(&mut lines, "{").await).unwrap();
    assert_eq!(
        (&event["event"], &event["device"], &event["room_c"]),
        (&json!("room-set"), &json!(LIVING), &json!(12.5))
    );
    let Some(Notice::Event(same)) = events.next().await else { panic!("the same by the Rust API") };
    assert_eq!(same.at.wall.as_millis(), event["unix_ms"].as_i64().unwrap());

    let mut sse = bench.follow("?since=0", "text/event-stream").await;
    assert_eq!(line(&mut sse, "content-type").await, "content-type: text/event-stream");
    assert_eq!(line(&mut sse, "id: ").await, format!("id: {}", event["number"]));
    let data = line(&mut sse, "data: ").await;
    assert_eq!(serde_json::from_str::<Value>(&data[6..]).unwrap(), event, "what happened before");
    bench.post(&format!("/devices/{LIVING}/press"), json!({ "button": "up" })).await;
    let command = loop {
        let event: Value = serde_json::from_str(&line(&mut lines, "{").await).unwrap();
        if event["event"] == "command" {
            break event;
        }
    };
    assert_eq!((&command["outcome"], &command["origin"]), (&json!("applied"), &json!("button")));
    drop(lines);
    drop(sse);
    assert_eq!(bench.send("GET", "/events?from=3", "").await.0, 400);
}

#[tokio::test]
async fn subscribers_are_limited() {
    let mut limits = Limits::default();
    limits.subscribers = 1;
    let bench = Bench::with(limits).await;
    let mut first = bench.follow("", "*/*").await;
    line(&mut first, "HTTP/1.1 200").await;
    let (status, body) = bench.send("GET", "/events", "").await;
    assert_eq!(status, 503, "{body}");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_refused_until_another_ends() {
    let mut limits = Limits::default();
    limits.control_connections = 1;
    let bench = Bench::with(limits).await;
    let mut first = bench.follow("", "*/*").await;
    line(&mut first, "HTTP/1.1 200").await;
    let (status, body) = bench.send("GET", "/clock", "").await;
    assert_eq!((status, &body["error"]), (503, &json!("too many connections")));
    drop(first);
    // The end is noticed with the next event.
    loop {
        bench.server.with_cloud(|cloud, now| cloud.act(now, mysa_sim::Incident::ExpireTokens));
        if bench.send("GET", "/clock", "").await.0 == 200 {
            break;
        }
    }
}

#[tokio::test]
async fn requests_of_other_web_sites_are_refused() {
    let bench = Bench::new().await;
    let port = bench.control.port();
    let own = format!("127.0.0.1:{port}");
    for (host, more) in [
        ("evil.example".to_owned(), String::new()),
        (own.clone(), "Origin: http://evil.example\r\n".into()),
        (own.clone(), "Sec-Fetch-Site: cross-site\r\n".into()),
    ] {
        let request = format!("DELETE /faults HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
        let answer = bench.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{host} {more} {answer}");
    }
    // A form or a script without a preflight cannot send this type.
    let request = format!(
        "POST /faults HTTP/1.1\r\nHost: {own}\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\
         Connection: close\r\n\r\n{{\"name\":\"cut\"}}"
    );
    let answer = bench.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    let own_page =
        format!("GET / HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\nConnection: close\r\n\r\n");
    let answer = bench.raw(&own_page).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("frame-ancestors 'none'"), "{answer}");
}

#[tokio::test]
async fn invalid_requests_are_refused_with_their_reason() {
    let bench = Bench::new().await;
    for (method, path, body, status, why) in [
        ("GET", "/nothing", "", 404, "openapi.json"),
        ("PUT", "/devices", "", 405, "GET"),
        ("GET", "/devices/ffffffffffff", "", 404, "no thermostat"),
        ("GET", "/devices/x%2F", "", 404, "no thermostat"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "", 400, "celsius"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "[", 400, "JSON"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "[1]", 400, "object"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "{\"celsius\":\"1\"}", 400, "celsius"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "{\"celsius\":1e9}", 400, "60"),
        ("POST", "/devices/a0b1c2d3e4f5/room", "{\"fahrenheit\":1}", 400, "celsius"),
        ("POST", "/devices/a0b1c2d3e4f5/setpoint", "{\"celsius\":99}", 400, "range"),
        ("POST", "/devices/a0b1c2d3e4f5/mode", "{\"mode\":\"sauna\"}", 400, "heat"),
        ("POST", "/devices/a0b1c2d3e4f5/mode", "{\"mode\":\"cool\"}", 400, "mode"),
        ("POST", "/devices/a0b1c2d3e4f5/press", "{\"button\":\"left\"}", 400, "up or down"),
        ("POST", "/devices/a0b1c2d3e4f5/fly", "{}", 404, "route"),
        ("POST", "/homes/x/weather", "{}", 404, "no home"),
        ("POST", "/faults", "{\"name\":\"rain\"}", 400, "fault-names"),
        ("POST", "/faults", "{\"name\":\"cut\",\"for_s\":1}", 400, "once"),
        ("POST", "/faults", "{\"name\":\"cut\",\"after_s\":-1}", 400, "after_s"),
        ("DELETE", "/faults/99", "", 404, "no fault"),
        ("POST", "/clock", "{\"advance_s\":1e12}", 400, "advance_s"),
        ("POST", "/clock", "{\"frozen\":1}", 400, "true or false"),
    ] {
        let (got, answer) = bench.send(method, path, body).await;
        assert_eq!(got, status, "{method} {path} {body}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(why), "{method} {path} {body}: {error}");
    }
    bench.post("/faults", json!({ "name": "powerless", "device": LIVING })).await;
    let (status, _) = bench.send("POST", &format!("/devices/{LIVING}/press"), "{\"button\":\"up\"}").await;
    assert_eq!(status, 409, "without power");
    let large = "x".repeat(70_000);
    assert_eq!(bench.send("POST", "/faults", &large).await.0, 413);
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut() {
    let mut limits = Limits::default();
    limits.header = Duration::from_millis(50);
    limits.body = Duration::from_millis(50);
    let bench = Bench::with(limits).await;
    assert_eq!(bench.raw("GET /clock HTTP/1.1\r\nHost: 127").await, "");
    let host = bench.control;
    let head = format!("POST /clock HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n{{");
    let answer = bench.raw(&head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let mut bench = Bench::new().await;
    let refused = bench.server.open_control(([0, 0, 0, 0], 0).into()).await;
    assert!(refused.is_err());
    let taken = bench.server.open_control(bench.control).await;
    assert!(taken.is_err());
}

#[tokio::test]
async fn another_program_controls_it_by_its_address() {
    let bench = Bench::new().await;
    let client = ControlClient::new(bench.control);
    let mut events = client.follow(Some(0)).await.unwrap();
    let path = format!("/devices/{LIVING}/room");
    let answer = client.send("POST", &path, Some("{\"celsius\":12.5}")).await.unwrap();
    assert!(answer.is_success() && answer.body.contains("\"room_c\":12.5"), "{answer:?}");
    let event: Value = serde_json::from_str(&events.next().await.unwrap().unwrap()).unwrap();
    assert_eq!((&event["event"], &event["number"]), (&json!("room-set"), &json!(1)));
    let refused = client.send("POST", &path, Some("{}")).await.unwrap();
    assert!((refused.status, refused.is_success()) == (400, false), "{refused:?}");
    assert!(matches!(client.send("G T", "/", None).await, Err(ControlError::Request)));
    drop(bench);
    assert!(!matches!(events.next().await, Ok(Some(_))), "the simulator has ended");
    assert!(matches!(client.send("GET", "/status", None).await, Err(ControlError::Connect(_))));
}
