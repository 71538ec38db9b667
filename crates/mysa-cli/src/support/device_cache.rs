//! The thermostats seen at the last sign-in, kept so that names work without the cloud.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mysa_proto::DeviceId;
use mysa_tokio::DeviceView;
use serde::{Deserialize, Serialize};

use crate::output::record::SCHEMA;
use crate::support::atomic_file;
use crate::support::paths::Places;

/// A thermostat as far as it has to be known to name it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct KnownDevice {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) model: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    schema: i64,
    devices: Vec<KnownDevice>,
}

const ENDING: &str = ".devices.json";

/// What is kept of an account, or of all accounts. Nothing here is worth a failure: ids work without it.
pub(crate) fn load(places: &Places, account: Option<&str>) -> Vec<(DeviceId, String)> {
    let files: Vec<PathBuf> = match account {
        Some(account) => vec![file(places, account)],
        None => {
            let mut files: Vec<_> = fs::read_dir(&places.sessions)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| is_list(path))
                .collect();
            files.sort();
            files
        }
    };
    let kept =
        files.iter().filter_map(|path| serde_json::from_str::<Kept>(&fs::read_to_string(path).ok()?).ok());
    let mut devices: Vec<(DeviceId, String)> = kept
        .flat_map(|kept| kept.devices)
        .filter_map(|device| Some((DeviceId::new(&device.id)?, device.name)))
        .collect();
    devices.sort();
    devices.dedup_by(|a, b| a.0 == b.0);
    devices
}

/// Replaces what is kept of an account.
pub(crate) fn store(places: &Places, account: &str, devices: &[DeviceView]) -> io::Result<()> {
    let devices = devices.iter().map(|view| KnownDevice {
        id: view.id.to_string(),
        name: view.name.clone().unwrap_or_default(),
        model: view.model.as_str().to_owned(),
    });
    let kept = Kept { schema: SCHEMA, devices: devices.collect() };
    fs::create_dir_all(&places.sessions)?;
    atomic_file::write(&file(places, account), &serde_json::to_string(&kept)?, atomic_file::OWNER_ONLY)
}

/// Forgets it.
pub(crate) fn forget(places: &Places, account: &str) {
    let _ = fs::remove_file(file(places, account));
}

/// Whether this is one of these lists, and not a session.
pub(crate) fn is_list(path: &Path) -> bool {
    path.to_string_lossy().ends_with(ENDING)
}

/// Beside the session of the account, under the same name.
fn file(places: &Places, account: &str) -> PathBuf {
    places.sessions.join(format!("{}{ENDING}", file_stem(account)))
}

/// The account, case folded, with every byte a file system may dislike written as `%` and two hex digits.
fn file_stem(account: &str) -> String {
    let mut name = String::new();
    for byte in account.trim().to_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' | b'+' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}
