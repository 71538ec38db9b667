//! `set NAME DEGREES` requests a setpoint of a thermostat and prints the verdict.

use mysa_examples::{Account, Error, name_and_setpoint};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (name, setpoint) = name_and_setpoint(std::env::args().skip(1))?;

    let client = Account::from_env()?.client().connect().await?;
    let device = client.devices().into_iter().find(|device| device.label() == name);
    let device = device.ok_or_else(|| format!("no thermostat named {name}"))?;
    let verdict = client.set_setpoint(&device.id, setpoint).await?;
    println!("{name}: {verdict}");
    client.shutdown().await;
    if verdict.is_confirmed() { Ok(()) } else { Err("the setpoint was not confirmed".into()) }
}
