//! Where things are kept.

use std::env;
use std::path::PathBuf;

use crate::support::exit::{Exit, Failure, Result};

/// Where settings and sessions are kept, by the XDG base directory rules.
#[derive(Debug)]
pub(crate) struct Places {
    /// `$XDG_CONFIG_HOME/mysa/config.toml`, or what `--config` says.
    pub(crate) config: PathBuf,
    /// `$XDG_STATE_HOME/mysa`: one session file for each account.
    pub(crate) sessions: PathBuf,
}

impl Places {
    pub(crate) fn find(config: Option<PathBuf>) -> Result<Self> {
        let base = |variable: &str, below_home: &str| {
            // The rules say that a relative path is to be ignored.
            let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            set.or_else(|| env::home_dir().map(|home| home.join(below_home))).ok_or_else(|| {
                Failure::new(Exit::Failed, format!("neither HOME nor {variable} says where to keep files"))
            })
        };
        let config = match config {
            Some(path) => path,
            None => base("XDG_CONFIG_HOME", ".config")?.join("mysa").join("config.toml"),
        };
        Ok(Self { config, sessions: base("XDG_STATE_HOME", ".local/state")?.join("mysa") })
    }
}
