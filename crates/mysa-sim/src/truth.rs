//! What a test can ask the cloud, and no client can.

use core::time::Duration;

use mysa_proto::{Celsius, DeviceId, UnixTime};

use crate::cloud::Cloud;
use crate::device::command_record::{CommandRecord, HeldSettings, MessageCounts};
use crate::device::family::{Family, Mode};
use crate::spec::Names;

/// How often each thing has happened, since the birth of the cloud.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// HTTP requests of every kind.
    pub http_requests: u64,
    /// Sign-ins by password that were begun.
    pub sign_ins: u64,
    /// Claims with a wrong password.
    pub wrong_passwords: u64,
    /// Refreshes that were asked for.
    pub refreshes: u64,
    /// AWS credentials handed out.
    pub grants: u64,
    /// REST requests.
    pub rest_requests: u64,
    /// Settings written to device records.
    pub settings_writes: u64,
    /// Updates of the structured service that were accepted.
    pub structured_updates: u64,
    /// REST requests that would do harm: claims, deletions, firmware.
    pub dangerous_requests: u64,
    /// WebSocket upgrades accepted.
    pub upgrades: u64,
    /// WebSocket upgrades refused, by a rule or a fault.
    pub refused_upgrades: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// CONNECTs refused because the same client id had sent one within the second before.
    pub hasty_connects: u64,
    /// Connections closed because a newer one took their client id.
    pub kicked: u64,
    /// Connections closed by a rule or a fault, or by the client's DISCONNECT.
    pub closed: u64,
    /// PUBLISH packets from clients.
    pub publishes: u64,
    /// PUBLISH packets to clients.
    pub delivered: u64,
    /// Messages lost to a bound.
    pub dropped: u64,
    /// Commands that a fault dropped because they followed one to another device too soon.
    pub dropped_bursts: u64,
    /// Most connections that stood at once.
    pub most_connections: u64,
}

/// The truth about a thermostat, which no client can see.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroundTruth {
    /// Which one.
    pub id: DeviceId,
    /// What kind.
    pub family: Family,
    /// What it is set to.
    pub setpoint: Celsius,
    /// What it is set to do.
    pub mode: Mode,
    /// Whether its heater, or compressor, takes power at this moment.
    pub heating: bool,
    /// Power it takes at this moment, W.
    pub watts: f64,
    /// Power of its heater, W.
    pub rated_watts: f64,
    /// Room temperature, °C.
    pub room: f64,
    /// Floor temperature where the floor is heated, °C.
    pub floor: Option<f64>,
    /// Outdoor temperature, °C.
    pub outdoors: f64,
    /// Energy since the birth of the cloud, kWh.
    pub energy: f64,
    /// Whether its buttons are locked.
    pub locked: bool,
    /// Whether live reporting runs.
    pub live: bool,
    /// Whether it left the account by a pairing reset.
    pub unpaired: bool,
    /// Times it has booted, the first included.
    pub boots: u32,
    /// What it has received.
    pub messages: MessageCounts,
    /// Commands and button presses it has acted on or refused.
    pub commands: u64,
}

impl Cloud {
    /// Time since the birth of the cloud, as of the last call.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.faults.since_birth(self.now.mono)
    }

    /// The names by which clients find the services.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Every thermostat's id, in the order of the spec.
    pub fn device_ids(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.devices.iter().map(|device| device.thermostat.id)
    }

    /// The truth about a thermostat as of the last call.
    #[must_use]
    pub fn truth(&self, device: DeviceId) -> Option<GroundTruth> {
        let thermostat = &self.devices.get(*self.by_id.get(&device)?)?.thermostat;
        let room = thermostat.room.at(self.now);
        let joules = thermostat.room.meter.total_joules() + room.meter.total_joules();
        let drive = room.drive();
        Some(GroundTruth {
            id: device,
            family: thermostat.family,
            setpoint: Celsius::from_degrees(thermostat.settings.degrees())?,
            mode: thermostat.settings.mode,
            heating: drive.is_on(self.now.mono),
            watts: drive.watts(self.now.mono),
            rated_watts: thermostat.rated,
            room: room.temperature(),
            floor: room.floor(),
            outdoors: room.outdoors(self.now),
            energy: joules / 3.6e6,
            locked: thermostat.settings.lock,
            live: thermostat.is_live(self.now.mono),
            unpaired: thermostat.unpaired,
            boots: thermostat.boots,
            messages: thermostat.messages,
            commands: thermostat.record_count,
        })
    }

    /// What a thermostat is set to as of the last call. Cheap: nothing is computed, unlike for [`Cloud::truth`].
    #[must_use]
    pub fn held(&self, device: DeviceId) -> Option<HeldSettings> {
        Some(self.devices.get(*self.by_id.get(&device)?)?.thermostat.held())
    }

    /// The last commands and button presses of a thermostat, the oldest first; at most 256.
    pub fn command_records(&self, device: DeviceId) -> impl DoubleEndedIterator<Item = &CommandRecord> {
        let device = self.by_id.get(&device).and_then(|&index| self.devices.get(index));
        device.into_iter().flat_map(|device| device.thermostat.command_records.iter())
    }

    /// How often each thing has happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let broker = self.broker.counts;
        Counters {
            sign_ins: self.pool.sign_ins,
            wrong_passwords: self.pool.wrong_passwords,
            refreshes: self.pool.refreshes,
            grants: self.identities.grants,
            connects: broker.connects,
            hasty_connects: broker.too_fast,
            kicked: broker.kicked,
            closed: broker.closed,
            publishes: broker.publishes,
            delivered: broker.delivered,
            dropped: broker.dropped,
            most_connections: broker.peak as u64,
            ..self.counters
        }
    }

    /// The connections that have sent CONNECT, and their client ids.
    pub fn clients(&self) -> impl Iterator<Item = (u64, &str)> {
        self.broker.clients()
    }

    /// Subscriptions of all connections together.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.broker.subscriptions()
    }

    /// The cloud's civil time as of the last call.
    #[must_use]
    pub const fn wall(&self) -> UnixTime {
        self.now.wall
    }
}
