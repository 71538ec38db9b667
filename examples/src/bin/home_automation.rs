//! If the room is empty, lower the setpoint.
//!
//! `home_automation NAME DEGREES` reads what a presence sensor says, one word a line: `empty` or `back`. While nobody is
//! there the thermostat's setpoint is the one given; afterwards it is what it was before.

use mysa_examples::{Account, Error, name_and_setpoint};
use mysa_tokio::{Celsius, Client, DeviceId, Verdict};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// How often a wish is tried that was not seen to be fulfilled.
const TRIES: u32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (name, lowered) = name_and_setpoint(std::env::args().skip(1))?;

    let client = Account::from_env()?.client().connect().await?;
    let device = client.devices().into_iter().find(|device| device.label() == name);
    let device = device.ok_or_else(|| format!("no thermostat is named {name}"))?.id;
    let setpoint = || Some(client.state(&device)?.state.setpoint()?.value);
    let mut events = client.events();
    while setpoint().is_none() {
        events.next().await.ok_or("the client has ended")?;
    }
    let mut before = None;
    let mut sensor = BufReader::new(tokio::io::stdin()).lines();
    while let Some(word) = sensor.next_line().await? {
        match (word.as_str(), before) {
            // Lower only what is higher, and only if it is known what to go back to.
            ("empty", None) => {
                if let Some(present) = setpoint().filter(|present| *present > lowered)
                    && set(&client, device, lowered).await?
                {
                    before = Some(present);
                }
            }
            ("back", Some(present)) => {
                // Somebody who set it by hand in the meantime meant it.
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

/// Asks for a setpoint, and acts on the verdict. Returns whether it may be taken to hold.
async fn set(client: &Client, device: DeviceId, setpoint: Celsius) -> Result<bool, Error> {
    for _ in 0..TRIES {
        let verdict = client.set_setpoint(&device, setpoint).await?;
        println!("{setpoint}: {verdict}");
        match verdict {
            Verdict::Confirmed { .. } => return Ok(true),
            // The same setpoint twice does no harm, so what was not seen to hold, or was never sent, is sent again.
            Verdict::Unconfirmed { .. } | Verdict::Expired(_) => {}
            // Asking again would not help, and whoever asked for something newer knows better.
            Verdict::Refused(_) | Verdict::Superseded { .. } => return Ok(false),
        }
    }
    // It may have been applied all the same, so it is to be undone later.
    Ok(true)
}
