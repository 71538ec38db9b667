//! Lowers the setpoint while a room is empty.
//!
//! `home_automation NAME DEGREES` reads the words of a presence sensor from stdin, one per line: `empty` or `back`.
//! While the room is empty, the thermostat's setpoint is DEGREES; afterwards it is restored.

use mysa_examples::{Account, Error, name_and_setpoint};
use mysa_tokio::{Celsius, Client, DeviceId, Verdict};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Number of attempts for a setpoint that was not confirmed.
const TRIES: u32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (name, lowered) = name_and_setpoint(std::env::args().skip(1))?;

    let client = Account::from_env()?.client().connect().await?;
    let device = client.devices().into_iter().find(|device| device.label() == name);
    let device = device.ok_or_else(|| format!("no thermostat named {name}"))?.id;
    let setpoint = || Some(client.state(&device)?.state.setpoint()?.value);
    let mut events = client.events();
    while setpoint().is_none() {
        events.next().await.ok_or("the client is closed")?;
    }
    let mut before = None;
    let mut sensor = BufReader::new(tokio::io::stdin()).lines();
    while let Some(word) = sensor.next_line().await? {
        match (word.as_str(), before) {
            // Lower only a higher setpoint, and only if it is known which one to restore.
            ("empty", None) => {
                if let Some(present) = setpoint().filter(|present| *present > lowered)
                    && set(&client, device, lowered).await?
                {
                    before = Some(present);
                }
            }
            ("back", Some(present)) => {
                // A setpoint that a person has set in the meantime stays.
                if setpoint() == Some(lowered) {
                    set(&client, device, present).await?;
                }
                before = None;
            }
            _ => {}
        }
    }
    client.shutdown().await;
    Ok(())
}

/// Requests a setpoint, and acts on the verdict. Returns `true` if the setpoint may be in force.
async fn set(client: &Client, device: DeviceId, setpoint: Celsius) -> Result<bool, Error> {
    for _ in 0..TRIES {
        let verdict = client.set_setpoint(&device, setpoint).await?;
        println!("{setpoint}: {verdict}");
        match verdict {
            Verdict::Confirmed { .. } => return Ok(true),
            // Repeating a setpoint is harmless, so one that was not confirmed, or never sent, is sent again.
            Verdict::Unconfirmed { .. } | Verdict::Expired(_) => {}
            // Repeating a refused command does not help, and a newer command takes precedence.
            Verdict::Refused(_) | Verdict::Superseded { .. } => return Ok(false),
        }
    }
    // The setpoint may have been applied, so it is restored later.
    Ok(true)
}
