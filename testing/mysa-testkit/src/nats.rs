use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A `nats-server` with JetStream in a child process, which ends with this value.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Child>,
    program: PathBuf,
    config: PathBuf,
    address: SocketAddr,
}

/// Longer than a server takes to start on a slow machine; it only ends a hang.
const START_LIMIT: Duration = Duration::from_secs(600);

impl NatsServer {
    /// Starts a server with its store in this folder, and these lines of configuration after the listener. `None`, with a
    /// message, if it is not installed; with `REQUIRE_BROKERS` set, as in CI, that is a failure.
    ///
    /// # Panics
    /// The server is installed and does not start.
    #[must_use]
    pub fn start(folder: &Path, lines: &str) -> Option<Self> {
        let places = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
        let Some(program) = places.into_iter().map(PathBuf::from).find(|path| path.exists()) else {
            assert!(std::env::var_os("REQUIRE_BROKERS").is_none(), "nats-server is not installed");
            // Bypasses the test harness, which hides the output of passing tests.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: nats-server is not installed (apt-get install nats-server)"
            );
            return None;
        };
        let config = folder.join("nats.conf");
        // A port that was free may be in use by the time the server asks for it.
        for _ in 0..3 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
            let address = free.expect("a free port");
            let text = format!(
                "host: 127.0.0.1\nport: {}\njetstream {{ store_dir: {:?} }}\n{lines}\n",
                address.port(),
                folder.join("nats")
            );
            std::fs::write(&config, text).expect("a file");
            let mut server =
                Self { process: None, program: program.clone(), config: config.clone(), address };
            if server.run() {
                return Some(server);
            }
        }
        panic!("nats-server is installed and does not start");
    }

    /// URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Address of the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the process, with what it stored before, and waits for its listener. Returns `false` if it ended.
    ///
    /// # Panics
    /// The process cannot be started, or does not listen.
    pub fn run(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the server starts");
        let deadline = Instant::now() + START_LIMIT;
        let is_up = loop {
            if process.try_wait().expect("a state").is_some() {
                break false;
            }
            if TcpStream::connect(self.address).is_ok() {
                break true;
            }
            assert!(Instant::now() < deadline, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.process = Some(process);
        is_up
    }

    /// Kills the process. It keeps what it has written.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
