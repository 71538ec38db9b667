//! Versions of the firmware of the thermostats, which are read from the cloud about once a day. Nothing installs one.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mysa_bridge::AccountIndex;
use mysa_proto::DeviceId;
use mysa_proto::rest::{self, UpdateAvailable};
use mysa_tokio::{Client, Error};
use tokio::time::sleep;

type Answered = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Versions of the thermostats of all accounts, and the readings in progress.
pub(super) struct Firmware {
    versions: BTreeMap<DeviceId, Versions>,
    turns: Vec<Turn>,
    readings: FuturesUnordered<Answered>,
}

/// Versions of the firmware of a thermostat.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Versions {
    pub(super) installed: String,
    /// Newest version that the vendor offers, which may be the installed one.
    pub(super) newest: Option<String>,
}

/// End of the reading of an account.
pub(super) struct Done {
    account: AccountIndex,
    read: Result<BTreeMap<DeviceId, Versions>, Error>,
}

/// Turn of an account, in time since the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    Due(Duration),
    Running,
}

/// Time between two readings of an account, and the most that is added to it, so that bridges do not read together.
const INTERVAL: Duration = Duration::from_secs(23 * 3_600);
const JITTER: Duration = Duration::from_secs(2 * 3_600);
/// The same before the first reading: the start has more urgent requests.
const FIRST: Duration = Duration::from_secs(5);
/// The same after a reading that failed.
const RETRY: Duration = Duration::from_secs(3_600);
/// Time between two checks whether a reading is due.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two requests.
const SPACING: Duration = Duration::from_secs(2);

impl Firmware {
    pub(super) fn new(accounts: usize, now: Duration) -> Self {
        let turns = vec![Turn::Due(now + FIRST); accounts];
        Self { versions: BTreeMap::new(), turns, readings: FuturesUnordered::new() }
    }

    pub(super) fn of(&self, device: DeviceId) -> Option<&Versions> {
        self.versions.get(&device)
    }

    /// Takes the accounts whose turn it is. `is_reachable` tells whether the cloud of an account can be reached; an account
    /// whose cloud cannot be keeps its turn.
    fn take_due(&mut self, now: Duration, is_reachable: impl Fn(AccountIndex) -> bool) -> Vec<AccountIndex> {
        let turns = self.turns.iter_mut().enumerate();
        let due = turns.filter_map(|(index, turn)| {
            let account = AccountIndex::new(index);
            let is_due = matches!(*turn, Turn::Due(at) if at <= now) && is_reachable(account);
            is_due.then(|| {
                *turn = Turn::Running;
                account
            })
        });
        due.collect()
    }

    /// Starts the readings that are due. `client` returns the client of an account whose cloud can be reached.
    pub(super) fn start_due(&mut self, now: Duration, client: impl Fn(AccountIndex) -> Option<Client>) {
        for account in self.take_due(now, |account| client(account).is_some()) {
            if let Some(client) = client(account) {
                self.readings
                    .push(Box::pin(async move { Done { account, read: read_account(&client).await } }));
            }
        }
    }

    /// Waits for the next reading that ends. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Done {
        match self.readings.next().await {
            Some(done) => done,
            None => pending().await,
        }
    }

    /// Takes a reading that has ended, and returns its account. `random` is from 0 to 1.
    pub(super) fn take(&mut self, done: Done, now: Duration, random: f64) -> AccountIndex {
        let pause = match done.read {
            Ok(read) => {
                self.merge(read);
                INTERVAL + JITTER.mul_f64(random)
            }
            Err(_) => RETRY + RETRY.mul_f64(random),
        };
        if let Some(turn) = self.turns.get_mut(done.account.index()) {
            *turn = Turn::Due(now + pause);
        }
        done.account
    }

    fn merge(&mut self, read: BTreeMap<DeviceId, Versions>) {
        for (id, mut versions) in read {
            // An offer that could not be read this time is still the one for the same firmware.
            let known = self.versions.get(&id).filter(|known| known.installed == versions.installed);
            versions.newest = versions.newest.or_else(|| known?.newest.clone());
            self.versions.insert(id, versions);
        }
    }
}

/// Reads the versions of all thermostats of an account: the installed ones at once, the newest ones one by one.
async fn read_account(client: &Client) -> Result<BTreeMap<DeviceId, Versions>, Error> {
    let list = client.request(rest::firmware()).await?;
    let list = rest::Firmware::decode(&list.body).map_err(Error::Decode)?;
    let mut all = BTreeMap::new();
    for (id, installed) in list.installed {
        // The service has no offer for firmware that it does not know.
        let Some(installed) = installed else { continue };
        sleep(SPACING).await;
        let offer = client.request(rest::update_available(id)).await.ok();
        let offer = offer.and_then(|offer| UpdateAvailable::decode(&offer.body).ok()).unwrap_or_default();
        all.insert(id, versions(installed, offer));
    }
    Ok(all)
}

/// Versions of a thermostat, from the list and from an offer.
fn versions(listed: String, offer: UpdateAvailable) -> Versions {
    let installed = offer.installed.unwrap_or(listed);
    let newest = match offer.update {
        Some(true) => offer.allowed,
        Some(false) => Some(installed.clone()),
        None => None,
    };
    Versions { installed, newest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_ACCOUNT: AccountIndex = AccountIndex::FIRST;

    fn id() -> DeviceId {
        DeviceId::new("a0b1c2d3e4f5").unwrap()
    }

    fn installed(version: &str, newest: Option<&str>) -> Versions {
        Versions { installed: version.into(), newest: newest.map(Into::into) }
    }

    fn offer(body: &str) -> Versions {
        versions("3.16.2.3".into(), UpdateAvailable::decode(body.as_bytes()).unwrap())
    }

    #[test]
    fn only_an_offer_is_a_newer_version() {
        let newer = r#"{"update":true,"installedVersion":"3.16.2.3","allowedVersion":"3.17.5.13"}"#;
        assert_eq!(offer(newer), installed("3.16.2.3", Some("3.17.5.13")));
        // The service may allow an older one.
        let none = r#"{"update":false,"installedVersion":"3.17.5.13","allowedVersion":"3.16.2.3"}"#;
        assert_eq!(offer(none), installed("3.17.5.13", Some("3.17.5.13")));
        for unknown in ["{}", r#"{"update":null,"allowedVersion":"4"}"#, r#"{"update":true}"#] {
            assert_eq!(offer(unknown), installed("3.16.2.3", None), "{unknown}");
        }
    }

    fn ended(read: Result<BTreeMap<DeviceId, Versions>, Error>) -> Done {
        Done { account: FIRST_ACCOUNT, read }
    }

    #[test]
    fn each_account_is_read_about_once_a_day_and_not_while_its_cloud_is_away() {
        let mut firmware = Firmware::new(2, Duration::ZERO);
        let mut reads = [0; 2];
        let mut now = Duration::ZERO;
        // Thirty days, of which the second account has a cloud on the first ten.
        while now < Duration::from_secs(30 * 86_400) {
            now += CHECK_INTERVAL;
            let first_days = now < Duration::from_secs(10 * 86_400);
            for account in firmware.take_due(now, |account| account == FIRST_ACCOUNT || first_days) {
                reads[account.index()] += 1;
                // Nothing else starts while it runs.
                assert_eq!(firmware.take_due(now, |other| other == account), vec![]);
                firmware.take(Done { account, read: Ok(BTreeMap::new()) }, now, 0.5);
            }
        }
        assert_eq!(reads, [30, 10]);
        // It is read as soon as the cloud is back.
        assert_eq!(firmware.take_due(now, |_| true), vec![AccountIndex::new(1)]);
    }

    #[test]
    fn a_reading_that_failed_is_tried_again_and_keeps_what_is_known() {
        let mut firmware = Firmware::new(1, Duration::ZERO);
        let now = FIRST;
        firmware.take_due(now, |_| true);
        let read = |newest| BTreeMap::from([(id(), installed("3.16.2.3", newest))]);
        firmware.take(ended(Ok(read(Some("3.17.5.13")))), now, 0.0);
        assert_eq!(firmware.take_due(now + INTERVAL - CHECK_INTERVAL, |_| true), vec![]);
        assert_eq!(firmware.take_due(now + INTERVAL, |_| true), vec![FIRST_ACCOUNT]);
        firmware.take(ended(Err(Error::Closed)), now, 0.0);
        assert_eq!(firmware.take_due(now + RETRY, |_| true), vec![FIRST_ACCOUNT]);
        firmware.take(ended(Ok(read(None))), now, 0.0);
        assert_eq!(firmware.of(id()), Some(&installed("3.16.2.3", Some("3.17.5.13"))));
        // The offer for another firmware is another one.
        let updated = BTreeMap::from([(id(), installed("3.17.5.13", None))]);
        firmware.take(ended(Ok(updated)), now, 0.0);
        assert_eq!(firmware.of(id()), Some(&installed("3.17.5.13", None)));
    }
}
