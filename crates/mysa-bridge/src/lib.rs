//! Bridge between Mysa thermostats and a local MQTT broker, as a state machine. No I/O, no clock, no randomness, no tasks.
//!
//! A [`Bridge`] publishes the thermostats of one or several accounts for Home Assistant (by device discovery) and any
//! other MQTT client, and accepts commands from them. A driver passes in snapshots of the thermostats,
//! verdicts, and what happens on the connection to the broker, and carries out what [`Bridge::poll_output`]
//! returns.
//!
//! ```
//! use core::time::Duration;
//! use mysa_bridge::client::Output as BrokerOutput;
//! use mysa_bridge::{AccountIndex, Bridge, Output, Settings, Thermostat};
//! use mysa_proto::{Change, DeviceId, DeviceState, Limits, Model, Now, Power, UnixTime};
//! use mysa_session::Link;
//!
//! let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
//! let mut bridge = Bridge::new(Settings::new("mysa-bridge"), [7; 32], now)?;
//! // The driver opens a connection to the broker, and moves bytes from then on.
//! assert!(matches!(bridge.poll_output(), Some(Output::Broker(BrokerOutput::Dial(_)))));
//!
//! let id = DeviceId::new("a0b1c2d3e4f6").ok_or("not an id")?;
//! bridge.handle_thermostat(
//!     AccountIndex::FIRST,
//!     &Thermostat {
//!         id,
//!         name: Some("Living room"),
//!         model: &Model::parse("BB-V2-0"),
//!         limits: Limits::default(),
//!         state: &DeviceState::new(),
//!         duty: None,
//!         power: Power::Unknown,
//!         has_rated_power: false,
//!         is_current: true,
//!         link: Link::Live,
//!         firmware: None,
//!         last_seen: Some(now.wall),
//!         pending: Change::default(),
//!     },
//!     now,
//! );
//! // Once the list is complete, the bridge is available.
//! bridge.handle_list(AccountIndex::FIRST, &[id], now);
//! assert!(bridge.poll_timeout().is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Topics
//!
//! `mysa` is [`Settings::prefix`], and `<id>` is the id of a thermostat, never its name.
//!
//! | topic | retained | content |
//! | --- | --- | --- |
//! | `homeassistant/device/mysa_<id>/config` | yes | device discovery: all entities of a thermostat |
//! | `mysa/bridge/availability` | yes | `online` once the thermostats of an account and their first states are known, else `offline`; also the will |
//! | `mysa/bridge/state` | yes | JSON: version of this schema, service level of the cloud, its reason and start, counts; the same for each account by its number; `other_bridge` if a second bridge has the same prefix |
//! | `mysa/bridge/instance` | yes | random identity of a run, by which two bridges with the same prefix notice each other |
//! | `mysa/<id>/availability` | yes | `online` or `offline` |
//! | `mysa/<id>/state` | yes | JSON: confirmed values, `null` for unknown ones; `energy` if [`Bridge::start_energy`] was called |
//! | `mysa/<id>/attributes` | yes | JSON: name, model, firmware, last sign of life, source, undecided changes |
//! | `mysa/<id>/set/<field>` | ignored | command |
//! | `mysa/<id>/result` | no | JSON: one verdict for each command |
//!
//! Fields of commands: `setpoint` (°C), `setpoint_f` (°F), `mode`, `preset_mode` (`schedule` or `hold`), `hold_until` (a time such
//! as `2026-01-02T22:30:00Z`, or a number of hours from now), `fan_mode`,
//! `swing_mode`, `swing_horizontal_mode`, `lock` (`ON` or `OFF`), `brightness_active` and `brightness_idle` (percent), and
//! `tracked_sensor`. A thermostat accepts those that it has. A result has `id`, `field`, `requested`, `outcome`
//! (`confirmed`, `unconfirmed`, `refused`, `superseded` or `expired`), `reason` and `ms`.
//!
//! In the attributes, `source` is `mqtt` while the messages of the thermostat arrive, `rest` while its state is read by REST
//! because they do not, and `null` while there is neither. It says how the state is kept up to date now, not where a single
//! value comes from, so a reading by REST beside the messages does not change it. `firmware` is the installed version and
//! `firmware_newest` the one that the vendor offers; Home Assistant shows them as an update that cannot be installed from
//! there, and no update while the newest version is unknown.
//!
//! # Guarantees
//!
//! - **No command without a request.** Retained messages are never commands, the broker keeps none for a bridge that is
//!   away, and none arrives twice: the session is clean and the subscriptions have QoS 0. Starting, stopping and
//!   reconnecting send nothing to a thermostat. After a suspend of the host or a stop of the process, a command
//!   from before it is not sent.
//! - **Every command gets exactly one result.** A number waits for [`Settings::debounce`], so that of a slider only the
//!   last position is sent; commands to a thermostat are sent in the order in which they arrived.
//! - **What is published is what is known.** Only confirmed values are shown. After each verdict the state is published
//!   again, so that a reader that shows the requested value returns to the real one.
//! - **Availability is true**, within half a minute of a loss or a return, in whatever order they come; see the next section. An
//!   `online` that a broker kept from before is corrected, and a restart of the bridge publishes nothing about a
//!   thermostat until it is known. A thermostat that left the account while no bridge ran is offline at once, and removed
//!   from the broker after [`Settings::forget_after`]; if the broker has lost it, only after [`Bridge::start_energy`], whose
//!   stored state has the published thermostats. They stay in it until the broker has acknowledged the removal.
//! - **Accounts are independent.** The availability of a thermostat depends on the cloud of its own account alone, and an
//!   account that needs a sign-in stops no other. A thermostat of several accounts belongs to the first of them.
//! - **Energy never falls**, and is never zero: it is unknown until it is more. It is published once it is stored, so that
//!   a restart or a crash goes on from it. See [`energy`].
//! - **Everything is bounded**: undecided commands (128), results that wait for a connection (256), payloads of commands
//!   (64 bytes). A message that is too large is skipped. Another client that publishes availabilities, such as a second
//!   bridge with the same prefix, is answered at most five times at once for each topic, then once in 30 s; a second
//!   bridge is reported as [`Event::OtherBridge`].
//!
//! # Availability
//!
//! A thermostat is available while it reports, the cloud does not report it as disconnected, and there is a source of
//! states: statuses that are pushed, or states that REST has read within 25 s. The numbers are those of
//! [`Settings::new`] and of a session with the settings of [`Settings::tune`].
//!
//! | loss or return | published after at most |
//! | --- | --- |
//! | broker or Home Assistant restarts | 13 s |
//! | bridge stops, or its connection to the broker | at once, or 23 s if the connection falls silent (the will) |
//! | bridge starts | the reading of the list and the states; [`Settings::start_limit`] after the list for a thermostat of which nothing is known |
//! | cloud lost, with an error or silently | 25 s ([`Settings::cloud_grace`]) after the last byte or reading; a connection that is replaced sooner does not show |
//! | cloud returns | 30 s: a dial or request that hangs (10 s, 15 s), a pause (12 s) |
//! | thermostat without power or Wi-Fi | a minute after the cloud notices (`Connected` is read every 60 s; the keep-alive of thermostats is not documented), at the latest after 10 min of silence during live reports, else 35 min |
//! | thermostat returns | its first status, or a reading by REST (60 s) |
//!
//! Half a minute is too short to distinguish a silent thermostat from one that has nothing to report: outside live reports it
//! sends a batch every 12 to 30 min, and air conditioners may be silent for minutes even then.
//!
//! [`client`] is the MQTT client, which can be used alone.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod accounts;
mod birth;
mod bridge;
pub mod client;
mod command;
mod context;
mod defence;
mod devices;
mod discovery;
pub mod energy;
mod event;
mod leftovers;
mod metering;
mod orphans;
mod other_bridge;
mod requests;
mod settings;
mod state;
mod thermostat;
mod topics;

pub use account::AccountIndex;
pub use bridge::Bridge;
pub use event::{Event, IgnoredReason, Output, RequestId};
pub use leftovers::Leftovers;
pub use settings::{InvalidSettings, Settings, Unit};
pub use thermostat::{Firmware, Thermostat};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
