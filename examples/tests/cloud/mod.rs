//! The simulated cloud behind real TLS, and the examples as its clients.

use std::io::Write as _;
use std::process::Command;

use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{CloudSpec, Names};
use mysa_sim_server::{Certificate, Server};
use tempfile::NamedTempFile;

pub(crate) const KITCHEN: &str = "a0b1c2d3e4f6";

/// Simulated cloud on its own threads.
pub(crate) struct Cloud {
    server: Server,
    authority: NamedTempFile,
    _runtime: tokio::runtime::Runtime,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let certificate = Certificate::for_cloud(&Names::default()).expect("a certificate");
        // A file of its own, so that several runs of these tests at the same time do not disturb each other.
        let mut authority = NamedTempFile::new().expect("a file");
        let pem = certificate.authority_pem().expect("made here");
        authority.write_all(pem.as_bytes()).expect("a file");
        // A schedule would change the setpoint at certain times of the day.
        let spec = CloudSpec::demo().without_schedules();
        let starting = Server::start(([127, 0, 0, 1], 0).into(), certificate, spec, 7, 1.0);
        let server = runtime.block_on(starting).expect("a free port");
        Self { server, authority, _runtime: runtime }
    }

    pub(crate) fn example(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("MYSA_USERNAME", CloudSpec::DEMO_EMAIL)
            .env("MYSA_PASSWORD", CloudSpec::DEMO_PASSWORD)
            .env("MYSA_CONNECT_TO", self.server.address().to_string())
            .env("MYSA_EXTRA_CA", self.authority.path());
        command
    }

    pub(crate) fn setpoint(&self) -> f64 {
        let id = DeviceId::new(KITCHEN).expect("an id");
        let truth = self.server.with_cloud(|cloud, _| cloud.truth(id)).expect("a thermostat");
        Celsius::as_degrees(truth.setpoint)
    }
}
