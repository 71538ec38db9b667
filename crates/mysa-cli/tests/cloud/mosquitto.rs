//! Mosquitto in a child process, and another MQTT client that records what the broker delivers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mysa_mqtt_codec::{
    ClientId, Connect, Delivery, Filter, Inbound, Login, Outbound, PacketId, Publish, QoS, Stream, Text,
    Topic,
};
use mysa_testkit::own_loopback;
use serde_json::Value;

use crate::bench::wait_until;
use crate::common::HANG_LIMIT;

/// Mosquitto, which ends with this value.
pub(crate) struct Mosquitto {
    process: Option<Child>,
    program: PathBuf,
    config: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Mosquitto {
    /// Starts mosquitto in a folder with these lines of configuration after its listener. `None`, with a message, if it is
    /// not installed; with `REQUIRE_BROKERS` set, as in CI, that is a failure.
    pub(crate) fn start(folder: &Path, lines: &str) -> Option<Self> {
        Self::start_at(own_loopback(std::process::id()), folder, lines)
    }

    /// Like [`Self::start`], with the address of the listener.
    pub(crate) fn start_at(host: Ipv4Addr, folder: &Path, lines: &str) -> Option<Self> {
        let places = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
        let Some(program) = places.into_iter().map(PathBuf::from).find(|path| path.exists()) else {
            assert!(std::env::var_os("REQUIRE_BROKERS").is_none(), "mosquitto is not installed");
            // Bypasses the test harness, which hides the output of passing tests.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: mosquitto is not installed (apt-get install mosquitto)"
            );
            return None;
        };
        let config = folder.join("mosquitto.conf");
        // A port that was free may be in use by the time the broker asks for it.
        for _ in 0..3 {
            let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap();
            let text = format!("persistence false\nlistener {} {host}\n{lines}\n", address.port());
            std::fs::write(&config, text).unwrap();
            let mut broker =
                Self { process: None, program: program.clone(), config: config.clone(), address };
            if broker.run() {
                return Some(broker);
            }
        }
        panic!("mosquitto is installed and does not start");
    }

    /// Starts the process and waits for its listener. Returns `false` if it ended.
    pub(crate) fn run(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        // As root, mosquitto would change to a user who cannot read the files of the test.
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let deadline = Instant::now() + HANG_LIMIT;
        let is_up = loop {
            if process.try_wait().unwrap().is_some() {
                break false;
            }
            if TcpStream::connect(self.address).is_ok() {
                break true;
            }
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        self.process = Some(process);
        is_up
    }

    /// Kills the process. It keeps nothing.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Client that subscribes to everything, as Home Assistant does to what it needs.
pub(crate) struct Observer {
    stream: TcpStream,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Latest payload of each topic.
    latest: BTreeMap<String, String>,
    /// Every message that was not retained.
    live: Vec<(String, String)>,
    subscribed: bool,
}

impl Observer {
    /// Connects and waits until everything that is retained has arrived.
    pub(crate) fn connect(address: SocketAddr, login: Option<(&str, &str)>) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        // A broker closes the older of two connections with the same client id.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client_id = format!("observer-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connect = Connect::new(ClientId::new(&client_id).unwrap(), 0);
        connect.login = login.map(|(user_name, password)| Login {
            user_name: Text::new(user_name).unwrap(),
            password: Some(password.as_bytes()),
        });
        let mut bytes = Vec::new();
        Outbound::Connect(connect).encode(&mut bytes).unwrap();
        let filters = [(Filter::new("#").unwrap(), QoS::AtMostOnce)];
        Outbound::Subscribe { id: PacketId::new(1).unwrap(), filters: &filters }.encode(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (mut reader, shared) = (stream.try_clone().unwrap(), Arc::clone(&seen));
        // Ends with the connection.
        std::thread::spawn(move || {
            let mut decoder = Stream::new(1 << 20);
            let mut buffer = [0; 4_096];
            while let Ok(len @ 1..) = reader.read(&mut buffer) {
                let mut bytes = &buffer[..len];
                while let Some(packet) = decoder.next(&mut bytes).unwrap() {
                    shared.lock().unwrap().take(packet);
                }
            }
        });
        let observer = Self { stream, seen };
        wait_until("the subscription", || observer.seen.lock().unwrap().subscribed);
        observer
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let mut bytes = Vec::new();
        let publish = Publish::new(Topic::new(topic).unwrap(), payload.as_bytes(), Delivery::AtMostOnce);
        Publish { retain, ..publish }.encode(&mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Latest payload of a topic.
    pub(crate) fn latest(&self, topic: &str) -> Option<String> {
        self.seen.lock().unwrap().latest.get(topic).cloned()
    }

    pub(crate) fn json(&self, topic: &str) -> Option<Value> {
        self.latest(topic).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// Topics with a payload.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.seen.lock().unwrap().latest.keys().cloned().collect()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, topic: &str, payload: &str) {
        wait_until(&format!("{topic} {payload}"), || self.latest(topic).as_deref() == Some(payload));
    }

    /// Live messages to a topic, as JSON.
    pub(crate) fn live(&self, topic: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let messages = seen.live.iter().filter(|(other, _)| other == topic);
        messages.map(|(_, payload)| serde_json::from_str(payload).unwrap()).collect()
    }
}

impl Observer {
    /// Payloads of the live messages to a topic.
    pub(crate) fn texts(&self, topic: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.live.iter().filter(|(other, _)| other == topic).map(|(_, payload)| payload.clone()).collect()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Seen {
    fn take(&mut self, packet: Inbound<'_>) {
        match packet {
            Inbound::SubAck(_) => self.subscribed = true,
            Inbound::Publish(publish) => {
                let topic = publish.topic.as_str().to_owned();
                let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                if !publish.retain {
                    self.live.push((topic.clone(), payload.clone()));
                }
                if payload.is_empty() {
                    self.latest.remove(&topic);
                } else {
                    self.latest.insert(topic, payload);
                }
            }
            _ => {}
        }
    }
}
