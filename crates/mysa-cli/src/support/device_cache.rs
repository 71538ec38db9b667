//! Stored list of each account's thermostats, so that names work without the cloud.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mysa_proto::{DeviceId, Model};
use mysa_tokio::DeviceView;
use serde::{Deserialize, Serialize};

use crate::output::record::SCHEMA;
use crate::support::atomic_file;
use crate::support::paths::Paths;

/// One thermostat of the list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct CachedDevice {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) model: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct CacheFile {
    schema: i64,
    devices: Vec<CachedDevice>,
}

const SUFFIX: &str = ".devices.json";

/// Returns ids and names of an account's thermostats, or those of all accounts. An unreadable list counts as empty,
/// because ids work without it.
pub(crate) fn load(paths: &Paths, account: Option<&str>) -> Vec<(DeviceId, String)> {
    let files: Vec<PathBuf> = match account {
        Some(account) => vec![file(paths, account)],
        None => {
            let mut files: Vec<_> = fs::read_dir(&paths.sessions)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| is_cache(path))
                .collect();
            files.sort();
            files
        }
    };
    let kept = files
        .iter()
        .filter_map(|path| serde_json::from_str::<CacheFile>(&fs::read_to_string(path).ok()?).ok());
    let mut devices: Vec<(DeviceId, String)> = kept
        .flat_map(|kept| kept.devices)
        .filter_map(|device| Some((DeviceId::new(&device.id)?, device.name)))
        .collect();
    devices.sort();
    devices.dedup_by(|a, b| a.0 == b.0);
    devices
}

/// Returns an account's thermostats with their models and names.
pub(crate) fn load_known(paths: &Paths, account: &str) -> Vec<(DeviceId, Model, Option<String>)> {
    let text = fs::read_to_string(file(paths, account)).unwrap_or_default();
    let kept = serde_json::from_str::<CacheFile>(&text).ok().filter(|kept| kept.schema == SCHEMA);
    let known = kept.into_iter().flat_map(|kept| kept.devices).filter_map(|device| {
        let name = Some(device.name).filter(|name| !name.is_empty());
        Some((DeviceId::new(&device.id)?, Model::parse(&device.model), name))
    });
    known.collect()
}

/// Replaces the list of an account.
pub(crate) fn store(paths: &Paths, account: &str, devices: &[DeviceView]) -> io::Result<()> {
    let devices = devices.iter().map(|view| CachedDevice {
        id: view.id.to_string(),
        name: view.name.as_deref().unwrap_or_default().to_owned(),
        model: view.model.as_str().to_owned(),
    });
    let kept = CacheFile { schema: SCHEMA, devices: devices.collect() };
    fs::create_dir_all(&paths.sessions)?;
    atomic_file::write(&file(paths, account), &serde_json::to_string(&kept)?, atomic_file::OWNER_ONLY)
}

/// Removes the list of an account.
pub(crate) fn forget(paths: &Paths, account: &str) {
    let _ = fs::remove_file(file(paths, account));
}

/// Returns `true` if the path is such a list and not a session.
pub(crate) fn is_cache(path: &Path) -> bool {
    path.to_string_lossy().ends_with(SUFFIX)
}

/// Path of the list: next to the session file of the account, with the same stem.
fn file(paths: &Paths, account: &str) -> PathBuf {
    paths.sessions.join(format!("{}{SUFFIX}", file_stem(account)))
}

/// Encodes the account in lower case, with every byte that is not safe in a file name as `%` and two hex digits.
fn file_stem(account: &str) -> String {
    let mut name = String::new();
    for byte in account.to_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' | b'+' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}
