//! `set NAME DEGREES`: gives a thermostat a setpoint, and says what became of it.

use mysa_examples::{Account, Error};
use mysa_tokio::Celsius;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("give a thermostat's name")?;
    let degrees: f64 = args.next().ok_or("give a setpoint in degrees Celsius")?.parse()?;
    let setpoint = Celsius::from_degrees(degrees).ok_or("that is no temperature")?;

    let client = Account::from_env()?.client().connect().await?;
    let device = client.devices().into_iter().find(|device| device.label() == name);
    let device = device.ok_or_else(|| format!("no thermostat is named {name}"))?;
    let verdict = client.set_setpoint(&device.id, setpoint).await?;
    println!("{name}: {verdict}");
    client.shutdown().await;
    if verdict.is_confirmed() { Ok(()) } else { Err("it is not known to hold".into()) }
}
