//! `mysa doctor`: every step from the files here to the word of each thermostat.

mod report;

use std::time::Duration;

use mysa_proto::Channel;
use mysa_tokio::{
    Client, DeviceView, Diagnosis, Environment, Handshake, Loaded, NotReady, ProbeError, Prober, Publishes,
    Reason, Subscribed, TokenFileError,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Global;
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::output::view::{self, Link};
use crate::support::cloud::{Cloud, Context, not_ready};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;
use crate::support::shutdown::OpenClients;

use report::Report;

const REACH_WITHIN: Duration = Duration::from_secs(10);
const READY_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(25);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const HEAR_WITHIN: Duration = Duration::from_secs(8);

const SIGN_IN: &str = "sign-in";
const CLOCK: &str = "clock";
const LIST: &str = "list of thermostats";
const CREDENTIALS: &str = "AWS credentials";
const UPGRADE: &str = "WebSocket upgrade, presigned";
const CONNECT: &str = "MQTT CONNECT";
const SUBSCRIPTIONS: &str = "subscriptions";
const PUBLISHING: &str = "publishing";
const HEARD: &str = "last word of each thermostat";

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

/// The settings, and what follows from them.
fn files(report: &mut Report<'_>, global: &Global) -> Result<Option<Context>> {
    const STEP: &str = "settings file";
    let paths = match Paths::find(global.config.clone()) {
        Ok(paths) => paths,
        Err(failure) => {
            report.fail(STEP, failure.exit, failure.to_string(), "Set HOME, or the variable named.")?;
            return Ok(None);
        }
    };
    match crate::context(global) {
        Ok(context) => {
            let there = paths.config.exists();
            report.good(STEP, if there { "read" } else { "there is none: every setting has its default" })?;
            Ok(Some(context))
        }
        Err(failure) => {
            // Its path has the user's name in it.
            let found = failure.to_string().replace(&paths.config.display().to_string(), "it");
            report.fail(STEP, failure.exit, found, "Mend the file that `mysa config path` names.")?;
            Ok(None)
        }
    }
}

/// Whose session there is, and whether nobody else can read it.
fn session_file(report: &mut Report<'_>, context: &Context) -> Result<Option<String>> {
    const STEP: &str = "session file";
    const LOGIN: &str = "Run `mysa login`.";
    let account = match context.account() {
        Ok(account) => account,
        Err(failure) => {
            let advice = if failure.exit == Exit::Usage { "Say which with --account." } else { LOGIN };
            report.fail(STEP, failure.exit, failure.to_string(), advice)?;
            return Ok(None);
        }
    };
    match context.token_file(&account).load() {
        Ok(Loaded::Session(stored)) if stored.refused.is_some() => {
            report.fail(
                STEP,
                Exit::SignIn,
                "the cloud refused the password or the session it holds",
                LOGIN,
            )?;
        }
        Ok(Loaded::Session(_)) => {
            report.good(STEP, "read; nobody else can read it")?;
            return Ok(Some(account));
        }
        Ok(Loaded::SetAside(_)) => {
            report.fail(STEP, Exit::SignIn, "it could not be read, and was put aside", LOGIN)?;
        }
        Err(TokenFileError::Exposed { mode, .. }) => {
            let advice = "Whoever read it can act in your name: run `mysa logout` and `mysa login`; or, if nobody \
                          did, `chmod 600` the file that `mysa config path` leads to.";
            report.fail(STEP, Exit::Failed, format!("others can read it (mode {mode:03o})"), advice)?;
        }
        Err(TokenFileError::Io { error, .. }) => {
            let advice = "Look at the owner and the permissions of the folder that `mysa config path` names.";
            report.fail(STEP, Exit::Failed, format!("the system refuses: {error}"), advice)?;
        }
        _ => report.fail(STEP, Exit::SignIn, "nobody is signed in", LOGIN)?,
    }
    Ok(None)
}

/// Name, TCP and TLS of every host.
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
                "Install the system's CA bundle, or mend --ca.",
            );
        }
        Err(failure) => return report.fail(STEP, failure.exit, failure.to_string(), "Mend --ca or MYSA_CA."),
    };
    report.looking("the hosts of the cloud");
    let mut probes = JoinSet::new();
    let hosts = hosts_of(&context.environment);
    for (at, (host, port)) in hosts.iter().cloned().enumerate() {
        let prober: Prober = prober.clone();
        probes.spawn(async move { (at, prober.probe(&host, port, REACH_WITHIN).await) });
    }
    let mut results: Vec<_> = probes.join_all().await;
    results.sort_by_key(|(at, _)| *at);
    for ((host, _), (_, result)) in hosts.iter().zip(results) {
        match result {
            Ok(probe) if context.connect_to.is_some() => {
                report.good(host, format!("by the address given, TLS in {} ms", probe.took.as_millis()))?;
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
                    ProbeError::Name(_) => "Look whether there is a network, and whether its DNS answers.",
                    ProbeError::Untrusted(_) => {
                        "Somebody answers in its place, such as the sign-in page of a network or a proxy; or this \
                         computer's clock is far off."
                    }
                    _ => "Look whether there is a network, and whether a firewall lets port 443 out.",
                };
                report.fail(
                    host,
                    Exit::Unreachable,
                    Failure::from((Exit::Unreachable, error)).to_string(),
                    advice,
                )?;
            }
        }
    }
    Ok(())
}

fn hosts_of(environment: &Environment) -> Vec<(String, u16)> {
    let urls = [
        &environment.user_pool_url,
        &environment.identity_pool_url,
        &environment.legacy_url,
        &environment.backend_url,
    ];
    let mut hosts = Vec::new();
    let named = urls.into_iter().filter_map(|url| {
        let authority = url.split("://").nth(1)?.split('/').next()?;
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        Some((host.to_owned(), port.parse().ok()?))
    });
    for host in named.chain([(environment.broker.host().to_owned(), environment.broker.port())]) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// What takes a client: the session, the broker, the thermostats.
async fn online(
    report: &mut Report<'_>,
    terminal: &Terminal,
    context: &Context,
    account: String,
) -> Result<()> {
    let mut settings = context.settings();
    // One publish that comes to nothing is enough to tell; nobody's command depends on it.
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
        return report.skip(&[CREDENTIALS, UPGRADE, CONNECT, SUBSCRIPTIONS, PUBLISHING, HEARD]);
    }
    if !broker(report, cloud).await? {
        report.skip(&[SUBSCRIPTIONS, PUBLISHING])?;
    } else {
        topics(report, cloud, &views).await?;
    }
    thermostats(report, cloud, &views).await
}

/// Signing in and the REST service. True if the thermostats are listed.
async fn account(report: &mut Report<'_>, cloud: &Cloud) -> Result<bool> {
    report.looking("the account");
    let ready = timeout(READY_WITHIN, cloud.client.ready())
        .await
        .unwrap_or(Err(NotReady::Offline(Reason::Unreachable)));
    let seen = look(&cloud.client).await?;
    match &ready {
        _ if seen.signed_in => report.good(SIGN_IN, "the stored session was accepted")?,
        Err(why) => {
            let failure = not_ready(why);
            let advice = match failure.exit {
                Exit::SignIn => "Run `mysa login`.",
                _ => "If every host above can be reached, the cloud is in trouble: try again later.",
            };
            report.fail(SIGN_IN, failure.exit, failure.to_string(), advice)?;
        }
        Ok(()) => report.warn(SIGN_IN, "the tokens have lapsed since", "Run `mysa login`.")?,
    }
    match seen.clock_ahead_ms {
        None => report.skip(&[CLOCK])?,
        Some(0) => report.good(CLOCK, "agrees with the cloud's to within two seconds")?,
        Some(ahead) => {
            let how = if ahead < 0 { "ahead" } else { "behind" };
            let off = ahead.unsigned_abs() / 1_000;
            let advice = "Signatures are corrected for it. Set the clock all the same: NTP does it.";
            report.warn(CLOCK, format!("this computer's clock is {off} s {how}"), advice)?;
        }
    }
    match (&ready, cloud.client.devices().len()) {
        (Err(_), _) if !seen.signed_in => report.skip(&[LIST, CREDENTIALS, UPGRADE, CONNECT])?,
        (Err(why), _) => {
            let failure = not_ready(why);
            let advice = "The REST service is in trouble, or does not know the account: try again later.";
            report.fail(LIST, failure.exit, failure.to_string(), advice)?;
            report.skip(&[CREDENTIALS, UPGRADE, CONNECT])?;
        }
        (Ok(()), 0) => report.warn(LIST, "it is empty", "Are the thermostats on another account?")?,
        (Ok(()), count) => report.good(LIST, format!("thermostats: {count}"))?,
    }
    Ok(ready.is_ok())
}

/// From the AWS credentials to the word of the broker. True if it took the connection.
async fn broker(report: &mut Report<'_>, cloud: &Cloud) -> Result<bool> {
    report.looking("the broker");
    let mut furthest = Handshake::None;
    let seen = until(&cloud.client, CONNECT_WITHIN, |seen| {
        furthest = furthest.max(seen.handshake);
        seen.handshake == Handshake::Accepted || (seen.trouble.is_some() && seen.failures >= 2)
    })
    .await?;
    let service = cloud.client.service();
    if !seen.credentials && furthest == Handshake::None {
        let advice = "The identity pool gives none: is the region or a pool set otherwise than Mysa's own?";
        report.fail(CREDENTIALS, Exit::Unreachable, format!("none: {service}"), advice)?;
        report.skip(&[UPGRADE, CONNECT])?;
        return Ok(false);
    }
    report.good(CREDENTIALS, "at hand")?;
    if seen.handshake == Handshake::Accepted {
        report.good(UPGRADE, "accepted")?;
        report.good(CONNECT, "accepted")?;
        return Ok(true);
    }
    let found = seen.trouble.map_or_else(|| service.to_string(), |trouble| trouble.to_string());
    let refused = matches!(seen.trouble, Some(Reason::ConnectRefused(_)));
    if refused || furthest >= Handshake::Upgraded {
        report.good(UPGRADE, "accepted")?;
        let exit = if refused { Exit::Refused } else { Exit::Unreachable };
        let advice = "The account's policy may not allow it. Statuses are fetched by REST meanwhile.";
        report.fail(CONNECT, exit, found, advice)?;
        return Ok(false);
    }
    let (exit, advice) = match seen.trouble {
        Some(Reason::UpgradeRefused { status: Some(400..500) }) => (
            Exit::Refused,
            "The signature was refused: is environment.iot-endpoint or the region set otherwise than Mysa's own? Or \
             the account's policy does not allow it.",
        ),
        _ => (Exit::Unreachable, "Look whether a proxy or firewall lets WebSockets through."),
    };
    report.fail(UPGRADE, exit, found, advice)?;
    report.skip(&[CONNECT])?;
    Ok(false)
}

/// What the broker lets this account hear and say.
async fn topics(report: &mut Report<'_>, cloud: &Cloud, views: &[DeviceView]) -> Result<()> {
    report.looking("subscriptions");
    let answered = |seen: &Diagnosis| seen.subscriptions.iter().all(|(_, said)| *said != Subscribed::Waiting);
    let seen = until(&cloud.client, ANSWER_WITHIN, answered).await?;
    for (id, said) in &seen.subscriptions {
        let step = format!("subscription of {}", report.redaction().device(id));
        match said {
            Subscribed::Granted => report.good(&step, "granted")?,
            Subscribed::Refused => {
                let advice = "The account's policy does not allow it; its state is fetched by REST.";
                report.fail(&step, Exit::Refused, "refused, or never answered", advice)?;
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
    report.looking("publishing");
    let known = |seen: &Diagnosis| seen.publishing != Publishes::Unknown;
    match until(&cloud.client, ANSWER_WITHIN, known).await?.publishing {
        Publishes::Acknowledged => report.good(PUBLISHING, "the request to report live was acknowledged"),
        Publishes::Denied => {
            let advice = "The account's policy does not allow commands by MQTT. They go by the REST service where the \
                          model has it; for others use the app.";
            report.fail(PUBLISHING, Exit::Refused, "what was published was not acknowledged", advice)
        }
        Publishes::Unknown => {
            let advice = "Run it again; if that stays so, commands may not arrive.";
            report.warn(PUBLISHING, "nothing was acknowledged yet", advice)
        }
    }
}

async fn thermostats(report: &mut Report<'_>, cloud: &Cloud, views: &[DeviceView]) -> Result<()> {
    report.looking("thermostats");
    let fresh = |id| {
        let age = cloud.client.state(id).and_then(|view| cloud.age(&view));
        age.is_some_and(|age| age < Duration::from_secs(30))
    };
    let until = Instant::now() + HEAR_WITHIN;
    while Instant::now() < until && !views.iter().all(|view| fresh(&view.id)) {
        sleep(LOOK).await;
    }
    for view in views {
        let Some(view) = cloud.client.state(&view.id) else { continue };
        let name = report.redaction().device(&view.id);
        let step = format!("{name} ({})", view.model);
        let heard = cloud
            .age(&view)
            .map_or_else(|| "never heard".into(), |age| format!("heard {} ago", view::describe_age(age)));
        match Link::of(&view) {
            _ if view.model.family().is_none() => {
                let advice = "Please report it: its states are shown as far as they can be read, commands are refused.";
                report.warn(&step, format!("unknown model; {heard}"), advice)?;
            }
            Link::Live => report.good(&step, heard)?,
            link => {
                let advice =
                    "Look whether it has power and Wi-Fi. The first in `mysa devices` is dev-1, and so on.";
                report.fail(&step, Exit::DeviceSilent, format!("{}; {heard}", link.meaning()), advice)?;
            }
        }
    }
    Ok(())
}

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

async fn look(client: &Client) -> Result<Diagnosis> {
    client.diagnosis().await.map_err(|ended| (Exit::Failed, ended).into())
}

/// Looks until it is done, or time is up.
async fn until(
    client: &Client,
    within: Duration,
    mut done: impl FnMut(&Diagnosis) -> bool,
) -> Result<Diagnosis> {
    let deadline = Instant::now() + within;
    loop {
        let seen = look(client).await?;
        if done(&seen) || Instant::now() >= deadline {
            return Ok(seen);
        }
        sleep(LOOK).await;
    }
}
