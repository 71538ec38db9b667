//! Arguments of `mysa sim ctl`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::help;

#[derive(Args, Debug)]
#[command(after_help = help::CTL)]
pub(crate) struct Ctl {
    /// Address of the control endpoint, with or without http:// as `mysa sim` prints it
    #[arg(long, env = "MYSA_SIM_CONTROL", default_value = "127.0.0.1:8444", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) control: SocketAddr,
    #[command(subcommand)]
    pub(crate) action: CtlAction,
}

/// Parses an address, or the URL of an address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").map_or(text, |url| url.strip_suffix('/').unwrap_or(url));
    bare.parse().map_err(|_| "expected an address such as 127.0.0.1:8444 or http://127.0.0.1:8444/".into())
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlAction {
    /// Show the simulator: version, address, seed, clock
    Status,
    /// List the accounts
    Accounts,
    /// List the homes and their weather
    Homes,
    /// List the thermostats with their rooms, heaters and energy
    Devices,
    /// Show one thermostat
    Device {
        /// Thermostat, by id or the start of its name
        device: String,
    },
    /// List the last commands, their origins and outcomes
    Commands {
        /// Thermostat, by id or the start of its name [default: all]
        device: Option<String>,
    },
    /// List the connections at the broker
    Connections,
    /// Show the counters
    Counters,
    /// Follow everything that happens
    Events {
        /// Begin after the event with this number; the last 256 are kept
        #[arg(long, value_name = "NUMBER")]
        since: Option<u64>,
        /// Stop after this many events
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Set the temperature of a room, as an open window does
    Room {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Temperature, °C
        #[arg(allow_negative_numbers = true)]
        celsius: f64,
    },
    /// Turn the setpoint, as a person at the thermostat does
    Setpoint {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Setpoint, °C
        celsius: f64,
    },
    /// Change the mode, as a person at the thermostat does
    Mode {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Mode: off, heat, cool, auto, fan or dry
        mode: String,
    },
    /// Press a button once
    Press {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Button: up or down
        button: String,
    },
    /// Disconnect the Wi-Fi of a thermostat
    Offline {
        /// Thermostat, by id or the start of its name
        device: String,
    },
    /// Reconnect the Wi-Fi of a thermostat
    Online {
        /// Thermostat, by id or the start of its name
        device: String,
    },
    /// Restart a thermostat
    Reboot {
        /// Thermostat, by id or the start of its name
        device: String,
    },
    /// Offer a newer firmware for a thermostat; clients see it when they next ask, and nothing is installed
    Firmware {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Version, such as 3.17.5.13 [default: none is offered any more]
        offer: Option<String>,
    },
    /// Change the climate of a home from now on
    Weather {
        /// Home, by id or name [default: the only one]
        home: Option<String>,
        /// Mean temperature over the year, °C
        #[arg(long, value_name = "CELSIUS", allow_negative_numbers = true)]
        mean: Option<f64>,
        /// Difference between July and the mean, in kelvins
        #[arg(long, value_name = "KELVINS", allow_negative_numbers = true)]
        season: Option<f64>,
        /// Difference between the afternoon and the mean, in kelvins
        #[arg(long, value_name = "KELVINS", allow_negative_numbers = true)]
        day: Option<f64>,
        /// Largest deviation by the weather, in kelvins
        #[arg(long, value_name = "KELVINS")]
        variation: Option<f64>,
    },
    /// List the faults that apply now or later
    Faults,
    /// Start a fault or an incident, now or later; `mysa sim --fault list` prints all names
    Fault {
        /// Name of the fault
        name: String,
        /// Only this thermostat, by id or the start of its name
        #[arg(long)]
        device: Option<String>,
        /// Start after this many virtual seconds
        #[arg(long, value_name = "SECONDS")]
        after: Option<f64>,
        /// End this many virtual seconds after the start
        #[arg(long = "for", value_name = "SECONDS")]
        lasts: Option<f64>,
    },
    /// End a fault, or remove a planned one
    End {
        /// Id of the fault, or `all`
        fault: String,
    },
    /// Cut every WebSocket connection without a close frame
    Cut,
    /// Stop the cloud's clock
    Freeze,
    /// Let the cloud's clock run again
    Resume,
    /// Move the cloud's clock forward; everything that falls due happens in its order
    Advance {
        /// Virtual seconds
        seconds: f64,
    },
}
