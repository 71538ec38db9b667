//! Paths of the settings file and the stored sessions.

use std::env;
use std::path::PathBuf;

use crate::support::exit::{Exit, Failure, Result};

/// Folders of settings and sessions, by the XDG base directory specification.
#[derive(Debug)]
pub(crate) struct Paths {
    /// `$XDG_CONFIG_HOME/mysa/config.toml`, or the file given by `--config`.
    pub(crate) config: PathBuf,
    /// `true` if `--config` or `MYSA_CONFIG` named the settings file, so that a missing file is an error.
    pub(crate) is_config_named: bool,
    /// `$XDG_STATE_HOME/mysa`: one session file for each account.
    pub(crate) sessions: PathBuf,
}

impl Paths {
    pub(crate) fn find(config: Option<PathBuf>) -> Result<Self> {
        let base = |variable: &str, below_home: &str| {
            // The specification requires that relative paths are ignored.
            let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            set.or_else(|| env::home_dir().map(|home| home.join(below_home))).ok_or_else(|| {
                Failure::new(
                    Exit::Failed,
                    format!("no directory to store files in: neither HOME nor {variable} is set"),
                )
            })
        };
        let is_config_named = config.is_some();
        let config = match config {
            Some(path) => path,
            None => base("XDG_CONFIG_HOME", ".config")?.join("mysa").join("config.toml"),
        };
        Ok(Self { config, is_config_named, sessions: base("XDG_STATE_HOME", ".local/state")?.join("mysa") })
    }
}
