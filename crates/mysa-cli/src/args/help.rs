//! Texts after the options in the help of each command: examples, rules and exit codes.

pub(super) const EXAMPLES: &str = "\
Examples:
  mysa demo                        take a tour on a simulated cloud
  mysa login ann@example.org       sign in and store the session
  mysa devices                     list the thermostats
  mysa watch                       follow temperature, duty and power live
  mysa set living --temp 20.5      set a thermostat by the start of its name
  mysa set --all --temp 17         set every thermostat
  mysa mode bedroom off            change the mode
  mysa energy --by month --svg energy.svg
  mysa decode capture.har          explain a captured session
  mysa bridge                      thermostats for Home Assistant, by MQTT
  mysa doctor                      check every step and explain failures

Exit codes:
  0 done   1 failed   2 wrong usage   4 sign-in needed or refused
  5 thermostat offline or silent   6 sent but unconfirmed   7 refused
  8 network or cloud down   9 time-out   130 interrupted   143 terminated";

pub(super) const LOGIN: &str = "\
Examples:
  mysa login ann@example.org                  prompt for the password
  mysa login ann@example.org --password-file pw.txt
  pass show mysa | mysa login ann@example.org --password-stdin

The password is used once and not stored. `mysa logout` revokes the stored
session.";

pub(super) const WATCH: &str = "\
Examples:
  mysa watch                                 a table, or lines on a pipe
  mysa watch living bedroom --json           one JSON object per line
  mysa watch --count 1 --json living         the state now
  mysa watch --template '{name}: {room} \u{b0}C {power} W'
  mysa watch --capture session.jsonl         later: mysa decode session.jsonl
  mysa watch --url - a0b1c2d3e4f5=BB-V1-1    with a captured URL from stdin

Fields of a template, named as with --json; a name may be without its unit, and
room is temperature_c, floor is floor_temperature_c. An unknown value is -, and
{{ and }} are braces.
  time changed id name model record_model family link age_s temperature_c
  setpoint_c humidity_pct mode duty_pct power_w power_basis rated_power_w
  floor_temperature_c tracked_sensor heating current_a voltage_v locked hold
  fan signal_dbm pending";

pub(super) const SET: &str = "\
Examples:
  mysa set living --temp 20.5
  mysa set living --temp +0.5 --wait 40
  mysa set living bedroom --temp 68F
  mysa set kitchen --temp 20 --hold on
  mysa set kitchen --temp 22 --hold +2h
  mysa set --all --temp 17
  mysa set bedroom --temp 21 --channel rest
  mysa set office --mode cool --temp 22 --fan low --dry-run

Exits 0 only if the thermostat confirmed the change. With several thermostats
the exit code is the first of 4, 8, 1, 2, 7, 9, 5, 6 that occurred for any of
them, and --json prints one document with an array of all results.

A setpoint is sent as the nearest value that the thermostat takes, in steps of
0.5 \u{b0}C or 1 \u{b0}C. A relative value moves by at least one step in its own
direction; at the end of the range it is refused.

Commands to several thermostats are sent one second apart, and each has one
second more than the previous one. A command without an answer is sent again. A
command that fails on MQTT goes by the REST service once, if the thermostat has
it; --channel or the setting `channel` can limit it to one channel.";

pub(super) const MODE: &str = "\
Examples:
  mysa mode bedroom off
  mysa mode living bedroom heat
  mysa mode --all off

Exits 0 only if the thermostat confirmed the change. For several thermostats see
`mysa set --help`.";

pub(super) const HOLD: &str = "\
Examples:
  mysa hold kitchen                show the hold
  mysa hold kitchen on             hold the setpoint until the next change
  mysa hold kitchen until 22:30
  mysa hold kitchen until +2h
  mysa hold kitchen follow         follow the schedule again
  mysa hold kitchen on --dry-run

A time is 22:30 for the next time that the clock shows it, 2026-11-29T22:30 for a
day, or +2h, +90m or +1d12h from now. Times are those of the home. A change is
sent and confirmed as by `mysa set`, which changes the setpoint with it by
--hold. Baseboard V2 and in-floor thermostats have holds; others are refused.

A setpoint without a hold counts until the next event of the schedule.";

pub(super) const SCHEDULE: &str = "\
Examples:
  mysa schedule kitchen
  mysa schedule kitchen --json

The table marks the event that is in force now and the next one. Times are those
of the home. A schedule is only read: the app changes it.";

pub(super) const DEVICES: &str = "\
Examples:
  mysa devices
  mysa devices --serials           with serial numbers
  mysa devices --serials --json

An account may not be allowed to read serial numbers. A number that cannot be
read is shown as -, or as null in JSON, and the reason is printed on standard
error; the list is complete, and the exit code is 0.";

pub(super) const HOMES: &str = "\
Examples:
  mysa homes                       homes, time zones, rates, zones, thermostats
  mysa homes --json

The rate is the price of a kilowatt-hour as entered in the app. Its currency is
known only if it was entered with the rate. --json also has the fields of the
cloud that this program does not know, under `extra`.";

pub(super) const ENERGY: &str = "\
Examples:
  mysa energy                                the last two weeks as a chart
  mysa energy living --by month
  mysa energy --by hour                      yesterday and today
  mysa energy --by week --json
  mysa energy --from 2026-01-01 --to 2026-01-31 --csv january.csv
  mysa energy --by month --svg year.svg

Hours and days are local in the home of each thermostat; a day on which the
clock changes has 23 or 25 hours. If the time zone of a thermostat cannot be
read, that is reported, and another one of its home is used, or UTC. The cost is
by the present rate of the home, if the cloud has one; see `mysa homes`.";

pub(super) const HISTORY: &str = "\
Examples:
  mysa history living              the last week
  mysa history living --days 1     today
  mysa history bedroom --since 2026-01-01 --json

Times and days are local in the home of the thermostat. A change is by an app
(of any maker: the cloud does not tell them apart), by the schedule, by a
shortcut, or by a person at the thermostat. If the cloud has no history of all
settings, that of the setpoints is shown, for a month at most.";

pub(super) const RAW: &str = "\
Examples:
  mysa raw /devices/state
  mysa raw --host backend /state/a0b1c2d3e4f5

Private values are replaced unless --show-private is given.";

pub(super) const PRESIGN: &str = "\
Examples:
  mysa presign --out url.txt             write a URL to a private file
  mysa presign --print | other-program
  mysa presign --inspect - < url.txt     explain a URL
  mysa presign --endpoint a1b2-ats.iot.us-east-1.amazonaws.com --out url.txt
                                         sign with AWS_ACCESS_KEY_ID,
                                         AWS_SECRET_ACCESS_KEY and
                                         AWS_SESSION_TOKEN, without an account

Anyone who has the URL can connect as this account until it expires, after about
five minutes; the connection lasts up to a day. Connect by WebSocket with the
subprotocol mqtt and a client id of your own.";

pub(super) const DOCTOR: &str = "\
Checks every step from the files on this computer to the last message of each
thermostat, and says how to fix what fails. The output contains no private
values and can be attached to a bug report. The only message sent to the
thermostats is the request to report live, as by `mysa watch`. The exit code is
that of the first step that failed.

Examples:
  mysa doctor
  mysa doctor --json";

pub(super) const MAN: &str = "\
Examples:
  mysa man | man -l -                        read the manual
  mysa man set                               the page of one command
  mysa man --dir ~/.local/share/man/man1     write all pages";

pub(super) const CONFIG: &str = "\
Settings:
  account                  account to use if several are signed in
  unit                     celsius or fahrenheit
  channel                  channel for commands: auto, mqtt or rest
  mode-table               numbers of the modes: observed or design-document
  bridge.NAME              settings of `mysa bridge`, named like its options:
                           broker, user, password-file, broker-ca,
                           client-certificate, client-key, client-id, prefix or
                           discovery-prefix; and accounts, separated by commas
  devices.ID.rated-watts   power of the heaters behind a thermostat
  environment.NAME         another cloud: region, user-pool, user-pool-url,
                           client-id, identity-pool, identity-pool-url,
                           iot-endpoint, iot-control-host, rest-host or
                           backend-host
  environment.lookup-endpoint
                           true: ask the control plane of AWS IoT for the host
                           of the broker, and use iot-endpoint where it gives none

Examples:
  mysa config set unit fahrenheit
  mysa config get unit
  mysa config set channel auto
  mysa config set-watts living 1500
  mysa config show";

pub(super) const DECODE: &str = "\
Examples:
  mysa decode capture.har                    WebSocket frames in a HAR file
  mosquitto_sub -v -t '/v1/dev/#' | mysa decode --json
  echo '20 02 00 00' | mysa decode           MQTT packets in hex
  mysa decode --as batch readings.b64";

pub(super) const BRIDGE: &str = "\
Examples:
  mysa bridge check                          explain the settings, try the broker
  mysa bridge --broker mqtt://localhost
  mysa bridge --broker mqtts://broker.example.org --user mysa
  mysa bridge --broker ws://broker.example.org:9001/mqtt
  mysa config set bridge.broker mqtt://localhost
  mysa bridge --metrics 9464                 also http://127.0.0.1:9464/metrics and /healthz
  mysa bridge install-service                print a script with a systemd unit
  mysa config set bridge.accounts ann@example.org,bob@example.org
  mysa bridge migrate                        list what mysa2mqtt left at the broker

A value is taken from the option, else from the variable, else from [bridge] in
the settings file. The password is read from a file or from the variable
MYSA_BRIDGE_PASSWORD, never from an argument. The climate entity has the unit of
the settings: `mysa config set unit fahrenheit` for a home in \u{b0}F.

One bridge serves several accounts: repeat --account, or name them in
bridge.accounts. Each keeps running while another has to sign in. A thermostat
that is in several accounts belongs to the first of them.

Only a message to mysa/ID/set/FIELD that is not retained changes a thermostat.
The result of each arrives on mysa/ID/result.";

pub(super) const MIGRATE: &str = "\
Without --yes nothing is changed. Messages count only if they prove that they come
from mysa2mqtt; those of this bridge and of other programs stay.

Home Assistant keeps the ids, names and history of the entities that both have:
climate, temperature, floor temperature, humidity and power. To move:
  1. stop mysa2mqtt
  2. mysa bridge migrate                     lists what it left
  3. mysa bridge migrate --yes               removes it
  4. mysa bridge                             the entities are back
The select of the sensor is another entity in the bridge: the old one is removed.";

#[cfg(unix)]
pub(super) const FLEET: &str = "\
Examples:
  mysa fleet check --accounts accounts.toml     list the accounts of the file
  mysa fleet --accounts accounts.toml > events.jsonl
  mysa fleet --accounts accounts.toml --metrics 9465 --series account
  mysa fleet status
  mysa fleet status north-12
  mysa fleet set north-12/kitchen --temp 20.5

SIGHUP reads the accounts file again; SIGTERM and Ctrl-C end the fleet in order.

An accounts file:
  sessions = \"/var/lib/mysa/fleet\"          folder of the session files
  [[account]]
  name = \"north-12\"                         default: the e-mail address
  email = \"ann@example.org\"
  password-file = \"/run/secrets/ann\"        or password-command = [\"pass\", \"ann\"],
                                             or refresh-token, or none: `mysa login`

Standard output has one JSON object on a line for each change of a thermostat, of
the service of an account, and for each verdict. A reader that is slow misses old
states, never the latest, and holds up no command.

The socket takes one JSON object on a line and answers each with one; only the user
of the fleet can connect. docs/FLEET.md has the members of both, the metrics, and
what an account costs.";

#[cfg(all(unix, feature = "nats"))]
pub(super) const FLEET_WORKER: &str = "\
Examples:
  mysa fleet worker --nats nats://127.0.0.1:4222 --accounts accounts.toml > events.jsonl
  mysa fleet worker --nats tls://nats.example.org --nats-creds mysa.creds --nats-ca ca.pem \\
      --accounts accounts.toml --metrics 9465

Each worker has the same accounts file. The workers create their buckets at NATS,
and share the accounts: each is served by one worker at a time. The accounts of a
worker that is gone are taken over after --lease seconds; SIGTERM hands them over at
once, and decides every open command. SIGHUP reads the accounts file again. While
NATS cannot be reached, a worker that starts waits for it.

docs/FLEET.md has the set-up, the buckets, and what is guaranteed.";

#[cfg(all(unix, feature = "nats"))]
pub(super) const FLEET_ACCOUNTS: &str = "\
Examples:
  mysa fleet key new --keys keys.txt
  mysa fleet accounts add ann@example.org --name north-12 --password-file ann \\
      --nats tls://nats.example.org --keys keys.txt
  mysa fleet worker --nats tls://nats.example.org --keys keys.txt > events.jsonl

Each session is sealed for its account and fleet: NATS never has a token that can be
read. Workers see at once what is added, replaced and removed.

To change the key: mysa fleet key new --keys keys.txt; give the file to every worker
and send each SIGHUP; move the new line to the top, for all again; then
`mysa fleet accounts rotate`, and remove the old line when nothing is left.";

#[cfg(unix)]
pub(super) const FLEET_SET: &str = "\
Examples:
  mysa fleet set north-12/kitchen --temp 20.5
  mysa fleet set north-12/a0b1c2d3e4f5 --mode off --wait 60
  mysa fleet set north-12/kitchen --temp +1 --request night-2026-01-02

Exits as `mysa set` does: 0 only if the thermostat confirmed the change.";

pub(super) const SIM: &str = "\
Examples:
  mysa sim                                   a home of five thermostats on 127.0.0.1:8443
  mysa sim --speed 60 --fault cut@600 --fault drop-acks@900-1200
  mysa sim --home home.toml --listen 127.0.0.1:0
  mysa sim --home all                        eight thermostats, one of each family at least
  mysa sim --home small --token-life 120     four thermostats, tokens of two minutes
  mysa sim --home small --accounts 1000      user1@example.com to user1000@example.com
  mysa sim --no-schedules                    no setpoint changes by itself, for automatic tests
  mysa sim -v                                log every request, connection, message and command
  mysa sim --check                           judge the client that connects
  mysa sim --check --report report.json --check-step 30
  mysa sim ctl devices                       rooms, heaters and energy of the running simulator

--check prints its report when the script of faults has ended, or at Ctrl-C.
The client should sign in, list, subscribe, read by REST every few seconds and
set a thermostat every few seconds. The exit code is 0 if a client connected and
broke no rule.

A home file:
  history-days = 30
  [[account]]
  email = \"ann@example.org\"
  password = \"secret\"
  [[account.home]]
  name = \"Cottage\"
  [[account.home.device]]
  id = \"a0b1c2d3e4f5\"
  model = \"BB-V1-1\"
  name = \"Hall\"
  rated-w = 1500";

pub(super) const CTL: &str = "\
Examples:
  mysa sim ctl devices
  mysa sim ctl room kitchen 14               the window is open
  mysa sim ctl setpoint kitchen 21.5         a person turns the thermostat
  mysa sim ctl fault drop-acks --device kitchen --for 60
  mysa sim ctl advance 3600                  an hour passes
  mysa sim ctl events --json                 one object per line";
