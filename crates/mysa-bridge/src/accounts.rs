use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, Now};
use mysa_session::{Level, Reason};

use crate::AccountIndex;
use crate::context::Context;
use crate::event::Event;

/// Accounts, each with its thermostats and the service level of its cloud.
#[derive(Debug)]
pub(crate) struct Accounts(Vec<Account>);

#[derive(Debug, Default)]
struct Account {
    /// Thermostats that it has shown or listed.
    devices: BTreeSet<DeviceId>,
    /// `true` once the list of its thermostats is known.
    listed: bool,
    cloud: Option<Cloud>,
    /// `true` while its thermostats are unavailable because the cloud is away.
    is_cloud_lost: bool,
}

/// Service level of the cloud of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cloud {
    pub(crate) level: Level,
    pub(crate) reason: Reason,
    /// Start of this level.
    pub(crate) since: Now,
    /// Time of the last proof of a source. `None` while there is one.
    no_source_since: Option<Duration>,
}

impl Accounts {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Account::default()).collect())
    }

    /// Notes that an account has a thermostat. Returns `true` if it did not before, `None` if there is no such account.
    pub(crate) fn add_device(&mut self, account: AccountIndex, id: DeviceId) -> Option<bool> {
        Some(self.0.get_mut(account.index())?.devices.insert(id))
    }

    /// Records the list of the thermostats of an account. `None` if there is no such account.
    pub(crate) fn handle_list(&mut self, account: AccountIndex, ids: &[DeviceId]) -> Option<()> {
        let account = self.0.get_mut(account.index())?;
        account.listed = true;
        account.devices = ids.iter().copied().collect();
        Some(())
    }

    /// Handles the service level of an account. Returns `true` if it is another than before, `None` if there is no such
    /// account.
    pub(crate) fn handle_service(
        &mut self,
        cx: &mut Context,
        account: AccountIndex,
        level: Level,
        reason: Reason,
        no_source_for: Option<Duration>,
    ) -> Option<bool> {
        let is_only = self.0.len() == 1;
        let known = self.0.get_mut(account.index())?;
        let last = known.cloud;
        let since = last.filter(|cloud| cloud.level == level).map_or(cx.now, |cloud| cloud.since);
        let no_source_since = no_source_for.map(|time| cx.mono().saturating_sub(time));
        known.cloud = Some(Cloud { level, reason, since, no_source_since });
        let is_new = last.is_none_or(|last| (last.level, last.reason) != (level, reason));
        if is_new {
            cx.event(Event::Cloud { account: (!is_only).then_some(account), level, reason });
        }
        Some(is_new)
    }

    /// Counts the clouds as lost that have been without a source of states for
    /// [`Settings::cloud_grace`](crate::Settings::cloud_grace).
    pub(crate) fn step(&mut self, cx: &Context) {
        for account in &mut self.0 {
            let lost_at = account.cloud_lost_at(cx.settings.cloud_grace);
            account.is_cloud_lost = lost_at.is_some_and(|at| at <= cx.mono());
        }
    }

    /// Time of the next call of [`Accounts::step`].
    pub(crate) fn due(&self, cx: &Context) -> Option<Duration> {
        let waiting = self.0.iter().filter(|account| !account.is_cloud_lost);
        waiting.filter_map(|account| account.cloud_lost_at(cx.settings.cloud_grace)).min()
    }

    /// `true` if the thermostats of an account are unavailable because its cloud is away.
    pub(crate) fn is_cloud_lost(&self, account: AccountIndex) -> bool {
        self.0.get(account.index()).is_none_or(|account| account.is_cloud_lost)
    }

    /// `true` if the cloud of an account can be asked.
    pub(crate) fn has_source(&self, account: AccountIndex) -> bool {
        let cloud = self.0.get(account.index()).and_then(|account| account.cloud);
        cloud.is_some_and(|cloud| cloud.no_source_since.is_none())
    }

    /// First account that has a thermostat.
    pub(crate) fn first_with(&self, id: DeviceId) -> Option<AccountIndex> {
        self.0.iter().position(|account| account.devices.contains(&id)).map(AccountIndex::new)
    }

    /// `true` once the thermostats of an account are listed.
    pub(crate) fn is_any_listed(&self) -> bool {
        self.0.iter().any(|account| account.listed)
    }

    /// `true` while the thermostats of all accounts are known.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(|account| account.listed && !account.is_cloud_lost)
    }

    /// `true` once each account is listed or cannot be asked.
    pub(crate) fn is_settled(&self) -> bool {
        // An account that cannot be asked has no thermostats to wait for.
        self.0.iter().all(|account| {
            let needs_sign_in = account.cloud.is_some_and(|cloud| cloud.level == Level::SignInNeeded);
            account.listed || account.is_cloud_lost || needs_sign_in
        })
    }

    /// Accounts and the service levels of their clouds.
    pub(crate) fn clouds(&self) -> impl Iterator<Item = (AccountIndex, Option<Cloud>)> {
        self.0.iter().enumerate().map(|(index, account)| (AccountIndex::new(index), account.cloud))
    }
}

impl Account {
    /// Time from which its thermostats are unavailable because the cloud is away.
    fn cloud_lost_at(&self, grace: Duration) -> Option<Duration> {
        let no_source_since = self.cloud?.no_source_since?;
        Some(no_source_since.saturating_add(grace))
    }
}
