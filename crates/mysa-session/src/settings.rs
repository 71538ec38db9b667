use core::time::Duration;

use mysa_cognito::RefreshFlow;
use mysa_proto::rest::Auth;
use mysa_proto::{EnvelopeForm, ModeTable};

/// Settings of a session. Every field has a default that suits one home.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Topics to subscribe to. Default: each thermostat's `/out`.
    pub subscriptions: Subscriptions,
    /// Channel of commands. Default: [`CommandChannel::Auto`].
    pub channel: CommandChannel,
    /// Numbers of the modes. Default: [`ModeTable::OBSERVED`].
    pub modes: ModeTable,
    /// Form of the command envelope. Default: [`EnvelopeForm::Observed`].
    pub envelope: EnvelopeForm,
    /// `src.ref` of commands. Default: none, which means the user's id, as the vendor's app does.
    pub app_ref: Option<&'static str>,
    /// Whether to keep thermostats reporting live, which the user asks for by watching. Default: yes.
    pub live_reports: bool,
    /// Whether to pass every message on as it came, as [`Event::Message`](crate::Event::Message). Default: no.
    pub raw_messages: bool,
    /// Whether no command may be sent at all; each is refused. Default: no.
    pub read_only: bool,
    /// Evidence that confirms a command. Default: [`ConfirmBy::Ack`].
    pub confirm_by: ConfirmBy,
    /// Form of the `Authorization` header of REST. Default: the bare id token.
    pub authorization: Auth,
    /// The API action that renews tokens. Default: `InitiateAuth`; a pool that refuses it is asked once by
    /// `GetTokensFromRefreshToken`.
    pub refresh_flow: RefreshFlow,
    /// Time a command has unless its caller says otherwise. Default: 30 s.
    pub command_deadline: Duration,
    /// Least time between two writes to one thermostat. At least 2 s. Default: 2.5 s.
    pub write_interval: Duration,
    /// Least time between commands to two different thermostats: several commanded at once have been seen to be lost
    /// (Mysa_HA, four thermostats). Default: 1 s.
    pub device_spacing: Duration,
    /// Time after which a command that the broker accepted, and of which nothing was heard, is sent again with an id of
    /// its own. Default: 6 s.
    pub command_repeat_after: Duration,
    /// Most times a command is sent again with an id of its own. Default: 3.
    pub command_repeats: u8,
    /// Time a published message has to be acknowledged by the broker before it is sent once more. Default: 5 s.
    pub puback_timeout: Duration,
    /// Most times an unacknowledged command is sent again on the same connection, with DUP. Default: 2.
    pub publish_retries: u8,
    /// Failed publishes in a row, none acknowledged, after which MQTT counts as read-only. Default: 3.
    pub read_only_after: u8,
    /// Time between two publishes, or subscriptions, on one connection. Default: 350 ms, as in the vendor's app.
    pub pace: Duration,
    /// MQTT keep-alive in whole seconds, 30 to 1200. Default: 60 s.
    pub keep_alive: Duration,
    /// Time the answer to a ping may take. Default: 10 s.
    pub ping_timeout: Duration,
    /// Time from dialling to CONNACK. Default: 20 s.
    pub connect_timeout: Duration,
    /// Time an HTTP request has. Default: 20 s.
    pub http_timeout: Duration,
    /// Longest first pause before dialling again; it doubles from failure to failure. Default: 2 s.
    pub backoff_first: Duration,
    /// Longest pause before dialling again. Default: 60 s.
    pub backoff_cap: Duration,
    /// Time a connection must last before the pauses between dials begin small again. Default: 60 s.
    pub stable_after: Duration,
    /// Age at which a connection is replaced; the cloud ends it at 24 h. Default: 23 h.
    pub connection_life: Duration,
    /// Time before their expiry at which tokens and credentials are renewed. Default: 5 min.
    pub renewal_margin: Duration,
    /// Whether a connection is replaced before the credentials that signed it lapse. Default: yes.
    pub replace_before_credentials_lapse: bool,
    /// Length of a live report asked for, 1 to 300 s. Default: 180 s.
    pub live_report: Duration,
    /// When a live report is renewed, counted from asking for it. Default: 150 s.
    pub live_report_renewal: Duration,
    /// Silence after which a thermostat that reports live is stale. Default: 10 min.
    pub stale_after: Duration,
    /// Silence after which one that does not report live is stale; its batches come every 12 to 30 min. Default: 35 min.
    pub stale_after_quiet: Duration,
    /// Time for which the service stays live while a lost connection is being replaced. Default: 30 s.
    pub grace: Duration,
    /// Time between two readings of the states by REST while MQTT is live. Default: 10 min.
    pub poll_live: Duration,
    /// The same while MQTT is missing. Default: 60 s.
    pub poll_rest_only: Duration,
    /// Time between two readings of the device list. Default: 15 min.
    pub poll_devices: Duration,
    /// Pause before a subscription that was refused is tried again; it doubles up to a day, or, while every subscription
    /// of its connection is refused, up to a quarter of an hour. Default: 10 min.
    pub quarantine: Duration,
    /// Pause before MQTT, found read-only, is tried for publishing again. Default: 6 h.
    pub read_only_probe: Duration,
    /// Time for which a session believes what an earlier run found: that the account may not publish. Default: 24 h.
    pub denial_life: Duration,
    /// Events kept for a slow reader, verdicts and one entry for each thermostat apart. Default: 64.
    pub event_capacity: usize,
    /// Commands that may be unresolved or have unread verdicts. Default: 512.
    pub command_capacity: usize,
    /// Largest MQTT packet taken. Default: 160 000 bytes; AWS's own limit is 128 KiB of payload.
    pub max_packet: u32,
    /// Thermostats taken from the account's list. Default: 1000.
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
            read_only: false,
            confirm_by: ConfirmBy::Ack,
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
            ping_timeout: secs(10),
            connect_timeout: secs(20),
            http_timeout: secs(20),
            backoff_first: secs(2),
            backoff_cap: secs(60),
            stable_after: secs(60),
            connection_life: secs(23 * 3_600),
            renewal_margin: secs(300),
            replace_before_credentials_lapse: true,
            live_report: secs(180),
            live_report_renewal: secs(150),
            stale_after: secs(600),
            stale_after_quiet: secs(35 * 60),
            grace: secs(30),
            poll_live: secs(600),
            poll_rest_only: secs(60),
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
    /// Least time between two writes to one thermostat: never under 2 s.
    pub(crate) fn write_interval(&self) -> Duration {
        self.write_interval.max(Duration::from_secs(2))
    }

    /// Keep-alive as CONNECT carries it, within the limits AWS sets.
    pub(crate) fn keep_alive_secs(&self) -> u16 {
        u16::try_from(self.keep_alive.as_secs()).unwrap_or(1_200).clamp(30, 1_200)
    }
}

/// Topics to subscribe to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Subscriptions {
    /// One filter for all, `/v1/dev/+/out`, as the design document has it. No one has shown that the access policy
    /// allows it; when it is refused, each thermostat's own topic takes its place. Default: no.
    pub wildcard: bool,
    /// Also `/batch`, the stored readings, of each thermostat. Default: no.
    pub batch: bool,
}

impl Subscriptions {
    /// One filter for all.
    pub const WILDCARD: Self = Self { wildcard: true, batch: false };
    /// Each thermostat's statuses and its stored readings.
    pub const WITH_BATCH: Self = Self { wildcard: false, batch: true };
}

/// Channel that commands take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are two channels")]
pub enum CommandChannel {
    /// MQTT; the structured REST service while MQTT is missing for long or known to be read-only, for models that have no
    /// other, and once for a command that MQTT has failed.
    #[default]
    Auto,
    /// MQTT only.
    Mqtt,
    /// The structured REST service only.
    Structured,
}

/// Evidence that confirms a command sent by MQTT.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "both kinds of evidence there are")]
pub enum ConfirmBy {
    /// The thermostat's acknowledgement, if it shows what was asked for; or a later status that does.
    #[default]
    Ack,
    /// A later status only, where the field appears in one.
    Status,
}
