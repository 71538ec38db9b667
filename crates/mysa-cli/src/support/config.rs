//! The settings file on disk.

use std::fs;
use std::io;
use std::path::Path;

pub(crate) use mysa_config::{Config, Unit};
use mysa_config::{ConfigError, ConfigFile};

use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};

/// Reads the file; one that is not there is an empty one.
pub(crate) fn load(path: &Path) -> Result<Config> {
    Ok(open(path)?.config().clone())
}

/// Changes one value of the file, and keeps what its owner wrote around it.
pub(crate) fn edit(
    path: &Path,
    change: impl FnOnce(&mut ConfigFile) -> std::result::Result<(), ConfigError>,
) -> Result<()> {
    let mut file = open(path)?;
    change(&mut file).map_err(|error| Failure::from((Exit::Usage, error)))?;
    atomic_file::write(path, &file.to_string(), atomic_file::ANYBODY)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
}

fn open(path: &Path) -> Result<ConfigFile> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display())));
        }
    };
    ConfigFile::parse(&text).map_err(|why| {
        Failure::new(Exit::Failed, format!("{} is not a settings file: {why}", path.display()))
    })
}
