use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::{DeviceId, TopicKind, UnixTime};
use mysa_sigv4::{Authority, PresignedUrl, Presigner, TokenRule};
use time::OffsetDateTime;

use crate::auth::Identity;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::mqtt::connection::{Connection, ConnectionEvent, Phase, SUSPECT_DELAY};
use crate::mqtt::permission::Permission;
use crate::mqtt::publishes::Publishing;
use crate::mqtt::subscription::{Records, SubscriptionState, TopicFilter};
use crate::now::earlier;
use crate::{ConnId, Deadline, Dial, Now, Output, Reason, Wake};

/// All MQTT connections of the account. AWS IoT allows 50 subscriptions per connection, so one connection is enough for
/// 50 filters, and each further 50 (a shard) get another.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ConnectionPool {
    shards: Vec<Shard>,
    pub(crate) permission: Permission,
    records: Records,
    wildcard_refused: bool,
    captured: Option<Captured>,
    next_id: u32,
    dialled_at: Option<Duration>,
    /// Number of consecutive connections, of all shards, that ended before they lasted
    /// [`Settings::stable_after`](crate::Settings::stable_after).
    short_lived: u32,
    signed_at: i64,
    /// Number of consecutive refusals of the upgrade or of CONNECT. Refusals by a broker in trouble (5xx, 429) do not
    /// count.
    refusals: u32,
    trouble: Option<Reason>,
    stopped: bool,
    /// Time at which a live connection was lost, until one is live again: the end of a connection that was closed, and the latest sign of
    /// life of one that was given up.
    pub(crate) lost_at: Option<Duration>,
    /// Connections that have ended and are not reported to the command book yet.
    ended: Vec<Ended>,
    // The last field is next to the others that every message reads; see `Session`.
    pub(crate) connections: Vec<Connection>,
}

#[derive(Debug, Default)]
struct Shard {
    wanted: Vec<TopicFilter>,
    backoff: Backoff,
    dial_at: Duration,
    /// Time of the last failure of a connection.
    failed_at: Duration,
}

impl Shard {
    /// Returns `true` if a connection that has been live since `live_since` proves that the failures are over. An old
    /// connection whose replacements fail one after the other proves nothing.
    fn is_proved_by(&self, live_since: Duration) -> bool {
        self.backoff.failures() > 0 && live_since >= self.failed_at
    }
}

#[derive(Debug)]
struct Captured {
    url: PresignedUrl,
    authority: Authority,
    expires_at: UnixTime,
}

/// Connection that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) conn: ConnId,
    /// `true` if it held the bytes of a decided command: its end says nothing about the other commands on it.
    pub(crate) recalled: bool,
}

/// Reason why a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseReason {
    /// The broker, or an intermediary, closed the connection.
    Closed,
    /// The connection could not be opened. The status is set if the broker answered.
    Refused { status: Option<u16> },
    /// CONNACK refused the connection.
    ConnectRefused(ConnectRefusal),
    /// The broker, or an intermediary, closed the connection after CONNECT and before CONNACK.
    ClosedAtConnect,
    /// The session gave the connection up because of silence or invalid bytes.
    GivenUp,
}

/// Maximum number of subscriptions on a connection (AWS IoT limit).
const FILTERS_PER_CONNECTION: usize = 50;
/// Time after a publish within which the end of the connection is blamed on it: AWS IoT closes the connection on a
/// publish that the policy denies.
const PUBLISH_BLAME_WINDOW: Duration = Duration::from_secs(10);
/// Minimum time between two dials, and so between two CONNECTs and two signatures. AWS IoT allows one CONNECT per
/// second and client id.
const DIAL_SPACING: Duration = Duration::from_millis(1_100);
/// Minimum time between two dials while no connection lasts. Each shard has its own back-off, so the shards of a large
/// home together would otherwise dial once a second for minutes.
const FAILING_DIAL_SPACING: Duration = Duration::from_secs(3);
/// Number of consecutive short-lived connections from which on [`FAILING_DIAL_SPACING`] applies.
const MANY_SHORT_LIVED: u32 = 8;
/// Maximum number of seconds by which a signature's time may be ahead of the clock so that it is new. AWS allows five
/// minutes.
const MAX_SIGNATURE_LEAD_SECS: i64 = 30;
/// Number of consecutive refusals from which on dials are rare: this account may have no MQTT at all.
const MANY_REFUSALS: u32 = 6;
const SLOW_RETRY: Duration = Duration::from_secs(15 * 60);
/// Longest pause before a refused filter is tried again while nothing at all is granted. Without any statuses a long
/// pause is costly, and a request disturbs no other subscription.
const UNSUBSCRIBED_RETRY: Duration = Duration::from_secs(15 * 60);
/// Time that a replaced connection has for what is in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

impl ConnectionPool {
    pub(crate) fn new(captured: Option<PresignedUrl>) -> Self {
        let captured = captured.and_then(|url| {
            let inspection = url.inspect().ok()?;
            let expires_at = UnixTime::from_secs(inspection.expires_at.unix_timestamp());
            Some(Captured { url, authority: inspection.authority, expires_at })
        });
        Self {
            connections: Vec::new(),
            shards: Vec::new(),
            permission: Permission::default(),
            records: Records::default(),
            wildcard_refused: false,
            captured,
            next_id: 0,
            dialled_at: None,
            short_lived: 0,
            signed_at: 0,
            refusals: 0,
            trouble: None,
            stopped: false,
            lost_at: None,
            ended: Vec::new(),
        }
    }

    /// Sets the wanted filters: those of the given thermostats and no others. A filter stays on its connection.
    pub(crate) fn want(&mut self, cx: &Context, devices: impl Iterator<Item = DeviceId> + Clone) {
        let choice = cx.settings.subscriptions;
        let mut wanted: Vec<TopicFilter> = Vec::new();
        if choice.wildcard && !self.wildcard_refused && devices.clone().next().is_some() {
            wanted.push(TopicFilter::Everything);
        } else {
            wanted.extend(devices.clone().map(|device| TopicFilter::Device(device, TopicKind::Out)));
        }
        if choice.batch {
            wanted.extend(devices.map(|device| TopicFilter::Device(device, TopicKind::Batch)));
        }
        wanted.sort_unstable();
        // A thermostat that is removed and added again starts without a record.
        self.records.forget(|one| wanted.binary_search(&one).is_ok());
        for shard in &mut self.shards {
            shard.wanted.retain(|one| wanted.binary_search(one).is_ok());
        }
        for one in wanted {
            if self.shards.iter().any(|shard| shard.wanted.contains(&one)) {
                continue;
            }
            match self.shards.iter_mut().find(|shard| shard.wanted.len() < FILTERS_PER_CONNECTION) {
                Some(shard) => shard.wanted.push(one),
                None => {
                    // One process may hold a thousand sessions with a single shard each.
                    self.shards.reserve_exact(1);
                    self.shards.push(Shard { wanted: alloc::vec![one], ..Shard::default() });
                }
            }
        }
        for shard in &mut self.shards {
            shard.wanted.shrink_to_fit();
        }
        for connection in &mut self.connections {
            if connection.is_live() && connection.leave_at.is_none() {
                let wanted = self.shards.get(connection.shard).map_or(&[][..], |shard| &shard.wanted);
                connection.reconcile(wanted);
            }
        }
    }

    /// Returns `true` if credentials are needed to dial.
    pub(crate) fn wants_credentials(&self) -> bool {
        self.captured.is_none() && !self.stopped && self.shards.iter().any(|shard| !shard.wanted.is_empty())
    }

    /// Returns `true` if every shard has a connection with granted subscriptions.
    pub(crate) fn is_live(&self) -> bool {
        let mut any = false;
        for (at, shard) in self.shards.iter().enumerate() {
            if shard.wanted.is_empty() {
                continue;
            }
            any = true;
            if !self.connections.iter().any(|connection| {
                connection.shard == at && connection.is_settled() && connection.has_granted()
            }) {
                return false;
            }
        }
        any
    }

    /// Returns `true` if the broker refuses the subscriptions to the statuses of some thermostats.
    pub(crate) fn refuses_some(&self) -> bool {
        self.connections
            .iter()
            .filter(|connection| connection.leave_at.is_none())
            .any(Connection::refuses_some)
    }

    /// Reason why the pool is not live.
    pub(crate) fn trouble(&self) -> Option<Reason> {
        let refused =
            self.connections.iter().any(|connection| connection.is_settled() && !connection.has_granted());
        if refused { Some(Reason::SubscriptionsRefused) } else { self.trouble }
    }

    /// Returns `true` if the broker refused the last CONNECT and no connection is live.
    pub(crate) fn is_connecting_refused(&self) -> bool {
        matches!(self.trouble, Some(Reason::ConnectRefused(_))) && !self.is_live()
    }

    /// Number of consecutive failures of the worst shard, and the time of its next dial.
    pub(crate) fn failing(&self) -> Option<(u32, Duration)> {
        let failing =
            |shard: &Shard| (shard.backoff.failures() > 0).then(|| (shard.backoff.failures(), shard.dial_at));
        self.trouble.and_then(|_| self.shards.iter().filter_map(failing).max())
    }

    /// Returns `true` if the captured URL can no longer open a connection.
    pub(crate) fn captured_expired(&self, cx: &Context) -> bool {
        let expired = self
            .captured
            .as_ref()
            .is_some_and(|captured| captured.expires_at < cx.time() || self.refusals >= 3);
        expired && self.connections.is_empty()
    }

    /// Returns the position of the connection to publish on for a thermostat. Its subscription must be answered first,
    /// because the thermostat's reply would be missed otherwise.
    pub(crate) fn connection_for(&self, device: DeviceId) -> Option<usize> {
        let wanted = TopicFilter::Device(device, TopicKind::Out);
        self.connections.iter().position(|connection| {
            connection.is_live()
                && connection.leave_at.is_none()
                && matches!(
                    connection.subscription(wanted),
                    Some(SubscriptionState::Granted | SubscriptionState::Refused { .. })
                )
        })
    }

    /// Returns the state of the subscription to a thermostat's statuses, on its newest connection.
    pub(crate) fn subscription(&self, device: DeviceId) -> Option<SubscriptionState> {
        let wanted = TopicFilter::Device(device, TopicKind::Out);
        self.connections.iter().rev().find_map(|connection| connection.subscription(wanted))
    }

    pub(crate) fn position(&self, id: ConnId) -> Option<usize> {
        self.connections.iter().position(|connection| connection.id == id)
    }

    /// Releases a transmission whose commands have their verdicts. Returns the connection on which its bytes may still leave this
    /// host; only its end keeps them from being sent.
    pub(crate) fn release(&mut self, serial: u64, now: Now) -> Option<usize> {
        self.connections.iter_mut().position(|connection| connection.release(serial, now))
    }

    /// As [`ConnectionPool::release`], for a transmission that carries undecided commands as well.
    pub(crate) fn decide(&mut self, serial: u64, now: Now) -> Option<usize> {
        self.connections.iter_mut().position(|connection| connection.decide(serial, now))
    }

    /// Ends the connections that may still hold an older publish to this thermostat, of those that
    /// `contradicts` selects by their serials: a broker that reads it late would undo a newer command that
    /// was sent by another connection or channel.
    /// [`Output::Abort`] discards what was not sent. `kept` carries the newer command itself, in order.
    pub(crate) fn end_contradicting(
        &mut self,
        cx: &mut Context,
        device: DeviceId,
        kept: Option<ConnId>,
        contradicts: impl Fn(u64) -> bool,
    ) {
        let holds = |other: &Connection| Some(other.id) != kept && other.may_hold(device, &contradicts);
        while let Some(at) = self.connections.iter().position(holds) {
            self.end(cx, at, CloseReason::GivenUp);
        }
    }

    /// Handles timers, replacements and dials, then lets each connection subscribe.
    pub(crate) fn step(&mut self, cx: &mut Context, identity: &Identity, events: &mut Vec<ConnectionEvent>) {
        let now = cx.mono();
        let mut at = 0;
        while let Some(connection) = self.connections.get_mut(at) {
            let mut new = Vec::new();
            connection.step(cx, &mut new);
            if connection.is_settled() && !connection.has_granted() {
                connection.schedule_retries_no_later_than(cx.after(UNSUBSCRIBED_RETRY));
            }
            let leaving = connection
                .leave_at
                .is_some_and(|leave_at| leave_at <= now || connection.publishes.is_empty());
            let ended = self.apply_events(cx, at, &new);
            events.append(&mut new);
            if ended {
                continue;
            }
            if leaving {
                self.part(cx, at);
            } else {
                at += 1;
            }
        }
        self.reset_stable(cx);
        self.hand_over(cx);
        self.dial(cx, identity);
        let mut at = 0;
        while let Some(connection) = self.connections.get_mut(at) {
            let may = connection.is_live() && connection.leave_at.is_none() && connection.next_send <= now;
            if may && !connection.subscribe(cx, |wanted| self.records.is_suspect(wanted)) {
                self.end(cx, at, CloseReason::GivenUp);
            } else {
                at += 1;
            }
        }
    }

    /// Resets the back-off of shards whose connection has proved lasting.
    fn reset_stable(&mut self, cx: &Context) {
        for connection in &self.connections {
            if let Some(since) = connection.live_since()
                && cx.mono().saturating_sub(since) >= cx.settings.stable_after
                && let Some(shard) = self.shards.get_mut(connection.shard)
                && shard.is_proved_by(since)
            {
                shard.backoff.reset();
            }
        }
    }

    /// Lets the older connection of a shard leave once its replacement has its subscriptions.
    fn hand_over(&mut self, cx: &Context) {
        for at in 0..self.connections.len() {
            let Some(connection) = self.connections.get(at) else { continue };
            let (shard, id) = (connection.shard, connection.id);
            if !connection.is_settled() || connection.leave_at.is_some() {
                continue;
            }
            for older in &mut self.connections {
                // Ids ascend, so a smaller one is an older connection.
                if older.shard == shard && older.id < id && older.leave_at.is_none() {
                    older.leave_at = Some(cx.after(DRAIN_TIMEOUT));
                }
            }
        }
    }

    /// Dials the connection that is due first, if there are credentials to sign with.
    fn dial(&mut self, cx: &mut Context, identity: &Identity) {
        let Some((shard, _)) = self.next_dial(cx, identity).filter(|(_, at)| *at <= cx.mono()) else {
            return;
        };
        let id = ConnId(self.next_id + 1);
        let Some((url, authority, replace_at)) = self.sign(cx, identity) else { return };
        self.next_id += 1;
        self.dialled_at = Some(cx.mono());
        self.connections.reserve_exact(1);
        self.connections.push(Connection::new(cx, id, shard, replace_at));
        let timeout = cx.settings.connect_timeout;
        cx.outbox.output(Output::Dial(Dial { conn: id, url, authority, subprotocol: "mqtt", timeout }));
    }

    /// Returns the shard to dial next, and when. `None` while another dial is in progress.
    fn next_dial(&self, cx: &Context, identity: &Identity) -> Option<(usize, Duration)> {
        let opening = |connection: &Connection| !connection.is_live();
        if self.stopped || self.connections.iter().any(opening) {
            return None;
        }
        if self.captured.is_none() && identity.credentials(cx).is_none() {
            return None;
        }
        if self.captured_expired(cx) {
            return None;
        }
        let spacing = if self.short_lived >= MANY_SHORT_LIVED { FAILING_DIAL_SPACING } else { DIAL_SPACING };
        let spaced = self.dialled_at.map_or(Duration::ZERO, |at| at.saturating_add(spacing));
        let spaced = spaced.max(cx.broker.hold_until());
        let mut best: Option<(usize, Duration)> = None;
        for (at, shard) in self.shards.iter().enumerate() {
            if shard.wanted.is_empty() {
                continue;
            }
            let mut own =
                self.connections.iter().filter(|other| other.shard == at && other.leave_at.is_none());
            let due = match (own.next(), own.next()) {
                (None, _) => shard.dial_at,
                // A replacement makes sense only if the current credentials last longer than those that signed the old
                // connection.
                (Some(current), None) if self.captured.is_none() && identity.has_fresh_credentials(cx) => {
                    current.replace_at.max(shard.dial_at)
                }
                _ => continue,
            };
            let due = due.max(spaced);
            if best.is_none_or(|(_, earliest)| due < earliest) {
                best = Some((at, due));
            }
        }
        best
    }

    /// Returns a URL signed with the current credentials, the authority to dial, and the time at which that connection
    /// is to be replaced.
    pub(crate) fn sign(
        &mut self,
        cx: &mut Context,
        identity: &Identity,
    ) -> Option<(PresignedUrl, Authority, Duration)> {
        if let Some(captured) = &self.captured {
            return Some((captured.url.clone(), captured.authority.clone(), Duration::MAX));
        }
        let (credentials, expires_at, renewed) = identity.credentials(cx)?;
        // A signature's time has whole seconds. Each URL must differ from the last, because the refusal of a reused URL
        // could not be distinguished from the refusal of the credentials.
        let seconds = cx.time().as_secs();
        // If the clock was set back by more than the limit, the old signature time is not continued.
        let ahead = self.signed_at.saturating_sub(seconds);
        let seconds =
            if (0..MAX_SIGNATURE_LEAD_SECS).contains(&ahead) { self.signed_at + 1 } else { seconds };
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        let authority = cx.broker.get(&cx.environment.broker).0.clone();
        let url = Presigner::iot(cx.environment.region.as_str())
            .presign(credentials, &authority, "/mqtt", time, None, TokenRule::AfterSigning)
            .ok()?;
        self.signed_at = seconds;
        // Jitter keeps the connections of one process from being replaced at the same moment.
        let jitter = cx.entropy.up_to(Duration::from_secs(60));
        let mut replace_at = cx.after(cx.settings.connection_life.saturating_sub(jitter));
        if cx.settings.replace_before_credentials_expire {
            // The replacement is due after the renewal of the credentials, and well before they expire; the jitter
            // spreads the connections of one account.
            let spread = expires_at.saturating_sub(renewed) / 4;
            let jitter = cx.entropy.up_to(spread);
            replace_at = replace_at.min(renewed.saturating_add(jitter)).max(cx.after(spread));
        }
        Some((url, authority, replace_at))
    }

    /// Returns the host and port of the next dial.
    pub(crate) fn authority<'a>(&'a self, cx: &'a Context) -> &'a Authority {
        match &self.captured {
            Some(captured) => &captured.authority,
            None => cx.broker.get(&cx.environment.broker).0,
        }
    }

    pub(crate) fn handle_opened(&mut self, cx: &mut Context, at: usize) {
        if let Some(connection) = self.connections.get_mut(at) {
            connection.opened(cx);
        }
    }

    /// Applies the events of a connection to the pool. Returns `true` if the connection has ended.
    pub(crate) fn apply_events(&mut self, cx: &mut Context, at: usize, events: &[ConnectionEvent]) -> bool {
        let mut ending = None;
        for one in events.iter() {
            let Some(connection) = self.connections.get_mut(at) else { break };
            match *one {
                ConnectionEvent::Live => {
                    let wanted = self.shards.get(connection.shard).map_or(&[][..], |shard| &shard.wanted);
                    connection.reconcile(wanted);
                    for wanted in wanted {
                        if let Some(until) =
                            self.records.blocked_until(*wanted).filter(|until| *until > cx.mono())
                        {
                            connection.set_refused(*wanted, until);
                        }
                    }
                    // The first subscription is sent at once: without it the connection is useless.
                    connection.next_send = cx.mono();
                    self.refusals = 0;
                    self.trouble = None;
                    self.lost_at = None;
                    if connection.looked_up {
                        cx.broker.prove();
                    }
                }
                ConnectionEvent::Granted(wanted) => self.records.granted(wanted),
                // If no subscription at all is answered, the connection is to blame; if that happens on three
                // connections in a row, the filters are to blame.
                ConnectionEvent::NoAnswer(_)
                    if !connection.has_granted()
                        && self
                            .shards
                            .get(connection.shard)
                            .is_some_and(|shard| shard.backoff.failures() < 3) =>
                {
                    ending = Some(CloseReason::GivenUp);
                }
                ConnectionEvent::Denied(TopicFilter::Everything)
                | ConnectionEvent::NoAnswer(TopicFilter::Everything) => {
                    self.wildcard_refused = true;
                }
                ConnectionEvent::Denied(wanted) | ConnectionEvent::NoAnswer(wanted) => {
                    let retry_at = self.records.refused(wanted, cx.mono(), cx.settings.quarantine);
                    connection.set_refused(wanted, retry_at);
                }
                ConnectionEvent::Acknowledged(_) => self.permission.granted(),
                ConnectionEvent::Unanswered(what) => self.record_failure(cx, what),
                ConnectionEvent::ConnectRefused(refusal) => {
                    ending = Some(CloseReason::ConnectRefused(refusal))
                }
                ConnectionEvent::Dead => ending = Some(CloseReason::GivenUp),
            }
        }
        if let Some(ending) = ending {
            self.end(cx, at, ending);
        }
        ending.is_some()
    }

    /// Restores an earlier run's finding that this account may not publish. The finding holds for
    /// [`Settings::denial_life`](crate::Settings::denial_life). It is tested in between, and by each command that has
    /// no other channel.
    pub(crate) fn remember_denial(&mut self, cx: &Context, at: UnixTime) {
        let age = cx.time().since(at).filter(|age| *age < cx.settings.denial_life);
        if let Some(age) = age {
            let probe_at = cx.after(cx.settings.read_only_probe.saturating_sub(age));
            self.permission.deny(at, probe_at, false);
        }
    }

    fn record_failure(&mut self, cx: &Context, what: Publishing) {
        let command = matches!(what, Publishing::Command { .. });
        let probe_at = cx.after(cx.settings.read_only_probe);
        self.permission.record_failure(command, cx.settings.read_only_after, cx.time(), probe_at);
    }

    /// Removes a connection that has ended or is to end, and schedules the next dial.
    pub(crate) fn end(&mut self, cx: &mut Context, at: usize, ending: CloseReason) {
        if at >= self.connections.len() {
            return;
        }
        let connection = self.connections.remove(at);
        self.ended.push(Ended { conn: connection.id, recalled: connection.publishes.hold_decided() });
        cx.outbox.drop_sends(connection.id);
        let now = cx.mono();
        if connection.looked_up && !connection.is_live() {
            cx.broker.failed(now);
        }
        if matches!(ending, CloseReason::GivenUp | CloseReason::ConnectRefused(_)) {
            cx.outbox.output(Output::Abort { conn: connection.id });
        }
        // The end of a replaced connection is expected, and no failure.
        if connection.leave_at.is_some() {
            return;
        }
        if connection.is_live() {
            let silent = ending == CloseReason::GivenUp;
            self.lost_at = Some(if silent { connection.last_received() } else { now });
        }
        if ending == CloseReason::Closed {
            // The latest publish is the most likely cause.
            if let Some(what) = connection.publishes.latest_within(PUBLISH_BLAME_WINDOW, now) {
                self.record_failure(cx, what);
            }
            self.suspect_filters(cx, &connection, now);
        }
        match ending {
            CloseReason::Refused { status } => {
                // A broker in trouble (5xx, 429) proves nothing about this account.
                let counts = status.is_some_and(|status| status < 500 && status != 429);
                self.refusals = self.refusals.saturating_add(u32::from(counts));
                self.trouble = Some(Reason::UpgradeRefused { status });
            }
            CloseReason::ConnectRefused(refusal) => {
                let counts = refusal != ConnectRefusal::Unavailable;
                self.refusals = self.refusals.saturating_add(u32::from(counts));
                self.trouble = Some(Reason::ConnectRefused(refusal));
            }
            CloseReason::ClosedAtConnect => self.trouble = Some(Reason::ConnectNotPermitted),
            // A connection that was never live cannot be lost.
            CloseReason::GivenUp if !connection.is_live() => {
                self.trouble = Some(Reason::UpgradeRefused { status: None });
            }
            CloseReason::Closed | CloseReason::GivenUp => self.trouble = Some(Reason::ConnectionLost),
        }
        let lasted = connection
            .live_since()
            .is_some_and(|since| now.saturating_sub(since) >= cx.settings.stable_after);
        self.short_lived = if lasted { 0 } else { self.short_lived.saturating_add(1) };
        let Some(shard) = self.shards.get_mut(connection.shard) else { return };
        if lasted {
            shard.backoff.reset();
        }
        let cap = if self.refusals >= MANY_REFUSALS { SLOW_RETRY } else { cx.settings.backoff_cap };
        let mut pause = shard.backoff.next(cx.settings.backoff_first, cap, &mut cx.entropy);
        if self.refusals >= MANY_REFUSALS {
            // Without a lower bound, full jitter would still allow frequent dials.
            pause = pause.max(SLOW_RETRY / 2);
        }
        shard.dial_at = now.saturating_add(pause);
        shard.failed_at = now;
    }

    /// Marks the filters that were requested when the connection ended as suspects, if the connection worked otherwise.
    fn suspect_filters(&mut self, cx: &Context, connection: &Connection, now: Duration) {
        let Phase::Live { since } = connection.phase else { return };
        let asked: Vec<TopicFilter> = connection.asked().collect();
        let worked = connection.has_granted() || now.saturating_sub(since) >= SUSPECT_DELAY;
        // Only a filter requested alone, on a connection that worked otherwise, can be held responsible.
        let alone = asked.len() == 1 && worked;
        for wanted in asked {
            if wanted == TopicFilter::Everything && (alone || self.records.is_suspect(wanted)) {
                self.wildcard_refused = true;
            }
            self.records.suspect(wanted, alone, now, cx.settings.quarantine);
        }
    }

    /// Closes a connection with DISCONNECT, unless the bytes of a command may still wait on it: those must not be sent
    /// any more, so nothing is sent behind them either.
    fn part(&mut self, cx: &mut Context, at: usize) {
        let connection = self.connections.remove(at);
        self.ended.push(Ended { conn: connection.id, recalled: false });
        let conn = connection.id;
        if !connection.is_live() || connection.is_blocked() || connection.holds_commands() {
            cx.outbox.drop_sends(conn);
            cx.outbox.output(Output::Abort { conn });
            return;
        }
        // If the driver does not keep up, closing the WebSocket has the same effect.
        let _ = cx.outbox.send(conn, |out| out.extend_from_slice(&mysa_mqtt_codec::DISCONNECT));
        cx.outbox.output(Output::Close { conn });
    }

    /// Returns the connections that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        core::mem::take(&mut self.ended)
    }

    /// Closes every connection, and dials no more.
    pub(crate) fn stop(&mut self, cx: &mut Context) {
        self.stopped = true;
        while !self.connections.is_empty() {
            self.part(cx, 0);
        }
    }

    pub(crate) const fn start(&mut self) {
        self.stopped = false;
    }

    pub(crate) const fn wildcard_refused(&self) -> bool {
        self.wildcard_refused
    }

    /// Number of consecutive refusals of the upgrade or of CONNECT.
    pub(crate) const fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Pings every connection, because the host slept or its network changed.
    pub(crate) fn probe(&mut self, cx: &mut Context) {
        for connection in &mut self.connections {
            connection.ping(cx);
        }
    }

    pub(crate) fn deadline(&self, cx: &Context, identity: &Identity) -> Option<Deadline> {
        let mut due = self.next_dial(cx, identity).map(|(_, at)| Deadline::new(at, Wake::Dial));
        for connection in &self.connections {
            due = earlier(due, connection.deadline(|wanted| self.records.is_suspect(wanted)));
            if let Some(since) = connection.live_since()
                && let Some(shard) = self.shards.get(connection.shard)
                && shard.is_proved_by(since)
            {
                let stable = since.saturating_add(cx.settings.stable_after);
                due = earlier(due, Some(Deadline::new(stable, Wake::Dial)));
            }
        }
        due
    }
}
