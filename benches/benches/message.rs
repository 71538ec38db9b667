//! Decoding a device's message, compared with serde_json into structs that borrow and name only these fields, and into
//! a `Value`. All three return the same temperature.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use mysa_benches::Contest;
use mysa_proto::{Body, Message, TopicKind};
use serde::Deserialize;
use serde_json::Value;

const STATUS: &str = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
const V1_STATUS: &str = r#"{"ComboTemp":22.41,"Current":6.27,"Device":"a0b1c2d3e4f5","Humidity":41.0,"MainTemp":19.65,"MsgType":0,"SetPoint":20.5,"Stream":1,"ThermistorTemp":0.0,"Timestamp":1767323045}"#;
const ACK: &str = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f5"},"time":1767323045,"msg":44,"id":7100200300400500621,"resp_id":1767323045678,"body":{"state":{"br":50,"ho":1,"lk":0,"md":3,"sp":21.5},"success":1,"trig_src":3,"type":1}}"#;

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Mcm<'a, B> {
    ver: Option<&'a str>,
    #[serde(borrow)]
    src: Option<Party<'a>>,
    time: Option<i64>,
    msg: Option<i64>,
    id: Option<u64>,
    resp_id: Option<u64>,
    body: Option<B>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Party<'a> {
    r#type: Option<i64>,
    r#ref: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Status {
    amb_temp: Option<f64>,
    hum: Option<f64>,
    stpt: Option<f64>,
    dty_cycle: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct V1Status<'a> {
    combo_temp: Option<f64>,
    current: Option<f64>,
    device: Option<&'a str>,
    humidity: Option<f64>,
    main_temp: Option<f64>,
    msg_type: Option<i64>,
    set_point: Option<f64>,
    stream: Option<i64>,
    thermistor_temp: Option<f64>,
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Ack {
    state: Option<State>,
    success: Option<i64>,
    trig_src: Option<i64>,
    r#type: Option<i64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct State {
    br: Option<i64>,
    ho: Option<i64>,
    lk: Option<i64>,
    md: Option<i64>,
    sp: Option<f64>,
}

fn ours(payload: &str) -> f64 {
    let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
    let celsius = match message.body {
        Body::Status(status) => status.ambient,
        Body::V1Status(status) => status.ambient,
        Body::Ack(ack) => ack.state.unwrap().setpoint,
        _ => None,
    };
    celsius.unwrap().as_degrees()
}

fn value(payload: &str, pointer: &str) -> f64 {
    let value: Value = serde_json::from_slice(payload.as_bytes()).unwrap();
    value.pointer(pointer).unwrap().as_f64().unwrap()
}

fn main() {
    let status = || {
        let message: Mcm<'_, Status> = serde_json::from_slice(STATUS.as_bytes()).unwrap();
        message.body.unwrap().amb_temp.unwrap()
    };
    let v1 = || {
        let message: V1Status<'_> = serde_json::from_slice(V1_STATUS.as_bytes()).unwrap();
        message.main_temp.unwrap()
    };
    let ack = || {
        let message: Mcm<'_, Ack> = serde_json::from_slice(ACK.as_bytes()).unwrap();
        message.body.unwrap().state.unwrap().sp.unwrap()
    };
    type Run<'a> = &'a dyn Fn() -> f64;
    let contests: [(&str, &str, Run<'_>, &str); 3] = [
        ("message: V2 status, 165 bytes", STATUS, &status, "/body/ambTemp"),
        ("message: V1 status, 174 bytes", V1_STATUS, &v1, "/MainTemp"),
        ("message: acknowledgement, 219 bytes", ACK, &ack, "/body/state/sp"),
    ];
    for (title, payload, derived, pointer) in contests {
        assert_eq!((ours(payload), ours(payload)), (derived(), value(payload, pointer)), "{title}");
        let table = Contest::new(title, "message")
            .entry("mysa-proto", 1, || ours(payload))
            .entry("serde_json, derived structs", 1, derived)
            .entry("serde_json::Value", 1, || value(payload, pointer))
            .run();
        println!("{table}");
    }
}
