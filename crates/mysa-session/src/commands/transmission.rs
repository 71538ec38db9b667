use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{
    Change, Channel, Command, DeviceId, EnvelopeMeta, Provenance, Source, StructuredUpdate, UnixTime,
};

use crate::ConnId;
use crate::commands::verdict::{CommandId, Evidence};
use crate::context::Context;

/// Milliseconds added to a device's time stamp before it is compared with the time of sending. A device stamps whole
/// seconds, so the moment lies anywhere within that second, and the cloud's time at sending is known to about one
/// second.
const DEVICE_STAMP_MS: i64 = 1_999;
/// Milliseconds added to a cloud time stamp before it is compared with the time of sending. The cloud stamps whole
/// seconds too, often that of the command itself with no later one to follow, and its time is known to one or two
/// seconds.
const CLOUD_STAMP_MS: i64 = 2_000;

/// Time within which the connection for a request is usually established.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

/// One message, or one request, that carries commands of one thermostat.
#[derive(Debug)]
pub(crate) struct Transmission {
    /// Id on the wire, or number of the request.
    pub(crate) serial: u64,
    pub(crate) device: DeviceId,
    pub(crate) payload: Payload,
    pub(crate) commands: Vec<CommandId>,
    pub(crate) conn: Option<ConnId>,
    pub(crate) state: TransmissionState,
    /// `true` if the transmission repeats a request whose token was refused.
    pub(crate) token_retry: bool,
    pub(crate) queued_at: Duration,
    /// Time at which the structured service is next asked for the reported state, and the number of times it was.
    pub(crate) read_state_at: Option<Duration>,
    pub(crate) state_reads: u8,
}

impl Transmission {
    /// Returns the time at which a queued transmission is assumed to be written. A request first needs a connection;
    /// other writes keep their distance to it for a while, but not for as long as a host may hang.
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

/// Validated change, from which the bytes are encoded when the transport takes them.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// The time and the sender are part of the message and fixed, so a repeat has the same bytes.
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

    /// Appends the MQTT payload, the same bytes each time. Appends nothing for the other channel.
    pub(crate) fn encode_mqtt(&self, serial: u64, cx: &Context, out: &mut Vec<u8>) {
        if let Self::Mqtt { command, time, app_ref } = self {
            command
                .encode(&EnvelopeMeta { id: serial, time: *time, app_ref, form: cx.settings.envelope }, out);
        }
    }

    /// Returns an example of the bytes, for [`Session::preview`](crate::Session::preview).
    pub(crate) fn example(&self, cx: &Context) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Mqtt { time, .. } => {
                // The id of an example is not reserved: the real command gets its own.
                let serial = u64::try_from(time.as_millis()).unwrap_or(0);
                self.encode_mqtt(serial, cx, &mut bytes);
            }
            Self::Structured(update) => update.encode(&mut bytes),
        }
        bytes
    }
}

/// Time of a first transmission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentAt {
    pub(crate) mono: Duration,
    /// Estimate of the cloud's time.
    pub(crate) wall: UnixTime,
    /// Latest possible time of the cloud.
    pub(crate) latest: UnixTime,
}

impl SentAt {
    pub(crate) fn now(cx: &Context) -> Self {
        Self { mono: cx.mono(), wall: cx.time(), latest: cx.latest_time() }
    }

    /// Returns `true` if something was observed after this moment. A device may lack a clock, but its messages arrive
    /// as they are made. Cloud data may be old, so only a time stamp counts, and it must be later than the sending by
    /// any reading of the clock.
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
