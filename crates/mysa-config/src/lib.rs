//! Parser for the files that the `mysa` command reads: its settings ([`Config`]), the homes of the simulated cloud
//! ([`home`]) and the accounts of a fleet ([`FleetAccounts`]). It works on text and opens no file.
//!
//! ```
//! use mysa_config::Config;
//!
//! let settings = Config::parse("[devices.a0b1c2d3e4f5]\nrated-watts = 1500\n")?;
//! let id = mysa_proto::DeviceId::new("A0B1C2D3E4F5").ok_or("an id")?;
//! assert_eq!(settings.rated_watts(&id).map(|watts| watts.as_watts()), Some(1_500.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every setting has a default, and an unknown name is an error. Error texts are one short line and quote at most a few
//! words of the file, because a home file holds passwords.
#![forbid(unsafe_code)]

mod bridge;
mod config;
mod config_file;
mod endpoint;
mod error;
mod fleet;
mod home;
mod listen;

pub use bridge::{BridgeConfig, BrokerUrl, InvalidBrokerUrl};
pub use config::{ChannelName, Config, DeviceConfig, Endpoints, ModeTableName, Unit, normalize_account};
pub use config_file::ConfigFile;
pub use error::ConfigError;
pub use fleet::{Credential, FleetAccount, FleetAccounts};
pub use home::home;
pub use listen::{InvalidListenAddress, ListenAddress};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
