use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{
    Change, Channel, Command, DeviceId, EnvelopeMeta, Provenance, Source, StructuredUpdate, UnixTime,
};

use crate::ConnId;
use crate::commands::verdict::{CommandId, Evidence};
use crate::context::Context;

/// A device stamps whole seconds: what is stamped with one was made before its end. And the cloud's time at the sending
/// is known to a second.
const DEVICE_STAMP_MS: i64 = 1_999;
/// The cloud stamps whole seconds too, often those of the very second of the command, and nothing comes after it; and its
/// time is known to a second or two.
const CLOUD_STAMP_MS: i64 = 2_000;

/// Time within which a connection for a request usually stands.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

/// One message, or one request, for the commands of one thermostat.
#[derive(Debug)]
pub(crate) struct Transmission {
    /// The id on the wire, or the number of the request.
    pub(crate) serial: u64,
    pub(crate) device: DeviceId,
    pub(crate) payload: Payload,
    pub(crate) commands: Vec<CommandId>,
    pub(crate) conn: Option<ConnId>,
    pub(crate) state: TransmissionState,
    /// It repeats a request whose token was refused.
    pub(crate) token_retry: bool,
    pub(crate) queued_at: Duration,
    /// When the structured service is next asked what it reports, and how often it was.
    pub(crate) look_at: Option<Duration>,
    pub(crate) looks: u8,
}

impl Transmission {
    /// When a transmission that is queued is taken to be written. One by the structured service waits for a connection;
    /// others keep their distance to it for a while, not for as long as a host may hang.
    pub(crate) fn expected_at(&self, now: Duration) -> Duration {
        match self.payload.channel() {
            Channel::Mqtt => self.queued_at,
            Channel::Structured => now.clamp(self.queued_at, self.queued_at.saturating_add(CONNECTS_WITHIN)),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TransmissionState {
    Queued,
    Sent,
    Answered,
}

/// A checked change, from which the bytes are made whenever the transport takes them.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// With the time and the sender that the message carries: a repeat has the same bytes.
    Mqtt {
        command: Command,
        time: UnixTime,
        app_ref: Box<str>,
    },
    Structured(StructuredUpdate),
}

impl Payload {
    pub(crate) const fn channel(&self) -> Channel {
        match self {
            Self::Mqtt { .. } => Channel::Mqtt,
            Self::Structured(_) => Channel::Structured,
        }
    }

    pub(crate) const fn change(&self) -> &Change {
        match self {
            Self::Mqtt { command, .. } => command.change(),
            Self::Structured(update) => update.change(),
        }
    }

    /// Appends the MQTT payload, the same bytes each time. Nothing for the other channel.
    pub(crate) fn encode_mqtt(&self, serial: u64, cx: &Context, out: &mut Vec<u8>) {
        if let Self::Mqtt { command, time, app_ref } = self {
            command
                .encode(&EnvelopeMeta { id: serial, time: *time, app_ref, form: cx.settings.envelope }, out);
        }
    }

    /// An example of the bytes, for a caller who wants to look before anything is sent.
    pub(crate) fn example(&self, cx: &Context) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Mqtt { time, .. } => {
                let serial = u64::try_from(time.as_millis()).unwrap_or(0);
                self.encode_mqtt(serial, cx, &mut bytes);
            }
            Self::Structured(update) => update.encode(&mut bytes),
        }
        bytes
    }
}

/// The moment of a first transmission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentAt {
    pub(crate) mono: Duration,
    /// The cloud's time, as far as it is known.
    pub(crate) wall: UnixTime,
    /// The latest that the cloud's time may have been.
    pub(crate) latest: UnixTime,
}

impl SentAt {
    pub(crate) fn now(cx: &Context) -> Self {
        Self { mono: cx.mono(), wall: cx.time(), latest: cx.latest_time() }
    }

    /// Whether something was observed after this. A device may have no clock, but its messages arrive as they are made;
    /// what the cloud says may be old, so that only a time stamp tells, and it must be later than the sending by any
    /// reading of the clock.
    pub(crate) fn is_before(&self, observed: &Provenance) -> bool {
        if observed.received.mono <= self.mono {
            return false;
        }
        match (observed.source.is_device(), observed.at) {
            (true, None) => true,
            (true, Some(at)) => at.plus_millis(DEVICE_STAMP_MS) >= self.wall,
            (false, Some(at)) => at.plus_millis(CLOUD_STAMP_MS) >= self.latest,
            (false, None) => false,
        }
    }
}

pub(crate) const fn evidence(observed: &Provenance) -> Evidence {
    match observed.source {
        Source::RestRecord | Source::RestState => Evidence::Rest,
        Source::Structured => Evidence::Reported,
        Source::Ack => Evidence::Ack,
        Source::Boot | Source::Status | Source::SetpointChange | Source::Retained => Evidence::Status,
    }
}
