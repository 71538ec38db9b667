//! The files that the `mysa` command reads, as text: its [`Config`], and a [`home`] for the simulated cloud. It opens
//! no file.
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
//! Everything has a default; a name that means nothing is an error, not silence. Errors are one short line and never
//! repeat more than a few words of the file, which may hold a password.
#![forbid(unsafe_code)]

mod config;
mod config_file;
mod error;
mod home;

pub use config::{Config, DeviceConfig, Endpoints, ModeTableName, Unit};
pub use config_file::ConfigFile;
pub use error::ConfigError;
pub use home::home;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
