use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::DeviceId;
use serde_json::{Map, Value};

use crate::auth::session_secret::SessionSecret;
use crate::fault::FaultPlan;
use crate::{AcRemote, Mode, RoomSpec, Weather};

/// Specification of a simulated cloud. [`CloudSpec::default`] has Mysa's public names and no accounts;
/// [`CloudSpec::demo`] has one account with a home of five thermostats.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CloudSpec {
    /// Accounts with their homes.
    pub accounts: Vec<AccountSpec>,
    /// Names of pools and hosts.
    pub names: Names,
    /// Strictness of the services.
    pub rules: Rules,
    /// Faults and incidents with their times.
    pub faults: FaultPlan,
    /// Days of energy history before the start, computed from the weather. Default 0.
    pub history_days: u32,
    /// Secret by which the cloud recognises tokens and credentials of an earlier cloud with the same secret, accounts and
    /// names. What the earlier one had revoked is valid again. Default: none, and they are refused.
    pub session_secret: Option<SessionSecret>,
}

impl CloudSpec {
    /// The e-mail address of the account in [`CloudSpec::demo`].
    pub const DEMO_EMAIL: &str = "user@example.com";
    /// Its password.
    pub const DEMO_PASSWORD: &str = "Correct-Horse-1";

    /// One account with one home in Halifax: a thermostat of each family with MQTT topics, and a year of
    /// energy history. The kitchen and the bathroom follow a schedule.
    #[must_use]
    pub fn demo() -> Self {
        let devices = [
            ("a0b1c2d3e4f5", "BB-V1-1", "Living room", 1_500.0, 20.5, 45.0),
            ("a0b1c2d3e4f6", "BB-V2-0", "Kitchen", 1_250.0, 19.0, 36.0),
            ("a0b1c2d3e4f7", "BB-V2-0-L", "Bedroom", 1_000.0, 18.0, 30.0),
            ("a0b1c2d3e4f8", "INF-V1-0", "Bathroom", 800.0, 25.0, 20.0),
            ("a0b1c2d3e4f9", "AC-V1-0", "Office", 900.0, 21.0, 40.0),
        ];
        let devices = devices
            .into_iter()
            .filter_map(|(id, model, name, watts, setpoint, heat_loss)| {
                let mut device = DeviceSpec::new(DeviceId::new(id)?, model, name);
                device.rated_watts = watts;
                device.setpoint = setpoint;
                device.room.heat_loss = heat_loss;
                device.room.capacity = heat_loss * 16_000.0;
                device.room.temperature = setpoint.min(21.0) - 0.7;
                device.schedule = match name {
                    "Kitchen" => week(&WORKDAY, &WEEKEND),
                    "Bathroom" => week(&BATH, &BATH),
                    _ => Vec::new(),
                };
                Some(device)
            })
            .collect();
        let mut account = AccountSpec::new(Self::DEMO_EMAIL, Self::DEMO_PASSWORD);
        account.user_id = "11111111-1111-4111-8111-111111111111".into();
        account.homes = alloc::vec![HomeSpec { devices, ..HomeSpec::new("Maple Street 12") }];
        Self { accounts: alloc::vec![account], history_days: 365, ..Self::default() }
    }
}

impl CloudSpec {
    /// This cloud without schedules, so that no setpoint changes by itself.
    #[must_use]
    pub fn without_schedules(mut self) -> Self {
        let homes = self.accounts.iter_mut().flat_map(|account| &mut account.homes);
        homes.flat_map(|home| &mut home.devices).for_each(|device| device.schedule.clear());
        self
    }
}

/// Minutes of the day and setpoints, °C.
type Day = [(u16, f64)];
const WORKDAY: [(u16, f64); 4] = [(390, 20.5), (510, 17.0), (1_020, 20.5), (1_350, 16.5)];
const WEEKEND: [(u16, f64); 2] = [(480, 20.5), (1_380, 16.5)];
const BATH: [(u16, f64); 2] = [(360, 26.0), (1_320, 22.0)];

/// A schedule with the same events on every workday, and on Saturday and Sunday.
fn week(workday: &Day, weekend: &Day) -> Vec<ScheduledSetpoint> {
    let day = |weekday: u8| if (1..=5).contains(&weekday) { workday } else { weekend };
    let of = |weekday| {
        day(weekday).iter().map(move |&(minute, setpoint)| ScheduledSetpoint { weekday, minute, setpoint })
    };
    (0..7).flat_map(of).collect()
}

impl CloudSpec {
    /// [`CloudSpec::demo`] with a second air conditioner, which has the other remote control, a baseboard V3, and central
    /// HVAC: eight thermostats.
    #[must_use]
    pub fn all() -> Self {
        let devices = [
            ("a0b1c2d3e4fa", "ST-V1-0", "House", 3_000.0, 20.0),
            ("a0b1c2d3e4fb", "BB-V3-0", "Attic", 1_500.0, 18.0),
            ("a0b1c2d3e4fd", "AC-V1-0", "Studio", 900.0, 21.0),
        ];
        let devices = devices.into_iter().filter_map(|(id, model, name, watts, setpoint)| {
            let mut device = DeviceSpec::new(DeviceId::new(id)?, model, name);
            device.rated_watts = watts;
            device.setpoint = setpoint;
            device.room.heat_loss = watts / 40.0;
            device.room.capacity = device.room.heat_loss * 16_000.0;
            device.room.temperature = setpoint - 0.7;
            device.remote = if model == "AC-V1-0" { AcRemote::Named } else { AcRemote::default() };
            Some(device)
        });
        let mut spec = Self::demo();
        spec.accounts
            .iter_mut()
            .flat_map(|account| &mut account.homes)
            .for_each(|home| home.devices.extend(devices.clone()));
        spec
    }

    /// [`CloudSpec::demo`] without the air conditioner: four thermostats. A client that asks for two filters of each
    /// device in one SUBSCRIBE stays below the broker's limit of eight.
    #[must_use]
    pub fn small() -> Self {
        let mut spec = Self::demo();
        for home in spec.accounts.iter_mut().flat_map(|account| &mut account.homes) {
            home.devices.truncate(4);
        }
        spec
    }

    /// This cloud with `count` accounts in place of the first one: `user1@example.com` and so on for
    /// `user@example.com`, all with its password and a copy of its homes. The thermostats of each copy have ids of their
    /// own. For programs that serve many accounts.
    ///
    /// ```
    /// use mysa_sim::CloudSpec;
    ///
    /// let spec = CloudSpec::small().with_accounts(1_000);
    /// assert_eq!(spec.accounts.len(), 1_000);
    /// assert_eq!(spec.accounts[999].email, "user1000@example.com");
    /// ```
    #[must_use]
    pub fn with_accounts(mut self, count: u32) -> Self {
        let rest = self.accounts.split_off(self.accounts.len().min(1));
        let Some(first) = self.accounts.pop() else { return self };
        let copies = (0..u64::from(count)).map(|number| {
            let mut copy = first.clone();
            let (user, host) = first.email.split_once('@').unwrap_or((&first.email, "example.com"));
            copy.email = format!("{user}{}@{host}", number + 1);
            copy.user_id = String::new();
            for device in copy.homes.iter_mut().flat_map(|home| &mut home.devices) {
                // A home has far fewer than 256 thermostats whose ids differ in the last byte alone.
                let id = u64::from_str_radix(device.id.as_str(), 16).ok();
                let id = id.map(|id| id.wrapping_add(number << 8) & 0xffff_ffff_ffff);
                device.id = id.and_then(|id| DeviceId::new(&format!("{id:012x}"))).unwrap_or(device.id);
            }
            copy
        });
        self.accounts = copies.chain(rest).collect();
        self
    }
}

/// One person's account.
#[derive(Clone)]
#[non_exhaustive]
pub struct AccountSpec {
    /// Name for sign-in; compared without regard to case.
    pub email: String,
    /// The password.
    pub password: String,
    /// UUID of the user. Drawn from the seed if empty.
    pub user_id: String,
    /// Challenges after the password, in order. Default: none.
    pub challenges: Vec<ChallengeSpec>,
    /// State at the user pool. Default: sign-in is possible.
    pub status: AccountStatus,
    /// Homes. Their devices belong to the account.
    pub homes: Vec<HomeSpec>,
}

impl AccountSpec {
    /// An account without homes.
    #[must_use]
    pub fn new(email: &str, password: &str) -> Self {
        Self {
            email: email.into(),
            password: password.into(),
            user_id: String::new(),
            challenges: Vec::new(),
            status: AccountStatus::Confirmed,
            homes: Vec::new(),
        }
    }
}

impl fmt::Debug for AccountSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSpec")
            .field("user_id", &self.user_id)
            .field("homes", &self.homes)
            .finish_non_exhaustive()
    }
}

/// A challenge after the password.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChallengeSpec {
    /// `SMS_MFA`, answered with this code.
    Sms(String),
    /// `EMAIL_OTP`, answered with this code.
    Email(String),
    /// `SOFTWARE_TOKEN_MFA`, answered with this code.
    SoftwareToken(String),
    /// `SELECT_MFA_TYPE` with these options; each is accepted.
    Select(Vec<String>),
    /// `NEW_PASSWORD_REQUIRED`: any new password is accepted and becomes the password.
    NewPassword,
    /// A challenge of this name, which no answer satisfies.
    Other(String),
}

/// State of an account at the user pool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AccountStatus {
    /// Sign-in is possible.
    #[default]
    Confirmed,
    /// Sign-in ends in `UserNotConfirmedException`, even with the right password.
    Unconfirmed,
    /// Sign-in ends in `PasswordResetRequiredException`, even with the right password.
    ResetRequired,
}

/// One home.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HomeSpec {
    /// UUID. Drawn from the seed if empty.
    pub id: String,
    /// Name.
    pub name: String,
    /// Name of its time zone in the device records. If it is a name of the tz database, its days are those of the zone.
    pub time_zone: String,
    /// Local time less UTC, in seconds and all year round. Default: by the rules of `time_zone`; UTC if it has none.
    pub utc_offset: Option<i64>,
    /// Price of a kilowatt hour in the home record.
    pub rate: String,
    /// Climate at the home.
    pub weather: Weather,
    /// Its thermostats.
    pub devices: Vec<DeviceSpec>,
}

impl HomeSpec {
    /// A home in Halifax, without devices.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            id: String::new(),
            name: name.into(),
            time_zone: "America/Halifax".into(),
            utc_offset: None,
            rate: "0.15".into(),
            weather: Weather::default(),
            devices: Vec::new(),
        }
    }
}

/// One thermostat.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceSpec {
    /// Id: twelve lower-case hex digits in every capture.
    pub id: DeviceId,
    /// Model, such as `BB-V2-0`, which is also the model in its record. Unknown models are listed and do nothing.
    pub model: String,
    /// Model in its record, if it was edited there.
    pub record_model: Option<String>,
    /// Members of its record that replace the usual ones; `null` removes one.
    pub record: Map<String, Value>,
    /// Members of its REST state that replace the usual ones, without a time; `null` removes one.
    pub state: Map<String, Value>,
    /// Members of its telemetry in the structured service that replace the usual ones; `null` removes one.
    pub telemetry: Map<String, Value>,
    /// Name.
    pub name: String,
    /// Power of the heater it switches, W. Default 1500.
    pub rated_watts: f64,
    /// Setpoint at the start, °C. Default 20.
    pub setpoint: f64,
    /// Mode at the start. Default heat.
    pub mode: Mode,
    /// Remote control of an air conditioner; no effect on other models.
    pub remote: AcRemote,
    /// Room of the thermostat.
    pub room: RoomSpec,
    /// Its schedule at the start. Default: none.
    pub schedule: Vec<ScheduledSetpoint>,
    /// Newer version of its firmware that the cloud offers at the start. Default: none.
    pub firmware_offer: Option<String>,
}

/// An event of a weekly schedule: heat to this setpoint from this time on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct ScheduledSetpoint {
    /// 0 for Sunday to 6.
    pub weekday: u8,
    /// Minute of the local day, 0 to 1439.
    pub minute: u16,
    /// Setpoint, °C.
    pub setpoint: f64,
}

impl DeviceSpec {
    /// A thermostat of 1500 W set to 20 °C in an ordinary room.
    #[must_use]
    pub fn new(id: DeviceId, model: &str, name: &str) -> Self {
        Self {
            id,
            model: model.into(),
            record_model: None,
            record: Map::new(),
            state: Map::new(),
            telemetry: Map::new(),
            name: name.into(),
            rated_watts: 1_500.0,
            setpoint: 20.0,
            mode: Mode::Heat,
            remote: AcRemote::default(),
            room: RoomSpec::default(),
            schedule: Vec::new(),
            firmware_offer: None,
        }
    }
}

/// Names by which clients find the services. The defaults are Mysa's public ones.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Names {
    /// AWS region.
    pub region: String,
    /// User pool.
    pub user_pool: String,
    /// App client of the older apps.
    pub legacy_client: String,
    /// App client of the newer apps.
    pub modern_client: String,
    /// Identity pool whose members may publish and receive.
    pub legacy_identity_pool: String,
    /// Identity pool whose members may only connect and subscribe.
    pub modern_identity_pool: String,
    /// Host of the user pool's service.
    pub user_pool_host: String,
    /// Host of the identity pool's service.
    pub identity_host: String,
    /// REST host of the older apps: legacy routes only.
    pub legacy_host: String,
    /// REST host of the newer apps: legacy and structured routes.
    pub backend_host: String,
    /// Host of the broker.
    pub iot_host: String,
    /// Host of AWS IoT's control plane, which some clients ask for the broker's host and for serial numbers.
    pub iot_control_host: String,
}

impl Default for Names {
    fn default() -> Self {
        let text = |text: &str| text.to_string();
        Self {
            region: text("us-east-1"),
            user_pool: text("us-east-1_GUFWfhI7g"),
            legacy_client: text("19efs8tgqe942atbqmot5m36t3"),
            modern_client: text("6cktj934gasnc72f7jo2cmf6rt"),
            legacy_identity_pool: text("us-east-1:ebd95d52-9995-45da-b059-56b865a18379"),
            modern_identity_pool: text("us-east-1:e27f246e-ad23-41ce-ac80-eda86f8be424"),
            user_pool_host: text("cognito-idp.us-east-1.amazonaws.com"),
            identity_host: text("cognito-identity.us-east-1.amazonaws.com"),
            legacy_host: text("app-prod.mysa.cloud"),
            backend_host: text("mysa-backend.mysa.cloud"),
            iot_host: text("a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com"),
            iot_control_host: text("iot.us-east-1.amazonaws.com"),
        }
    }
}

impl Names {
    /// Issuer of the pool's tokens without the scheme, which is also the key of `Logins`.
    #[must_use]
    pub fn issuer(&self) -> String {
        alloc::format!("{}/{}", self.user_pool_host, self.user_pool)
    }
}

/// Strictness of the services. The defaults are what was observed or what AWS documents.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rules {
    /// Life of id and access tokens. Default one hour.
    pub token_life: Duration,
    /// Life of refresh tokens. Default 30 days.
    pub refresh_life: Duration,
    /// Life of AWS credentials. Default one hour.
    pub credential_life: Duration,
    /// `true` if each refresh replaces the refresh token and `InitiateAuth` refuses to refresh. Default: no.
    pub rotation: bool,
    /// `true` if the pool remembers devices: a sign-in names a device key, and a refresh needs it, after ConfirmDevice.
    /// Default: no, because no witness saw a device key.
    pub device_keys: bool,
    /// `true` if `Authorization: Bearer …` is accepted besides the bare id token. Default: no, because it was observed
    /// to be refused.
    pub bearer: bool,
    /// Maximum requests per second to the user pool; more are throttled. Default 50.
    pub sign_in_rate: u32,
    /// Life of a WebSocket connection. Default 24 hours.
    pub connection_life: Duration,
    /// Time for which the broker keeps the session of a client that did not ask for a clean one, from the end of its
    /// connection. Default one hour.
    pub session_life: Duration,
    /// Time after which the broker repeats a publish without PUBACK. Default 5 seconds.
    pub redelivery: Duration,
    /// Factor on the time limits for CONNECT, PUBACK and keep-alive of clients: the speed of the cloud's clock relative
    /// to theirs. Default 1.
    pub time_factor: f64,
    /// `true` if messages to thermostats and their answers arrive at once, so that a measurement of a client contains no
    /// simulated delay. Default: no, and each takes up to half a second.
    pub instant_delivery: bool,
    /// `true` if `+` and `#` are granted for the account's own devices. Default: no, because no witness saw them
    /// granted.
    pub wildcards: bool,
    /// Response to a subscription that the policy denies. Default [`Denial::Refuse`].
    pub denied_subscribe: Denial,
    /// Response to a publish that the policy denies. Default [`Denial::Disconnect`].
    pub denied_publish: Denial,
}

/// Response of the broker to a denied request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Denial {
    /// Refusal in the acknowledgement: 0x80 in a SUBACK. MQTT 3.1.1 has none for a publish, which is dropped silently.
    Refuse,
    /// The connection is closed.
    Disconnect,
    /// No answer.
    Silence,
}

impl Rules {
    /// Converts a duration of a client's clock to the cloud's clock.
    pub(crate) fn for_client(&self, time: Duration) -> Duration {
        let secs = time.as_secs_f64() * self.time_factor;
        Duration::try_from_secs_f64(secs).unwrap_or(time)
    }
}

impl Default for Rules {
    fn default() -> Self {
        let hour = Duration::from_secs(3_600);
        Self {
            token_life: hour,
            refresh_life: 720 * hour,
            credential_life: hour,
            rotation: false,
            device_keys: false,
            bearer: false,
            sign_in_rate: 50,
            connection_life: 24 * hour,
            session_life: hour,
            redelivery: Duration::from_secs(5),
            time_factor: 1.0,
            instant_delivery: false,
            wildcards: false,
            denied_subscribe: Denial::Refuse,
            denied_publish: Denial::Disconnect,
        }
    }
}
