use core::time::Duration;

use mysa_cognito::RefreshFlow;
use mysa_proto::rest::Auth;
use mysa_proto::{EnvelopeForm, ModeTable};

/// Settings of a session. The defaults suit one home. Values below a minimum are raised to it, so that no setting makes
/// a session flood the cloud.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Topics to subscribe to. Default: each thermostat's `/out`.
    pub subscriptions: Subscriptions,
    /// Channel for commands. Default: [`CommandChannel::Auto`].
    pub channel: CommandChannel,
    /// Mapping between mode numbers and modes. Default: [`ModeTable::OBSERVED`].
    pub modes: ModeTable,
    /// Form of the command envelope. Default: [`EnvelopeForm::Observed`].
    pub envelope: EnvelopeForm,
    /// Value of `src.ref` in commands. Default: none, which means the user's id, as in the vendor's app.
    pub app_ref: Option<&'static str>,
    /// `true` to keep thermostats reporting live: they do so only for a limited time after each request. Default:
    /// `true`.
    pub live_reports: bool,
    /// `true` to report every message unchanged as [`Event::Message`](crate::Event::Message). Default: `false`.
    pub raw_messages: bool,
    /// `true` to look the broker's host up at the control plane of AWS IoT. The configured host is used if the lookup
    /// is refused, fails, or returns anything but a host of AWS IoT in the region. Default: `false`.
    pub lookup_endpoint: bool,
    /// `true` to refuse every command. Default: `false`.
    pub read_only: bool,
    /// Evidence that confirms a command. Default: [`ConfirmBy::Ack`].
    pub confirm_by: ConfirmBy,
    /// `true` to wait for the effect of a command. Otherwise the command is decided once the broker or the REST service
    /// accepts it, as [`Verdict::Unconfirmed`](crate::Verdict::Unconfirmed) unless its effect was seen before. Default:
    /// `true`.
    pub await_effect: bool,
    /// Form of the `Authorization` header in REST requests. Default: the bare id token.
    pub authorization: Auth,
    /// Cognito API action that renews tokens. Default: `InitiateAuth`. If the pool refuses it,
    /// `GetTokensFromRefreshToken` is tried once.
    pub refresh_flow: RefreshFlow,
    /// Time limit of a command whose caller gives none. Default: 30 s.
    pub command_deadline: Duration,
    /// Minimum time between two writes to one thermostat, not below 2 s. Default: 2.5 s.
    pub write_interval: Duration,
    /// Minimum time between commands to two different thermostats, because several thermostats commanded at once have
    /// been seen to lose commands (Mysa_HA, four thermostats). Default: 1 s.
    pub device_spacing: Duration,
    /// Time after which a command is sent again with a new id, if the broker accepted it and no thermostat answered.
    /// Default: 6 s.
    pub command_repeat_after: Duration,
    /// Maximum number of times a command is sent again with a new id. Default: 3.
    pub command_repeats: u8,
    /// Time limit for the broker's acknowledgement of a publish, after which it is sent again. Default: 5 s.
    pub puback_timeout: Duration,
    /// Maximum number of times an unacknowledged command is sent again on the same connection, with the DUP flag.
    /// Default: 2.
    pub publish_retries: u8,
    /// Number of consecutive publishes that fail, without one acknowledgement, after which MQTT counts as read-only.
    /// Default: 3.
    pub read_only_after: u8,
    /// Minimum time between two publishes or subscriptions on one connection. Default: 350 ms, as in the vendor's app.
    pub pace: Duration,
    /// MQTT keep-alive in whole seconds, limited to 30–1200 s, the range that AWS IoT accepts. Default: 60 s.
    pub keep_alive: Duration,
    /// Time between two pings, at least 5 s. A connection that falls silent is noticed after this time and
    /// [`Settings::ping_timeout`] at the latest. Default: three quarters of the keep-alive, for which `None` stands.
    pub ping_interval: Option<Duration>,
    /// Time limit for the answer to a ping. Default: 10 s.
    pub ping_timeout: Duration,
    /// Time limit from dialling to CONNACK. Default: 20 s.
    pub connect_timeout: Duration,
    /// Time limit of an HTTP request. Default: 20 s.
    pub http_timeout: Duration,
    /// Upper bound of the first pause before dialling again; it doubles with each failure. Default: 2 s.
    pub backoff_first: Duration,
    /// Largest upper bound of a pause before dialling again. Default: 60 s.
    pub backoff_cap: Duration,
    /// Largest upper bound of a pause before a failed poll, or a failed renewal of tokens or credentials, is tried again,
    /// at least 2 s. A longer pause that the cloud asks for is kept, and a pool that answers with an error is asked again
    /// after pauses of up to a minute at least. Default: 5 min.
    pub http_backoff_cap: Duration,
    /// Time a connection must last before the pauses between dials start small again. Default: 60 s.
    pub stable_after: Duration,
    /// Age at which a connection is replaced, at least 1 min. The cloud closes a connection after 24 h. Default: 23 h.
    pub connection_life: Duration,
    /// Time before their expiry at which tokens and credentials are renewed. Default: 5 min.
    pub renewal_margin: Duration,
    /// `true` to replace a connection before the credentials that signed it expire. Default: `true`.
    pub replace_before_credentials_expire: bool,
    /// Duration of live reporting that each request asks for, 1 to 300 s. Default: 180 s.
    pub live_report: Duration,
    /// Time from a request for live reports to the next one, at least 10 s. Default: 150 s, as in the vendor's app.
    pub live_report_renewal: Duration,
    /// Silence after which a thermostat that reports live is stale. Default: 10 min.
    pub stale_after: Duration,
    /// Silence after which a thermostat that does not report live is stale. It sends a batch every 12 to 30 min.
    /// Default: 35 min.
    pub stale_after_quiet: Duration,
    /// Time for which the service level stays live while a lost connection is being replaced. Default: 30 s.
    pub grace: Duration,
    /// Interval of REST state polls while MQTT is live, at least 10 s. Default: 10 min.
    pub poll_live: Duration,
    /// Interval of REST state polls while MQTT is unavailable, at least 10 s. Default: 60 s.
    pub poll_rest_only: Duration,
    /// Time for which states read by REST count as service, at least 10 s. Default: three times
    /// [`Settings::poll_rest_only`] and not less than 90 s, for which `None` stands.
    pub rest_life: Option<Duration>,
    /// Interval of device list polls, at least 10 s. Default: 15 min.
    pub poll_devices: Duration,
    /// Pause before a refused subscription is tried again, at least 10 s. It doubles with each refusal, up to a day, or
    /// up to 15 min while every subscription of the connection is refused. Default: 10 min.
    pub quarantine: Duration,
    /// Pause before publishing is tried again after MQTT was found to be read-only, at least 1 min. Default: 6 h.
    pub read_only_probe: Duration,
    /// Time for which a session trusts an earlier run's finding that the account may not publish. Default: 24 h.
    pub denial_life: Duration,
    /// Maximum number of queued events, not counting verdicts and one entry for each thermostat. Default: 64.
    pub event_capacity: usize,
    /// Maximum number of commands that are undecided or have unread verdicts. Default: 512.
    pub command_capacity: usize,
    /// Largest MQTT packet accepted, in bytes. Default: 160 000; AWS limits the payload to 128 KiB.
    pub max_packet: u32,
    /// Maximum number of thermostats read from the account's list. Default: 1000.
    pub max_devices: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            subscriptions: Subscriptions::default(),
            channel: CommandChannel::Auto,
            modes: ModeTable::OBSERVED,
            envelope: EnvelopeForm::Observed,
            app_ref: None,
            live_reports: true,
            raw_messages: false,
            lookup_endpoint: false,
            read_only: false,
            confirm_by: ConfirmBy::Ack,
            await_effect: true,
            authorization: Auth::Raw,
            refresh_flow: RefreshFlow::InitiateAuth,
            command_deadline: secs(30),
            write_interval: Duration::from_millis(2_500),
            device_spacing: secs(1),
            command_repeat_after: secs(6),
            command_repeats: 3,
            puback_timeout: secs(5),
            publish_retries: 2,
            read_only_after: 3,
            pace: Duration::from_millis(350),
            keep_alive: secs(60),
            ping_interval: None,
            ping_timeout: secs(10),
            connect_timeout: secs(20),
            http_timeout: secs(20),
            backoff_first: secs(2),
            backoff_cap: secs(60),
            http_backoff_cap: secs(300),
            stable_after: secs(60),
            connection_life: secs(23 * 3_600),
            renewal_margin: secs(300),
            replace_before_credentials_expire: true,
            live_report: secs(180),
            live_report_renewal: secs(150),
            stale_after: secs(600),
            stale_after_quiet: secs(35 * 60),
            grace: secs(30),
            poll_live: secs(600),
            poll_rest_only: secs(60),
            rest_life: None,
            poll_devices: secs(900),
            quarantine: secs(600),
            read_only_probe: secs(6 * 3_600),
            denial_life: secs(24 * 3_600),
            event_capacity: 64,
            command_capacity: 512,
            max_packet: 160_000,
            max_devices: 1_000,
        }
    }
}

impl Settings {
    /// Returns the settings with every interval at its minimum or above.
    pub(crate) fn with_minimums(mut self) -> Self {
        let secs = Duration::from_secs;
        for (interval, least) in [
            (&mut self.puback_timeout, secs(1)),
            (&mut self.poll_live, secs(10)),
            (&mut self.poll_rest_only, secs(10)),
            (&mut self.poll_devices, secs(10)),
            (&mut self.live_report_renewal, secs(10)),
            (&mut self.quarantine, secs(10)),
            (&mut self.connection_life, secs(60)),
            (&mut self.read_only_probe, secs(60)),
            (&mut self.http_backoff_cap, secs(2)),
        ] {
            *interval = (*interval).max(least);
        }
        self.ping_interval = self.ping_interval.map(|interval| interval.max(secs(5)));
        self.rest_life = self.rest_life.map(|life| life.max(secs(10)));
        self
    }

    /// Returns the minimum time between two writes to one thermostat, at least 2 s.
    pub(crate) fn write_interval(&self) -> Duration {
        self.write_interval.max(Duration::from_secs(2))
    }

    /// Returns the interval of pings. By default it is three quarters of the keep-alive: together with the ping's time
    /// limit, a dead connection is noticed within the one and a half keep-alives after which AWS IoT closes a silent
    /// client.
    pub(crate) fn ping_interval(&self) -> Duration {
        // The broker needs a sign of life within the keep-alive.
        let longest = Duration::from_secs(self.keep_alive_secs().into()) * 3 / 4;
        self.ping_interval.map_or(longest, |interval| interval.min(longest))
    }

    /// Returns the time for which states read by REST count as service: three polls by default, because one may fail.
    pub(crate) fn rest_life(&self) -> Duration {
        // Short poll intervals must not make the level flap.
        self.rest_life.unwrap_or(self.poll_rest_only.max(Duration::from_secs(30)) * 3)
    }

    /// Returns the keep-alive for CONNECT in seconds, within the limits of AWS IoT.
    pub(crate) fn keep_alive_secs(&self) -> u16 {
        u16::try_from(self.keep_alive.as_secs()).unwrap_or(1_200).clamp(30, 1_200)
    }
}

/// Topics to subscribe to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Subscriptions {
    /// `true` to subscribe to `/v1/dev/+/out`, one filter for all thermostats, as in the design document. No source
    /// shows that the access policy allows it; when the broker refuses it, each thermostat's own topic is used instead.
    /// Default: `false`.
    pub wildcard: bool,
    /// `true` to subscribe to `/batch`, the stored readings, of each thermostat too. Default: `false`.
    pub batch: bool,
}

impl Subscriptions {
    /// One wildcard filter for all thermostats.
    pub const WILDCARD: Self = Self { wildcard: true, batch: false };
    /// Statuses and stored readings of each thermostat.
    pub const WITH_BATCH: Self = Self { wildcard: false, batch: true };
}

/// Channel for commands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are two channels")]
pub enum CommandChannel {
    /// MQTT, and the structured REST service in three cases: while MQTT is unavailable for long or known to be
    /// read-only, for models that have no other channel, and once for a command that MQTT failed to deliver.
    #[default]
    Auto,
    /// MQTT only.
    Mqtt,
    /// The structured REST service only.
    Structured,
}

/// Evidence that confirms a command sent by MQTT.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two kinds of evidence")]
pub enum ConfirmBy {
    /// The thermostat's acknowledgement if it shows the requested values, or a later status that does.
    #[default]
    Ack,
    /// A later status only, for every field that a status contains.
    Status,
}
