//! Shared parts of the subcommands: the client, files and paths, device names, exit codes, orderly shutdown.

pub(crate) mod atomic_file;
pub(crate) mod capture;
pub(crate) mod cloud;
pub(crate) mod config;
pub(crate) mod device_cache;
pub(crate) mod exit;
pub(crate) mod homes;
pub(crate) mod http_server;
pub(crate) mod moment;
pub(crate) mod open_files;
pub(crate) mod paths;
pub(crate) mod permission;
pub(crate) mod reachability;
pub(crate) mod resolve;
pub(crate) mod shutdown;
pub(crate) mod time_zone;
