//! The broker aedes in a child process, by TCP and by WebSocket with one byte in each frame.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mysa_testkit::own_loopback;

/// Aedes, which ends with this value.
pub(crate) struct Aedes {
    process: Option<Child>,
    modules: PathBuf,
    /// Certificate and key of the WebSocket.
    tls: Option<[PathBuf; 2]>,
    pub(crate) plain: SocketAddr,
    pub(crate) websocket: SocketAddr,
}

impl Aedes {
    /// Starts the broker. `None`, with a message, if it is not installed; with `REQUIRE_BROKERS` set, as in CI, that is a
    /// failure.
    pub(crate) fn start(tls: Option<[PathBuf; 2]>) -> Option<Self> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop/npm/node_modules");
        if !modules.join("aedes").exists() || !modules.join("ws").exists() {
            let missing = "aedes is not installed (.ci/interop/fetch)";
            assert!(std::env::var_os("REQUIRE_BROKERS").is_none(), "{missing}");
            // Bypasses the test harness, which hides the output of passing tests.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
            return None;
        }
        // Certificates are for "localhost".
        let host = if tls.is_some() { Ipv4Addr::LOCALHOST } else { own_loopback(std::process::id()) };
        let any = SocketAddr::from((host, 0));
        let mut broker = Self { process: None, modules, tls, plain: any, websocket: any };
        assert!(broker.run(), "aedes is installed and does not start");
        Some(broker)
    }

    /// Starts the process, on the ports that it had before, and waits for its listeners. Returns `false` if it ended.
    pub(crate) fn run(&mut self) -> bool {
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mysa-tokio/tests/data/aedes.cjs"));
        command.args([self.websocket, self.plain].map(|address| address.port().to_string()));
        command.args(self.tls.iter().flatten()).env("NODE_PATH", &self.modules);
        command.env("LISTEN_HOST", self.plain.ip().to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ports = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ports).unwrap();
        self.process = Some(process);
        let ports: Vec<u16> = ports.split_whitespace().map(|port| port.parse().unwrap()).collect();
        let [websocket, plain] = ports[..] else { return false };
        self.websocket.set_port(websocket);
        self.plain.set_port(plain);
        true
    }

    /// Kills the process. It keeps nothing.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Aedes {
    fn drop(&mut self) {
        self.kill();
    }
}
