//! Counts of the pairs of trouble and session state that met.

use std::fmt;
use std::marker::PhantomData;

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($kind:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $text] $kind,)*
        }

        impl $name {
            /// All values, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Name for people.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }

            #[allow(dead_code, reason = "not every kind is kept in sets")]
            pub(crate) const fn bit(self) -> u128 {
                1 << self as u32
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl $crate::coverage::Kind for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                self.name()
            }
        }
    };
}
pub(crate) use kinds;

/// Row or column of a [`Coverage`].
pub trait Kind: Copy + 'static {
    /// All values, in the order of the table.
    const ALL: &'static [Self];

    /// Place in [`Kind::ALL`].
    fn index(self) -> usize;

    /// Name for people.
    fn name(self) -> &'static str;
}

kinds! {
    /// Kind of trouble that a campaign may draw. Trouble of the cloud has the name of the simulator's fault; a campaign
    /// draws its details.
    TroubleKind {
        NetDown = "network-down",
        BlackHole = "network-blackhole",
        BlackHoleOut = "network-blackhole-out",
        BlackHoleIn = "network-blackhole-in",
        HeldBack = "bytes to the cloud held back",
        Unsent = "bytes wait in the host",
        Write401 = "write-401",
        Write403 = "write-403",
        Write5xx = "write-503",
        WriteLost = "write-hang",
        WriteReset = "write-reset",
        WriteOpenEnd = "write-lost-answer",
        WriteLate = "write-late",
        ConnectsSlowly = "slow-handshake",
        RestFails = "rest-down",
        AnyHttpFails = "http-down",
        TokensAway = "refresh-down",
        CredentialsAway = "credentials-down",
        TokensRevoked = "revoke",
        TokensExpire = "expire-tokens",
        CredentialsExpire = "expire-credentials",
        UpgradeRefused = "refuse-upgrade",
        UpgradeHangs = "hang-upgrade",
        ConnectIgnored = "ignore-connect",
        ClosedAfterConnect = "close-after-connect",
        AllClosed = "cut",
        ClosedOnPublish = "close-on-publish",
        PublishDenied = "deny-publish",
        PublishesDropped = "drop-publishes",
        PubacksDropped = "drop-pubacks",
        SubacksDropped = "drop-subacks",
        PingsDropped = "drop-pings",
        BrokerBlackHoleIn = "blackhole-in",
        BrokerBlackHoleOut = "blackhole",
        Duplicates = "duplicate",
        QosRaised = "raise-qos",
        BurstDropped = "drop-bursts",
        DeviceOffline = "offline",
        DevicePowerless = "powerless",
        CommandsIgnored = "ignore-commands",
        CommandsRefused = "refuse-commands",
        AcksDropped = "drop-acks",
        AcksDelayed = "delay-acks",
        FalseAcks = "ack-without-applying",
        StatusesDropped = "drop-statuses",
        DeviceClockWrong = "clock-shift",
        StatesFrozen = "freeze-states",
        OnlyDesired = "desired-only",
        StaleDate = "cached",
        LyingDate = "date-ahead",
        ClockStep = "host clock set",
        Suspend = "suspend, clock stops",
        Freeze = "suspend, clock goes on",
        FullDisk = "disk full",
        SecondProcess = "second process renews",
        FullLine = "request line full",
        Restart = "restart",
        Person = "press",
        Schedule = "schedule",
        OtherApp = "other-app",
        ConnectCloses = "close-on-connect",
        FewGranted = "grant-first",
        NothingDelivered = "deliver-nothing",
        StatusRetained = "retained-status",
        BrokerStopsReading = "stop-reading",
        MessagesReordered = "reorder",
        LastingDevice = "device never heals",
        LastingRoute = "route never heals",
    }
}

kinds! {
    /// State of the session, as seen from outside. Several states may hold at once.
    SessionState {
        SigningIn = "signing in",
        Renewing = "renewing",
        Dialling = "dialling",
        Connecting = "connecting",
        Subscribing = "subscribing",
        LiveIdle = "live, idle",
        CommandWaiting = "cmd waiting",
        CommandInFlight = "cmd in flight",
        WriteByRest = "REST write",
        Backoff = "backoff",
        Asleep = "asleep",
    }
}

impl TroubleKind {
    /// Returns `true` for trouble that a simulated cloud cannot make: of the client's machine, of bytes on their way, or
    /// a fault that never ends.
    #[must_use]
    pub const fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::HeldBack
                | Self::Unsent
                | Self::ClockStep
                | Self::Suspend
                | Self::Freeze
                | Self::FullDisk
                | Self::SecondProcess
                | Self::FullLine
                | Self::Restart
                | Self::LastingDevice
                | Self::LastingRoute
        )
    }
}

/// Number of times that each kind of trouble met each state of the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Coverage<T = TroubleKind, S = SessionState> {
    /// Counts, row by row.
    counts: Vec<u32>,
    last: (u128, u128),
    kinds: PhantomData<(T, S)>,
}

impl<T: Kind, S: Kind> Default for Coverage<T, S> {
    fn default() -> Self {
        Self { counts: vec![0; T::ALL.len() * S::ALL.len()], last: (0, 0), kinds: PhantomData }
    }
}

impl<T: Kind, S: Kind> Coverage<T, S> {
    /// Records the kinds of trouble in force and the states that hold. Each pair counts once for as long as it lasts.
    pub(crate) fn see(&mut self, troubles: u128, states: u128) {
        let (before, then) = self.last;
        if (before, then) == (troubles, states) {
            return;
        }
        self.last = (troubles, states);
        for trouble in bits(troubles) {
            let known = if before & (1 << trouble) == 0 { 0 } else { then };
            for state in bits(states & !known) {
                self.add(trouble, state, 1);
            }
        }
    }

    /// Records a kind of trouble that happens at one moment.
    pub(crate) fn record(&mut self, kind: T, states: u128) {
        for state in bits(states) {
            self.add(kind.index(), state, 1);
        }
    }

    fn add(&mut self, trouble: usize, state: usize, by: u32) {
        if let Some(count) = self.counts.get_mut(trouble * S::ALL.len() + state) {
            *count = count.saturating_add(by);
        }
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (count, by) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*by);
        }
    }

    /// Number of times that this kind of trouble met this state.
    #[must_use]
    pub fn count(&self, trouble: T, state: S) -> u32 {
        self.counts[trouble.index() * S::ALL.len() + state.index()]
    }

    /// Pairs that never met.
    pub fn missing(&self) -> impl Iterator<Item = (T, S)> {
        T::ALL.iter().flat_map(move |trouble| {
            let never = move |state: &&S| self.count(*trouble, **state) == 0;
            S::ALL.iter().filter(never).map(|state| (*trouble, *state))
        })
    }
}

impl<T: Kind, S: Kind> fmt::Display for Coverage<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<30}", "")?;
        for state in S::ALL {
            write!(f, "{:>14}", state.name())?;
        }
        for trouble in T::ALL {
            write!(f, "\n{:<30}", trouble.name())?;
            for state in S::ALL {
                write!(f, "{:>14}", self.count(*trouble, *state))?;
            }
        }
        let missing = self.missing().count();
        write!(f, "\n{missing} of {} pairs never met", self.counts.len())
    }
}

fn bits(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let bit = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_of_the_cloud_is_a_fault_of_the_simulator_by_the_same_name() {
        for kind in TroubleKind::ALL {
            let fault = mysa_sim::NamedFault::find(kind.name());
            assert_eq!(fault.is_none(), kind.is_of_host(), "{kind}");
        }
    }

    #[test]
    fn a_pair_counts_once_for_as_long_as_it_lasts() {
        let mut coverage = Coverage::<TroubleKind, SessionState>::default();
        let (lost, live, backoff) =
            (TroubleKind::BlackHoleOut.bit(), SessionState::LiveIdle.bit(), SessionState::Backoff.bit());
        for (troubles, states) in
            [(0, live), (lost, live), (lost, live), (lost, live | backoff), (lost, backoff)]
        {
            coverage.see(troubles, states);
        }
        coverage.see(0, backoff);
        coverage.see(lost, backoff);
        coverage.record(TroubleKind::Restart, live);
        assert_eq!(coverage.count(TroubleKind::BlackHoleOut, SessionState::LiveIdle), 1);
        assert_eq!(coverage.count(TroubleKind::BlackHoleOut, SessionState::Backoff), 2);
        assert_eq!(coverage.count(TroubleKind::Restart, SessionState::LiveIdle), 1);
        assert_eq!(coverage.missing().count(), TroubleKind::ALL.len() * SessionState::ALL.len() - 3);
        let mut sum = Coverage::<TroubleKind, SessionState>::default();
        sum.merge(&coverage);
        sum.merge(&coverage);
        assert_eq!(sum.count(TroubleKind::BlackHoleOut, SessionState::Backoff), 4);
        assert!(sum.to_string().contains("suspend, clock stops"));
    }
}
