//! Serves the demo home without its schedules, until it is killed: `cargo run --example serve -- 127.0.0.1:8443 ca.pem`.
//!
//! Any program that takes the hosts of the Mysa cloud to be at that address, and trusts the authority in `ca.pem`, can
//! sign in with the account that is printed.

use std::net::SocketAddr;

use mysa_sim::{CloudSpec, Names};
use mysa_sim_server::{Certificate, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(authority)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve ADDRESS:PORT FILE-FOR-THE-AUTHORITY".into());
    };
    let certificate = Certificate::for_cloud(&Names::default())?;
    std::fs::write(&authority, certificate.authority_pem().unwrap_or_default())?;
    let spec = CloudSpec::demo().without_schedules();
    let server = Server::start(address.parse::<SocketAddr>()?, certificate, spec, 1, 1.0).await?;
    println!(
        "listening on {}, account {}, password {}",
        server.address(),
        CloudSpec::DEMO_EMAIL,
        CloudSpec::DEMO_PASSWORD
    );
    std::future::pending().await
}
