use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysa_testkit::own_loopback;

/// Broker in a child process, which ends with this value.
pub(crate) struct Broker {
    process: Child,
    websocket: SocketAddr,
    plain: SocketAddr,
    /// Program and configuration file of mosquitto.
    configuration: Option<(PathBuf, PathBuf)>,
}

impl Broker {
    /// Starts mosquitto with a listener for WebSocket and one for plain MQTT; `None` if it is not installed.
    pub(crate) async fn mosquitto() -> Option<Self> {
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())?;
        // A port that was free may be in use by the time the broker asks for it.
        for _ in 0..3 {
            let (websocket, plain) = (free_port(), free_port());
            let name = format!("mysa-broker-{}-{}.conf", std::process::id(), plain.port());
            let file = std::env::temp_dir().join(name);
            let configuration = format!(
                "persistence false\nallow_anonymous true\nlistener {} {}\nsocket_domain ipv4\n\
                 listener {} {}\nsocket_domain ipv4\nprotocol websockets\n",
                plain.port(),
                plain.ip(),
                websocket.port(),
                websocket.ip()
            );
            fs::write(&file, configuration).expect("a configuration can be written");
            let process = spawn_mosquitto(&program, &file);
            let configuration = Some((program.clone(), file));
            let mut broker = Self { process, websocket, plain, configuration };
            if broker.is_up().await {
                return Some(broker);
            }
        }
        panic!("mosquitto is installed and does not start");
    }

    /// Starts aedes, which sends one byte per frame; `None` if it is not installed.
    pub(crate) async fn aedes() -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = here.join("../../target/interop/npm/node_modules");
        if !modules.join("aedes").exists() || !modules.join("ws").exists() {
            return None;
        }
        let mut process = Command::new("node")
            .arg(here.join("tests/data/aedes.cjs"))
            .env("NODE_PATH", &modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut ports = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut ports).expect("aedes prints its ports");
        let mut ports = ports.split_whitespace().map(|port| loopback(port.parse().expect("a port")));
        let (Some(websocket), Some(plain)) = (ports.next(), ports.next()) else {
            panic!("aedes is installed and does not start")
        };
        Some(Self { process, websocket, plain, configuration: None })
    }

    pub(crate) const fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    pub(crate) const fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// Kills the broker and starts it again on the same ports.
    pub(crate) async fn restart(&mut self) {
        self.end();
        let (program, file) = self.configuration.as_ref().expect("mosquitto");
        self.process = spawn_mosquitto(program, file);
        assert!(self.is_up().await, "mosquitto did not come back");
    }

    /// Waits for both listeners. Returns `false` if the process ended.
    async fn is_up(&mut self) -> bool {
        // The limit only ends a hang.
        for _ in 0..30_000 {
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            if [self.websocket, self.plain].iter().all(|address| TcpStream::connect(address).is_ok()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
        if let Some((_, file)) = &self.configuration {
            let _ = fs::remove_file(file);
        }
    }
}

fn spawn_mosquitto(program: &Path, configuration: &Path) -> Child {
    Command::new(program)
        .arg("-c")
        .arg(configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto runs")
}

fn free_port() -> SocketAddr {
    TcpListener::bind((own_loopback(std::process::id()), 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
