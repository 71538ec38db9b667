//! `mysa doctor`: checks every step from the files on this computer to the last message of each thermostat.

mod report;

use std::time::Duration;

use mysa_proto::{Channel, Family, UnixTime};
use mysa_tokio::{
    Client, ConnectRefusal, DeviceView, Diagnosis, EndpointLookup, Handshake, NotReady, ProbeError, Prober,
    Publishes, Reason, Subscribed, TokenFileError,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Global;
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view::{self, Link};
use crate::support::cloud::{Cloud, Context, not_ready};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;
use crate::support::permission;
use crate::support::reachability;
use crate::support::shutdown::OpenClients;

use report::Report;

const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const REPORT_TIMEOUT: Duration = Duration::from_secs(8);

const SIGN_IN: &str = "sign-in";
const CLOCK: &str = "clock";
const LIST: &str = "list of thermostats";
const CREDENTIALS: &str = "AWS credentials";
const BROKER: &str = "host of the broker";
const UPGRADE: &str = "WebSocket upgrade, presigned";
const CONNECT: &str = "MQTT CONNECT";
const SUBSCRIPTIONS: &str = "subscriptions";
const PUBLISHING: &str = "publishing";
const LAST_MESSAGES: &str = "last message of each thermostat";

pub(crate) async fn run(
    terminal: &Terminal,
    global: &Global,
    redaction: &mut Redaction,
    open_clients: &OpenClients,
) -> Result<()> {
    let mut report = Report::new(terminal, redaction)?;
    if let Some(context) = files(&mut report, global)? {
        let context = Context { open_clients: open_clients.clone(), ..context };
        let account = session_file(&mut report, &context)?;
        hosts(&mut report, &context).await?;
        match account {
            Some(account) => online(&mut report, terminal, &context, account).await?,
            None => report.skip(&[SIGN_IN, CLOCK, LIST])?,
        }
    }
    report.end()
}

/// Checks the settings file.
fn files(report: &mut Report<'_>, global: &Global) -> Result<Option<Context>> {
    const STEP: &str = "settings file";
    let paths = match Paths::find(global.config.clone()) {
        Ok(paths) => paths,
        Err(failure) => {
            report.fail(
                STEP,
                failure.exit,
                failure.to_string(),
                "Set HOME, or the variable that is named.",
            )?;
            return Ok(None);
        }
    };
    match crate::context(global) {
        Ok(context) => {
            let there = paths.config.exists();
            report.good(STEP, if there { "valid" } else { "none; every setting has its default" })?;
            Ok(Some(context))
        }
        Err(failure) => {
            // The path contains the name of the user.
            let found = failure.to_string().replace(&paths.config.display().to_string(), "it");
            report.fail(STEP, failure.exit, found, "Fix the file; `mysa config path` prints where it is.")?;
            Ok(None)
        }
    }
}

/// Checks that a session is stored, and that only its owner can read it.
fn session_file(report: &mut Report<'_>, context: &Context) -> Result<Option<String>> {
    const STEP: &str = "session file";
    const LOGIN: &str = "Run `mysa login`.";
    let account = match context.account() {
        Ok(account) => account,
        Err(failure) => {
            let advice = if failure.exit == Exit::Usage { "Choose one with --account." } else { LOGIN };
            report.fail(STEP, failure.exit, failure.to_string(), advice)?;
            return Ok(None);
        }
    };
    match context.token_file(&account).load() {
        Ok(Some(stored)) if stored.refused.is_some() => {
            report.fail(
                STEP,
                Exit::SignIn,
                "the cloud refused the password or the session it holds",
                LOGIN,
            )?;
        }
        Ok(Some(stored)) => {
            report.good(STEP, "valid; only its owner can read it")?;
            stored_permission(report, context, stored.publish_denied_at)?;
            return Ok(Some(account));
        }
        Err(TokenFileError::Exposed { mode, .. }) => {
            let advice = "A person who has read it can act in your name: run `mysa logout` and `mysa login`; or, if nobody \
                          did, `chmod 600` the file that `mysa config path` leads to.";
            report.fail(STEP, Exit::Failed, format!("others can read it (mode {mode:03o})"), advice)?;
        }
        Err(TokenFileError::Io { error, .. }) => {
            let advice = "Look at the owner and the permissions of the folder that `mysa config path` names.";
            report.fail(STEP, Exit::Failed, format!("the system refuses: {error}"), advice)?;
        }
        Err(error @ TokenFileError::Damaged { .. }) => {
            report.fail(STEP, Exit::SignIn, error.to_string(), LOGIN)?
        }
        Err(error) => {
            report.fail(STEP, Exit::Failed, error.to_string(), "The file is left as it is.")?;
        }
        Ok(None) => report.fail(STEP, Exit::SignIn, "not signed in", LOGIN)?,
    }
    Ok(None)
}

/// Shows the permission to publish as earlier commands learned it; it decides the channel of the next command.
fn stored_permission(report: &mut Report<'_>, context: &Context, denied_at: Option<i64>) -> Result<()> {
    const STEP: &str = "publish permission, as learned";
    let channel = context.config.channel;
    let denied = denied_at
        .map(UnixTime::from_secs)
        .and_then(|denied_at| permission::describe(denied_at, timefmt::now(), channel, &context.settings()));
    match denied {
        Some(found) => report.warn(STEP, found, &permission::advice(channel)),
        None => report.good(STEP, "not known to be denied"),
    }
}

/// Checks DNS, TCP and TLS for every host.
async fn hosts(report: &mut Report<'_>, context: &Context) -> Result<()> {
    const STEP: &str = "trusted certificates";
    let prober = match context.builder(context.settings()).map(|builder| builder.prober()) {
        Ok(Ok(prober)) => prober,
        Ok(Err(error)) => {
            let failure = Failure::from((Exit::Failed, error));
            return report.fail(
                STEP,
                failure.exit,
                failure.to_string(),
                "Install the CA certificates of the system, or fix --ca.",
            );
        }
        Err(failure) => return report.fail(STEP, failure.exit, failure.to_string(), "Fix --ca or MYSA_CA."),
    };
    report.checking("the hosts of the cloud");
    let mut probes = JoinSet::new();
    let hosts = reachability::hosts(&context.environment);
    for (at, (host, port)) in hosts.iter().cloned().enumerate() {
        let prober: Prober = prober.clone();
        probes.spawn(async move { (at, prober.probe(&host, port, PROBE_TIMEOUT).await) });
    }
    let mut results: Vec<_> = probes.join_all().await;
    results.sort_by_key(|(at, _)| *at);
    for ((host, _), (_, result)) in hosts.iter().zip(results) {
        match result {
            Ok(probe) if context.connect_to.is_some() => {
                report.good(host, format!("at the given address, TLS in {} ms", probe.took.as_millis()))?;
            }
            Ok(probe) => {
                let many = if probe.addresses == 1 { "address" } else { "addresses" };
                report.good(
                    host,
                    format!("{} {many}, TLS in {} ms", probe.addresses, probe.took.as_millis()),
                )?;
            }
            Err(error) => {
                let advice = match &error {
                    ProbeError::Name(_) => "Check the network connection and its DNS server.",
                    ProbeError::Untrusted(_) => {
                        "Check for a proxy or a sign-in page of the network, and the clock of this computer."
                    }
                    _ => "Check the network connection, and whether a firewall blocks port 443.",
                };
                report.fail(host, Exit::Unreachable, reachability::describe_probe(&error), advice)?;
            }
        }
    }
    Ok(())
}

/// Checks everything that needs a client: the account, the broker, the thermostats.
async fn online(
    report: &mut Report<'_>,
    terminal: &Terminal,
    context: &Context,
    account: String,
) -> Result<()> {
    let mut settings = context.settings();
    // One failed publish is enough for a diagnosis, because no command depends on the result.
    settings.read_only_after = 1;
    let builder = context.builder(settings)?.token_file(context.token_file(&account));
    let cloud = Cloud::start(builder, account, &context.open_clients)?;
    let result = steps(report, &cloud).await;
    cloud.close(terminal).await;
    result
}

async fn steps(report: &mut Report<'_>, cloud: &Cloud) -> Result<()> {
    if !account(report, cloud).await? {
        return Ok(());
    }
    let views = cloud.client.devices();
    if views.is_empty() {
        return report.skip(&[
            CREDENTIALS,
            BROKER,
            UPGRADE,
            CONNECT,
            SUBSCRIPTIONS,
            PUBLISHING,
            LAST_MESSAGES,
        ]);
    }
    if !broker(report, cloud).await? {
        report.skip(&[SUBSCRIPTIONS, PUBLISHING])?;
    } else {
        topics(report, cloud, &views).await?;
    }
    thermostats(report, cloud, &views).await
}

/// Checks the sign-in and the REST service. Returns `true` if the thermostats are listed.
async fn account(report: &mut Report<'_>, cloud: &Cloud) -> Result<bool> {
    report.checking("the account");
    let ready = timeout(READY_TIMEOUT, cloud.client.ready())
        .await
        .unwrap_or(Err(NotReady::Offline(Reason::Unreachable)));
    let seen = diagnose(&cloud.client).await?;
    match &ready {
        _ if seen.signed_in => report.good(SIGN_IN, "the stored session was accepted")?,
        Err(why) => {
            let failure = not_ready(why);
            let advice = match failure.exit {
                Exit::SignIn => "Run `mysa login`.",
                _ => "If every host above is reachable, the service is failing: try again later.",
            };
            report.fail(SIGN_IN, failure.exit, failure.to_string(), advice)?;
        }
        Ok(()) => report.warn(SIGN_IN, "the tokens have expired", "Run `mysa login`.")?,
    }
    match seen.clock_ahead_ms {
        None => report.skip(&[CLOCK])?,
        Some(0) => report.good(CLOCK, "within two seconds of the clock of the cloud")?,
        Some(ahead) => {
            let how = if ahead < 0 { "ahead" } else { "behind" };
            let off = ahead.unsigned_abs() / 1_000;
            let advice = "Signatures are corrected for it. Set the clock, for example with NTP.";
            report.warn(CLOCK, format!("this computer's clock is {off} s {how}"), advice)?;
        }
    }
    match (&ready, cloud.client.devices().len()) {
        (Err(_), _) if !seen.signed_in => report.skip(&[LIST, CREDENTIALS, BROKER, UPGRADE, CONNECT])?,
        (Err(why), _) => {
            let failure = not_ready(why);
            let advice = "The REST service is failing, or does not know the account: try again later.";
            report.fail(LIST, failure.exit, failure.to_string(), advice)?;
            report.skip(&[CREDENTIALS, BROKER, UPGRADE, CONNECT])?;
        }
        (Ok(()), 0) => report.warn(
            LIST,
            "the list is empty",
            "Check whether the thermostats belong to another account.",
        )?,
        (Ok(()), count) => report.good(LIST, format!("thermostats: {count}"))?,
    }
    Ok(ready.is_ok())
}

/// Checks the AWS credentials and the connection to the broker. Returns `true` if the broker accepted it.
async fn broker(report: &mut Report<'_>, cloud: &Cloud) -> Result<bool> {
    report.checking("the broker");
    let mut furthest = Handshake::None;
    let seen = until(&cloud.client, CONNECT_TIMEOUT, |seen| {
        furthest = furthest.max(seen.handshake);
        seen.handshake == Handshake::Accepted || (seen.trouble.is_some() && seen.failures >= 2)
    })
    .await?;
    let service = cloud.client.service();
    // A broker that refuses makes the session fetch new credentials, so there may be none at this moment. A failure of
    // the broker shows that there were some.
    if !seen.credentials && furthest == Handshake::None && seen.trouble.is_none() {
        let advice = "The identity pool returns none. Check the environment settings, if any is set.";
        report.fail(CREDENTIALS, Exit::Unreachable, format!("none: {service}"), advice)?;
        report.skip(&[BROKER, UPGRADE, CONNECT])?;
        return Ok(false);
    }
    report.good(CREDENTIALS, "valid")?;
    broker_host(report, &seen)?;
    if seen.handshake == Handshake::Accepted {
        report.good(UPGRADE, "accepted")?;
        report.good(CONNECT, "accepted")?;
        return Ok(true);
    }
    let found = seen.trouble.map_or_else(|| service.to_string(), |trouble| trouble.to_string());
    let at_connect = match seen.trouble {
        Some(Reason::ConnectRefused(ConnectRefusal::Unavailable)) => Some((
            Exit::Unreachable,
            "The broker is failing: try again later. The states are read by REST instead.",
        )),
        Some(Reason::ConnectRefused(_) | Reason::ConnectNotPermitted) => Some((
            Exit::Refused,
            "The account is not permitted to connect. The states are read by REST instead.",
        )),
        _ if furthest >= Handshake::Upgraded => Some((
            Exit::Unreachable,
            "The broker accepts the WebSocket, and does not answer: try again later. The states are read by REST \
             instead.",
        )),
        _ => None,
    };
    if let Some((exit, advice)) = at_connect {
        report.good(UPGRADE, "accepted")?;
        report.fail(CONNECT, exit, found, advice)?;
        return Ok(false);
    }
    let (exit, advice) = match seen.trouble {
        Some(Reason::UpgradeRefused { status: Some(400..500) }) => (
            Exit::Refused,
            "The signature was refused. Check environment.iot-endpoint and environment.region, if set; otherwise the \
             account is not permitted to connect.",
        ),
        _ => (Exit::Unreachable, "Check whether a proxy or firewall blocks WebSockets."),
    };
    report.fail(UPGRADE, exit, found, advice)?;
    report.skip(&[CONNECT])?;
    Ok(false)
}

/// Shows the host at which the broker is dialled, and its origin: configured or looked up.
fn broker_host(report: &mut Report<'_>, seen: &Diagnosis) -> Result<()> {
    let host = &seen.broker;
    let problem = match seen.endpoint_lookup {
        EndpointLookup::Off => return report.good(BROKER, format!("{host}, configured")),
        EndpointLookup::Found => return report.good(BROKER, format!("{host}, looked up")),
        EndpointLookup::Waiting => "the look-up was not answered yet".to_owned(),
        EndpointLookup::Refused { status } => format!("the look-up was refused (HTTP {status})"),
        EndpointLookup::Failed => "the look-up failed".to_owned(),
        EndpointLookup::Unusable => "the look-up did not return a host of AWS IoT in this region".to_owned(),
        EndpointLookup::Rejected => "the host from the look-up accepts no connection".to_owned(),
    };
    let advice = "Nothing else depends on the look-up. `mysa config set environment.lookup-endpoint \"\"` turns it off.";
    report.warn(BROKER, format!("{host}, configured: {problem}"), advice)
}

/// Checks which subscriptions and publishes the broker permits.
async fn topics(report: &mut Report<'_>, cloud: &Cloud, views: &[DeviceView]) -> Result<()> {
    report.checking("subscriptions");
    let answered =
        |seen: &Diagnosis| seen.subscriptions.iter().all(|(_, state)| *state != Subscribed::Waiting);
    let seen = until(&cloud.client, ANSWER_TIMEOUT, answered).await?;
    for (id, state) in &seen.subscriptions {
        let step = format!("subscription of {}", report.redaction().device(id));
        match state {
            Subscribed::Granted => report.good(&step, "granted")?,
            Subscribed::Refused => {
                let advice = "The account is not permitted to subscribe; the state is read by REST instead.";
                report.fail(&step, Exit::Refused, "refused, or not answered", advice)?;
            }
            Subscribed::Waiting => {
                report.fail(&step, Exit::TimedOut, "not answered in time", "Try again later.")?;
            }
        }
    }
    let spoken_to =
        |view: &&DeviceView| view.model.family().is_some_and(|family| family.is_reached_by(Channel::Mqtt));
    if views.iter().filter(spoken_to).count() == 0 {
        return report.skip(&[PUBLISHING]);
    }
    report.checking("publishing");
    let known = |seen: &Diagnosis| seen.publishing != Publishes::Unknown;
    match until(&cloud.client, ANSWER_TIMEOUT, known).await?.publishing {
        Publishes::Acknowledged => report.good(PUBLISHING, "the request to report live was acknowledged"),
        Publishes::Denied => {
            let advice = "The account is not permitted to publish. Commands go by REST for the models that have it, \
                          unless --channel or the setting `channel` says otherwise; for others use the app.";
            report.fail(PUBLISHING, Exit::Refused, "the broker did not acknowledge a publish", advice)
        }
        Publishes::Unknown => {
            let advice = "Run `mysa doctor` again. If the warning stays, commands may not arrive.";
            report.warn(PUBLISHING, "nothing has been acknowledged yet", advice)
        }
    }
}

async fn thermostats(report: &mut Report<'_>, cloud: &Cloud, views: &[DeviceView]) -> Result<()> {
    report.checking("thermostats");
    let fresh = |id| cloud.client.state(id).is_some_and(|view| cloud.is_fresh(&view));
    let until = Instant::now() + REPORT_TIMEOUT;
    while Instant::now() < until && !views.iter().all(|view| fresh(&view.id)) {
        sleep(POLL_INTERVAL).await;
    }
    for view in views {
        let Some(view) = cloud.client.state(&view.id) else { continue };
        let name = report.redaction().device(&view.id);
        let step = format!("{name} ({})", view.model);
        let last_message = cloud.age(&view).map_or_else(
            || "no message yet".into(),
            |age| format!("last message {} ago", view::describe_age(age)),
        );
        record_facts(report, &view, &name)?;
        match Link::of(&view) {
            _ if view.model.family().is_none() => {
                let advice = "Please report this model. Its state is shown as far as it is known; commands are refused.";
                report.warn(&step, format!("unknown model; {last_message}"), advice)?;
            }
            Link::Live => report.good(&step, last_message)?,
            // A model without MQTT topics is read by REST alone, which is not a fault.
            Link::Rest if !view.model.family().is_some_and(|family| family.is_reached_by(Channel::Mqtt)) => {
                report.good(&step, format!("read by REST, as all of its model; {last_message}"))?;
            }
            Link::Rest => {
                let advice = "Its changes are shown with a delay. Run `mysa doctor` again in a few minutes.";
                report.warn(&step, format!("{}; {last_message}", Link::Rest.meaning()), advice)?;
            }
            link => {
                let advice =
                    "Check its power and Wi-Fi. dev-1 is the first thermostat of `mysa devices`, and so on.";
                report.fail(
                    &step,
                    Exit::DeviceSilent,
                    format!("{}; {last_message}", link.meaning()),
                    advice,
                )?;
            }
        }
    }
    Ok(())
}

/// Shows invalid values in the record of a thermostat, and the values used instead.
fn record_facts(report: &mut Report<'_>, view: &DeviceView, name: &str) -> Result<()> {
    let step = format!("record of {name}");
    if view.record_model != view.model {
        let found = format!("it says {}; the thermostat is a {}", view.record_model, view.model);
        report.warn(
            &step,
            found,
            "Commands follow the model of the thermostat. The app may not reach it.",
        )?;
    }
    let Some(family) = view.model.family() else { return Ok(()) };
    let limits = view.limits();
    let ignored = limits.ignored(family);
    if !ignored.is_empty() {
        let found = ignored.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let advice = "These limits are ignored. Set the limits of the thermostat in the app.";
        report.warn(&step, found, advice)?;
    }
    if family == Family::AirConditioner && limits.ac.is_none() {
        let advice = "Every fan speed and swing is allowed; the unit may ignore some. Choose its remote control in the app.";
        report.warn(&step, "it does not say what the air conditioner can do", advice)?;
    }
    Ok(())
}

/// Interval between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

async fn diagnose(client: &Client) -> Result<Diagnosis> {
    client.diagnosis().await.map_err(|ended| (Exit::Failed, ended).into())
}

/// Polls the diagnosis until `done` accepts it, at most for `limit`.
async fn until(
    client: &Client,
    limit: Duration,
    mut done: impl FnMut(&Diagnosis) -> bool,
) -> Result<Diagnosis> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = diagnose(client).await?;
        if done(&seen) || Instant::now() >= deadline {
            return Ok(seen);
        }
        sleep(POLL_INTERVAL).await;
    }
}
