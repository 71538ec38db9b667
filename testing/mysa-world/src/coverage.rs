//! Counts of the pairs of trouble and session state that met.

use std::fmt;

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

            pub(crate) const fn bit(self) -> u128 {
                1 << self as u32
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

kinds! {
    /// Kind of trouble that a campaign may draw.
    TroubleKind {
        NetDown = "network down",
        BlackHole = "black hole",
        Deaf = "deaf",
        Mute = "mute",
        HeldBack = "bytes to the cloud held back",
        Write401 = "401 on writes",
        Write403 = "403 on writes",
        Write5xx = "5xx on writes",
        WriteLost = "time-out of writes",
        WriteReset = "reset of writes",
        WriteOpenEnd = "writes done, answer lost",
        WriteLate = "writes arrive late",
        ConnectsSlowly = "writes connect slowly",
        RestFails = "REST fails",
        AnyHttpFails = "any HTTP fails",
        TokensAway = "token service away",
        CredentialsAway = "credentials away",
        TokensRevoked = "tokens revoked",
        TokensExpire = "tokens expire",
        CredentialsExpire = "credentials expire",
        UpgradeRefused = "upgrade refused",
        UpgradeHangs = "upgrade hangs",
        ConnectIgnored = "CONNECT ignored",
        ClosedAfterConnect = "closed after CONNACK",
        AllClosed = "all connections closed",
        ClosedOnPublish = "closed on publish",
        PublishDenied = "publish denied",
        PublishesEaten = "publishes eaten",
        PubacksEaten = "PUBACKs eaten",
        SubacksEaten = "SUBACKs eaten",
        PingsEaten = "pings eaten",
        BrokerDeaf = "broker hears nothing",
        BrokerMute = "broker says nothing",
        Duplicates = "messages twice",
        QosRaised = "QoS raised",
        BurstDropped = "commands in bursts dropped",
        DeviceOffline = "device offline",
        DevicePowerless = "device powerless",
        CommandsIgnored = "commands ignored",
        CommandsRefused = "commands refused",
        AcksDropped = "acks dropped",
        AcksDelayed = "acks delayed",
        AcksUntrue = "acks untrue",
        StatusesDropped = "statuses dropped",
        DeviceClockWrong = "device clock wrong",
        StatesFrozen = "REST states frozen",
        OnlyDesired = "structured only stores",
        StaleDate = "cached Date",
        LyingDate = "lying Date",
        ClockStep = "host clock set",
        Suspend = "suspend, clock stops",
        Freeze = "suspend, clock goes on",
        FullDisk = "disk full",
        SecondProcess = "second process renews",
        FullLine = "request line full",
        Restart = "restart",
        Person = "person turns the knob",
        Schedule = "schedule fires",
        OtherApp = "other app writes",
        ConnectCloses = "CONNECT ends the connection",
        FewGranted = "few filters granted",
        NothingDelivered = "nothing delivered",
        StatusRetained = "status retained",
        BrokerStopsReading = "broker stops reading",
        MessagesReordered = "messages reordered",
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

const TROUBLES: usize = TroubleKind::ALL.len();
const STATES: usize = SessionState::ALL.len();

/// Number of times that each kind of trouble met each state of the session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Coverage {
    counts: Box<[[u32; STATES]; TROUBLES]>,
    last: (u128, u128),
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: Box::new([[0; STATES]; TROUBLES]), last: (0, 0) }
    }
}

impl Coverage {
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
    pub(crate) fn strike(&mut self, kind: TroubleKind, states: u128) {
        for state in bits(states) {
            self.add(kind as usize, state, 1);
        }
    }

    fn add(&mut self, trouble: usize, state: usize, by: u32) {
        if let Some(count) = self.counts.get_mut(trouble).and_then(|row| row.get_mut(state)) {
            *count = count.saturating_add(by);
        }
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (trouble, row) in other.counts.iter().enumerate() {
            for (state, count) in row.iter().enumerate() {
                self.add(trouble, state, *count);
            }
        }
    }

    /// Number of times that this kind of trouble met this state.
    #[must_use]
    pub fn count(&self, trouble: TroubleKind, state: SessionState) -> u32 {
        self.counts[trouble as usize][state as usize]
    }

    /// Pairs that never met.
    pub fn missing(&self) -> impl Iterator<Item = (TroubleKind, SessionState)> {
        TroubleKind::ALL.iter().flat_map(move |trouble| {
            let never = move |state: &&SessionState| self.count(*trouble, **state) == 0;
            SessionState::ALL.iter().filter(never).map(|state| (*trouble, *state))
        })
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<30}", "")?;
        for state in SessionState::ALL {
            write!(f, "{:>14}", state.name())?;
        }
        for trouble in TroubleKind::ALL {
            write!(f, "\n{:<30}", trouble.name())?;
            for state in SessionState::ALL {
                write!(f, "{:>14}", self.count(*trouble, *state))?;
            }
        }
        let missing = self.missing().count();
        write!(f, "\n{missing} of {} pairs never met", TROUBLES * STATES)
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
    fn a_pair_counts_once_for_as_long_as_it_lasts() {
        let mut coverage = Coverage::default();
        let (deaf, live, backoff) =
            (TroubleKind::Deaf.bit(), SessionState::LiveIdle.bit(), SessionState::Backoff.bit());
        for (troubles, states) in
            [(0, live), (deaf, live), (deaf, live), (deaf, live | backoff), (deaf, backoff)]
        {
            coverage.see(troubles, states);
        }
        coverage.see(0, backoff);
        coverage.see(deaf, backoff);
        coverage.strike(TroubleKind::Restart, live);
        assert_eq!(coverage.count(TroubleKind::Deaf, SessionState::LiveIdle), 1);
        assert_eq!(coverage.count(TroubleKind::Deaf, SessionState::Backoff), 2);
        assert_eq!(coverage.count(TroubleKind::Restart, SessionState::LiveIdle), 1);
        assert_eq!(coverage.missing().count(), TROUBLES * STATES - 3);
        let mut sum = Coverage::default();
        sum.merge(&coverage);
        sum.merge(&coverage);
        assert_eq!(sum.count(TroubleKind::Deaf, SessionState::Backoff), 4);
        assert!(sum.to_string().contains("suspend, clock stops"));
    }
}
