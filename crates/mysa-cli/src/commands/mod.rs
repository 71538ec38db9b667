//! The subcommands, one module each.

pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod doctor;
pub(crate) mod energy;
pub(crate) mod login;
pub(crate) mod man;
pub(crate) mod presign;
pub(crate) mod raw;
pub(crate) mod set;
pub(crate) mod status;
pub(crate) mod watch;
