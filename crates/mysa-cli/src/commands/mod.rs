//! The subcommands, one module each.

pub(crate) mod bridge;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod energy;
#[cfg(unix)]
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod homes;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod man;
pub(crate) mod mode;
pub(crate) mod presign;
pub(crate) mod raw;
pub(crate) mod schedule;
pub(crate) mod set;
pub(crate) mod status;
pub(crate) mod watch;
