//! Prints the temperatures and setpoints of an account's thermostats as they change, until it is interrupted.

use mysa_examples::{Account, Error};
use mysa_tokio::Event;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // A read-only handle: no mistake below can change a heater.
    let client = Account::from_env()?.client().connect().await?;
    let home = client.read_only();
    let mut events = home.events();
    for device in home.devices() {
        println!("{} ({})", device.label(), device.model);
    }
    while let Some(event) = events.next().await {
        match event {
            Event::Device { device, .. } => {
                let Some(device) = home.state(&device) else { continue };
                let (state, stale) =
                    (&device.state, if device.stale { ", no data for a long time" } else { "" });
                if let (Some(temperature), Some(setpoint)) = (state.temperature(), state.setpoint()) {
                    println!("{}: {} of {}{stale}", device.label(), temperature.value, setpoint.value);
                }
            }
            Event::Service(service) => println!("{:?}: {}", service.level, service.reason),
            _ => {}
        }
    }
    Ok(())
}
