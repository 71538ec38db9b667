//! State of the cloud that tests can read and clients cannot.

use core::time::Duration;

use mysa_proto::{Celsius, DeviceId, UnixTime};

use crate::cloud::Cloud;
use crate::device::command_record::{CommandRecord, HeldSettings, MessageCounts};
use crate::device::family::{Family, Mode};
use crate::spec::Names;

/// Counters since the start of the cloud.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// HTTP requests of every kind.
    pub http_requests: u64,
    /// Sign-ins by password that were started.
    pub sign_ins: u64,
    /// Sign-ins with a wrong password.
    pub wrong_passwords: u64,
    /// Requests for a token refresh.
    pub refreshes: u64,
    /// AWS credentials issued.
    pub grants: u64,
    /// REST requests.
    pub rest_requests: u64,
    /// Settings written to device records.
    pub settings_writes: u64,
    /// Updates of the structured service that were accepted.
    pub structured_updates: u64,
    /// Dangerous REST requests: claims, deletions, firmware.
    pub dangerous_requests: u64,
    /// WebSocket upgrades accepted.
    pub upgrades: u64,
    /// WebSocket upgrades refused, by a rule or a fault.
    pub refused_upgrades: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// CONNECTs refused because the client id had sent another within the last second.
    pub early_connects: u64,
    /// Connections closed because a newer one took their client id.
    pub taken_over: u64,
    /// Connections closed by a rule or a fault, or by the client's DISCONNECT.
    pub closed: u64,
    /// PUBLISH packets from clients.
    pub publishes: u64,
    /// PUBLISH packets to clients.
    pub delivered: u64,
    /// Messages dropped because a queue was full.
    pub dropped: u64,
    /// Commands dropped by [`Fault::DropBursts`](crate::Fault::DropBursts).
    pub dropped_bursts: u64,
    /// Maximum number of simultaneous connections.
    pub most_connections: u64,
}

/// True state of a thermostat, which clients cannot see directly.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroundTruth {
    /// Id.
    pub id: DeviceId,
    /// Family.
    pub family: Family,
    /// Setpoint.
    pub setpoint: Celsius,
    /// Mode.
    pub mode: Mode,
    /// `true` if its heater or compressor draws power now.
    pub heating: bool,
    /// Power drawn now, W.
    pub watts: f64,
    /// Rated power of its heater, W.
    pub rated_watts: f64,
    /// Room temperature, °C.
    pub room: f64,
    /// Floor temperature, °C, if the floor is heated.
    pub floor: Option<f64>,
    /// Outdoor temperature, °C.
    pub outdoors: f64,
    /// Energy since the start of the cloud, kWh.
    pub energy: f64,
    /// `true` if its buttons are locked.
    pub locked: bool,
    /// `true` if live reporting is active.
    pub live: bool,
    /// `true` if a pairing reset removed it from the account.
    pub unpaired: bool,
    /// Number of boots, including the first.
    pub boots: u32,
    /// Numbers of received messages.
    pub messages: MessageCounts,
    /// Number of commands and button presses that it applied or refused.
    pub commands: u64,
}

impl Cloud {
    /// Time since the start of the cloud, as of the last call.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.faults.since_birth(self.now.mono)
    }

    /// Names of pools and hosts.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Ids of all thermostats, in the order of the spec.
    pub fn device_ids(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.devices.iter().map(|device| device.thermostat.id)
    }

    /// True state of a thermostat as of the last call.
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

    /// Energy of a thermostat from before the start of the cloud, which its history has, in kWh. It is computed from all
    /// half hours, so a test should ask once.
    #[must_use]
    pub fn past_energy(&self, device: DeviceId) -> Option<f64> {
        Some(self.devices.get(*self.by_id.get(&device)?)?.past_energy())
    }

    /// Settings of a thermostat as of the last call. Cheaper than [`Cloud::truth`], which computes the room.
    #[must_use]
    pub fn held(&self, device: DeviceId) -> Option<HeldSettings> {
        Some(self.devices.get(*self.by_id.get(&device)?)?.thermostat.held())
    }

    /// Settings of a thermostat as the cloud has them: those that it last reported. They differ from
    /// [`held`](Self::held) if the report of a change was lost.
    #[must_use]
    pub fn reported(&self, device: DeviceId) -> Option<HeldSettings> {
        let device = self.devices.get(*self.by_id.get(&device)?)?;
        Some(device.thermostat.as_held(&device.shadow.settings))
    }

    /// Last commands and button presses of a thermostat, oldest first; at most 256.
    pub fn command_records(&self, device: DeviceId) -> impl DoubleEndedIterator<Item = &CommandRecord> {
        let device = self.by_id.get(&device).and_then(|&index| self.devices.get(index));
        device.into_iter().flat_map(|device| device.thermostat.command_records.iter())
    }

    /// Counters as of the last call.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let broker = self.broker.counts;
        Counters {
            sign_ins: self.pool.sign_ins,
            wrong_passwords: self.pool.wrong_passwords,
            refreshes: self.pool.refreshes,
            grants: self.identities.grants,
            connects: broker.connects,
            early_connects: broker.too_fast,
            taken_over: broker.taken_over,
            closed: broker.closed,
            publishes: broker.publishes,
            delivered: broker.delivered,
            dropped: broker.dropped,
            most_connections: broker.peak as u64,
            ..self.counters
        }
    }

    /// Connections that have sent CONNECT, with their client ids.
    pub fn clients(&self) -> impl Iterator<Item = (u64, &str)> {
        self.broker.clients()
    }

    /// Number of subscriptions of all connections.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.broker.subscriptions()
    }

    /// Civil time of the cloud as of the last call.
    #[must_use]
    pub const fn wall(&self) -> UnixTime {
        self.now.wall
    }
}
