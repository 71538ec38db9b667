//! Energy of the thermostats: its reading from the cloud, and the file that keeps it.

use std::fs;
use std::future::pending;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mysa_bridge::energy::{Answer, Meters, Query, Reading};
use mysa_proto::rest::{History, UsageQuery};
use mysa_proto::{DeviceId, UnixTime};
use mysa_tokio::{Client, Error, RequestError};
use tokio::task::JoinHandle;

use crate::output::timefmt;
use crate::support::atomic_file::{self, OWNER_ONLY};

type Answered = Pin<Box<dyn Future<Output = (DeviceId, Result<History, Error>)> + Send>>;

/// File with the energy of a bridge, and the work in progress.
pub(super) struct Energy {
    path: PathBuf,
    /// Readings that are not answered.
    readings: FuturesUnordered<Answered>,
    /// Storage in progress. The last one must end before a newer one begins.
    storing: Option<JoinHandle<io::Result<()>>>,
}

/// Something that has ended.
pub(super) enum Done {
    Read { device: DeviceId, answer: Result<History, Error> },
    Stored(io::Result<()>),
}

/// Largest file that is read.
const MAX_FILE: u64 = 2_000_000;

impl Energy {
    /// Reads the file of a bridge, by the prefix of its topics. Returns the meters, and a line for the log if something is
    /// wrong. Without meters, the file is left alone and no energy is published.
    pub(super) fn open(folder: &Path, prefix: &str) -> (Self, Option<Meters>, Option<String>) {
        let path = folder.join(file_name(prefix));
        let energy = Self { path, readings: FuturesUnordered::new(), storing: None };
        let name = energy.path.display();
        let text = match read(&energy.path) {
            Ok(None) => return (energy, Some(Meters::default()), None),
            Ok(Some(text)) => text,
            Err(error) => {
                let line = format!("bridge: energy is not published: cannot read {name}: {error}");
                return (energy, None, Some(line));
            }
        };
        if let Ok(meters) = Meters::parse(&text) {
            return (energy, Some(meters), None);
        }
        let aside = energy.path.with_extension("damaged");
        let lost = Meters::lost();
        // At once: after a crash, a missing file would mean that there were no totals before.
        let replaced = fs::rename(&energy.path, &aside)
            .and_then(|()| atomic_file::write(&energy.path, &lost.to_text(), OWNER_ONLY));
        let line = match replaced {
            Ok(()) => format!(
                "bridge: {name} is damaged and now {}; the energy of a thermostat is unknown until the cloud's history has it \
                 (to begin again at zero, stop the bridge and delete both files)",
                aside.display()
            ),
            Err(error) => {
                let line = format!(
                    "bridge: energy is not published: {name} is damaged and cannot be replaced: {error}"
                );
                return (energy, None, Some(line));
            }
        };
        (energy, Some(lost), Some(line))
    }

    /// Starts to read the energy of a thermostat.
    pub(super) fn read(&mut self, client: Client, device: DeviceId, query: Query) {
        // The service need not know days that have not begun.
        let end = query.end.min(timefmt::now()).max(query.start.plus_millis(1_000));
        let query =
            UsageQuery { time_zone: "UTC".into(), start: query.start, end, buckets: false, raw: false };
        self.readings.push(Box::pin(async move { (device, client.energy(&device, &query).await) }));
    }

    /// Starts to store a text.
    pub(super) fn store(&mut self, text: String) {
        let (path, older) = (self.path.clone(), self.storing.take());
        // A file on a memory card may take seconds.
        self.storing = Some(tokio::spawn(async move {
            if let Some(older) = older {
                let _ = older.await;
            }
            let written = tokio::task::spawn_blocking(move || atomic_file::write(&path, &text, OWNER_ONLY));
            written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
        }));
    }

    /// Waits for the next thing that ends. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Done {
        let Self { readings, storing, .. } = self;
        let stored = async {
            match storing {
                Some(task) => task.await,
                None => pending().await,
            }
        };
        let read = async {
            match readings.next().await {
                Some(read) => read,
                None => pending().await,
            }
        };
        tokio::select! {
            result = stored => {
                self.storing = None;
                Done::Stored(result.unwrap_or_else(|error| Err(io::Error::other(error))))
            }
            (device, answer) = read => Done::Read { device, answer },
        }
    }

    /// Waits until everything is stored.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self.storing.take() {
            Some(task) => task.await.unwrap_or_else(|error| Err(io::Error::other(error))),
            None => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Days of an answer, and whether the cloud has a history at all.
pub(super) fn with_answer<T>(answer: &Result<History, Error>, use_it: impl FnOnce(Answer<'_>) -> T) -> T {
    match answer {
        Ok(history) => {
            let reading = |day: &mysa_proto::rest::Day| {
                let start: UnixTime = day.summary.start?;
                Some(Reading { start, energy: day.summary.energy? })
            };
            let days: Vec<Reading> = history.days.iter().filter_map(reading).collect();
            use_it(Answer::Days(&days))
        }
        // Other statuses are those of a service in trouble, of a token, or of a pause.
        Err(Error::Request(RequestError::Refused { status: 400 | 403 | 404 | 410, .. })) => {
            use_it(Answer::NoHistory)
        }
        Err(_) => use_it(Answer::Failed),
    }
}

/// Reads a small file. `None` if it does not exist.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    // What is not UTF-8 is damaged, and no valid text.
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

/// First part of the names of the files.
const FILE_PREFIX: &str = "bridge-energy-";

/// `true` if the path is that of such a file, which lies beside the stored sessions.
pub(crate) fn is_energy_file(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(FILE_PREFIX))
}

/// Name of the file: one for each prefix of topics.
fn file_name(prefix: &str) -> String {
    let mut name = String::from(FILE_PREFIX);
    for byte in prefix.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("_{other:02x}")),
        }
    }
    name.push_str(".json");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prefix_has_a_file_of_its_own() {
        assert_eq!(file_name("mysa"), "bridge-energy-mysa.json");
        assert_eq!(file_name("a/b_c"), "bridge-energy-a_2fb_5fc.json");
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_its_totals_are_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let (mut energy, meters, line) = Energy::open(folder.path(), "mysa");
        assert_eq!((meters, line), (Some(Meters::default()), None));
        energy.store("half a file".into());
        energy.store("{\"version\": 1".into());
        energy.finish().await.unwrap();
        let (energy, meters, line) = Energy::open(folder.path(), "mysa");
        assert_eq!(meters, Some(Meters::lost()));
        assert!(line.unwrap().contains("bridge-energy-mysa.damaged"));
        let aside = fs::read_to_string(folder.path().join("bridge-energy-mysa.damaged")).unwrap();
        assert_eq!(aside, "{\"version\": 1", "the newest text");
        // The loss is remembered, even by a bridge that is killed at once.
        drop(energy);
        let (_, meters, line) = Energy::open(folder.path(), "mysa");
        assert_eq!((meters, line), (Some(Meters::lost()), None));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bridge-energy-mysa.json")).unwrap();
        let (_, meters, line) = Energy::open(folder.path(), "mysa");
        assert_eq!(meters, None);
        assert!(line.unwrap().contains("cannot read"));
    }
}
