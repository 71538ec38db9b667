//! The settings file on disk.

use std::fs;
use std::io;
use std::path::Path;

pub(crate) use mysa_config::{Config, Unit};
use mysa_config::{ConfigError, ConfigFile};

use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;

/// Reads the settings. Without a file every setting has its default; a file named by `--config` must exist.
pub(crate) fn load(paths: &Paths) -> Result<Config> {
    Ok(open(paths)?.config().clone())
}

/// Reads the settings file for a single lookup by name.
pub(crate) fn open(paths: &Paths) -> Result<ConfigFile> {
    if let Some(text) = read(&paths.config)? {
        return parse(&paths.config, &text);
    }
    if paths.is_config_named {
        let path = paths.config.display();
        return Err(Failure::usage(format!("the settings file {path} does not exist")));
    }
    parse(&paths.config, "")
}

/// Changes one value of the file and keeps the comments and order of the rest. Creates a missing file.
pub(crate) fn edit(
    path: &Path,
    change: impl FnOnce(&mut ConfigFile) -> std::result::Result<(), ConfigError>,
) -> Result<()> {
    let mut file = parse(path, &read(path)?.unwrap_or_default())?;
    change(&mut file).map_err(|error| Failure::from((Exit::Usage, error)))?;
    atomic_file::write(path, &file.to_string(), atomic_file::PUBLIC)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
}

/// Returns the text of the file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))),
    }
}

fn parse(path: &Path, text: &str) -> Result<ConfigFile> {
    ConfigFile::parse(text).map_err(|error| {
        Failure::new(Exit::Failed, format!("invalid settings file {}: {error}", path.display()))
    })
}
