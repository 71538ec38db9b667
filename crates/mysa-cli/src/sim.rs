//! `mysa sim`.

mod authority;
mod check;
pub(crate) mod ctl;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mysa_sim::{AccountSpec, CloudSpec, InvalidFault, NamedFault};
use mysa_sim_server::{Certificate, CertificateError, Events, Limits, Notice, Server, StartError};

use crate::args::Sim;
use crate::output::record::{self, Record, Value, printable};
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::open_files::raise_open_files;
use crate::support::shutdown::signal_received;

/// Runs the simulated cloud until the caller drops the future.
pub(crate) async fn run(terminal: &Terminal, args: &Sim, ca_out: Option<&Path>) -> Result<()> {
    if args.fault.iter().any(|fault| fault == "list") {
        return list(terminal);
    }
    if !(args.speed.is_finite() && (0.01..=10_000.0).contains(&args.speed)) {
        return Err(Failure::usage("invalid --speed: expected a factor from 0.01 to 10000"));
    }
    let mut signal = std::pin::pin!(signal_received());
    if args.check {
        // Polled once, so that a signal from now on ends the check with a report.
        tokio::select! {
            biased;
            failure = &mut signal => return Err(failure),
            () = std::future::ready(()) => {}
        }
    }
    let mut spec = spec(args)?;
    let (certificate, kept) = certificate(args, &mut spec)?;
    let authority = certificate.authority_pem().map(str::to_owned);
    let accounts = spec.accounts.clone();
    let mut limits = Limits::default();
    // Each account has a WebSocket, a second one while that is replaced, and a few pooled HTTP connections. A process that is
    // stopped or cut off leaves as many open while another one serves its accounts.
    limits.connections = limits.connections.max(accounts.len().saturating_mul(16));
    raise_open_files();
    let server = Server::start_with(args.listen, certificate, spec, args.seed, args.speed, limits).await;
    let mut server = server.map_err(|error| match error {
        StartError::NotLoopback(_) => Failure::from((Exit::Usage, error)),
        error => Failure::from((Exit::Failed, error)),
    })?;
    // Opened before the file appears, because other programs wait for the file.
    let control = open_control(args, &mut server).await?;
    // Kept until the end, so that no other simulator takes the file.
    let published = match (&authority, &kept, ca_out) {
        // Without `--ca`, the file in the folder is enough.
        (None, ..) | (_, Some(_), None) => None,
        (Some(pem), ..) => Some(authority::publish(ca_out, pem)?),
    };
    let trust = published.as_ref().map(|file| file.path.as_path()).or(kept.as_deref());
    let mut events = terminal.is_verbose().then(|| server.events());
    let check = args.check.then(|| server.check(check::settings(args)));
    announce(terminal, args, &server, control, &accounts, trust)?;
    let log = async {
        match &mut events {
            Some(events) => log(terminal, events).await,
            None => std::future::pending().await,
        }
    };
    match check {
        Some(check) => tokio::select! {
            result = check::run(terminal, args, check, signal) => result,
            result = log => result,
        },
        None => log.await,
    }
}

/// Opens the control endpoint, unless it is disabled.
async fn open_control(args: &Sim, server: &mut Server) -> Result<Option<SocketAddr>> {
    if args.no_control {
        return Ok(None);
    }
    let failed = |error: StartError| match error {
        StartError::NotLoopback(_) => Failure::from((Exit::Usage, error)),
        error => Failure::from((Exit::Failed, error)),
    };
    if let Some(address) = args.control {
        return server.open_control(address).await.map(Some).map_err(failed);
    }
    let any = SocketAddr::new(args.listen.ip(), 0);
    let next = args.listen.port().checked_add(1).filter(|_| args.listen.port() != 0);
    if let Some(port) = next
        && let Ok(address) = server.open_control(SocketAddr::new(args.listen.ip(), port)).await
    {
        return Ok(Some(address));
    }
    // Another program, perhaps another simulator, uses the next port.
    server.open_control(any).await.map(Some).map_err(failed)
}

/// Prints everything that happens: for people on standard error, as JSON on standard output.
async fn log(terminal: &Terminal, events: &mut Events) -> Result<()> {
    loop {
        if terminal.json {
            let Some(line) = events.next_json().await else { return Ok(()) };
            terminal.line(line)?;
        } else {
            match events.next().await {
                Some(Notice::Event(event)) => terminal.detail(event.to_string()),
                Some(Notice::Lost(count)) => terminal.detail(format!("{count} events were lost")),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }
}

/// Builds the specification of the cloud from the arguments.
fn spec(args: &Sim) -> Result<CloudSpec> {
    let mut spec = match &args.home {
        Some(name) if name == Path::new("small") => CloudSpec::small(),
        Some(name) if name == Path::new("all") => CloudSpec::all(),
        Some(path) => mysa_config::home(&fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
        })?)
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?,
        None => CloudSpec::demo(),
    };
    if args.no_schedules {
        spec = spec.without_schedules();
    }
    if let Some(count) = args.accounts {
        spec = spec.with_accounts(count);
    }
    if let Some(secs) = args.token_life {
        spec.rules.token_life = Duration::from_secs(secs);
    }
    if let Some(secs) = args.credential_life {
        spec.rules.credential_life = Duration::from_secs(secs);
    }
    for text in &args.fault {
        spec.add_named_fault(text).map_err(|why| {
            let list = match why {
                InvalidFault::UnknownName => "; `mysa sim --fault list` prints all names",
                _ => "",
            };
            Failure::usage(format!("invalid --fault '{text}': {why}{list}"))
        })?;
    }
    Ok(spec)
}

/// The certificate of the listener, and the file to trust if `--ca-dir` has one, which also has the secret by which
/// tokens outlive the simulator.
fn certificate(args: &Sim, spec: &mut CloudSpec) -> Result<(Certificate, Option<PathBuf>)> {
    let failed = |error: CertificateError| Failure::from((Exit::Failed, error));
    if let (Some(chain), Some(key)) = (&args.cert, &args.key) {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
            })
        };
        return Ok((Certificate::from_pem(&read(chain)?, &read(key)?).map_err(failed)?, None));
    }
    let Some(folder) = &args.ca_dir else {
        return Ok((Certificate::for_cloud(&spec.names).map_err(failed)?, None));
    };
    let (authority, trust) = authority::keep(folder)?;
    spec.session_secret = Some(authority.session_secret());
    Ok((Certificate::signed_by(&authority, &spec.names).map_err(failed)?, Some(trust)))
}

/// Prints the data that another program needs to use the cloud. The passwords are invented and public.
fn announce(
    terminal: &Terminal,
    args: &Sim,
    server: &Server,
    control: Option<SocketAddr>,
    accounts: &[AccountSpec],
    ca: Option<&Path>,
) -> Result<()> {
    let address = server.address().to_string();
    let control = control.map(|control| format!("http://{control}/"));
    let ca = ca.map(|ca| ca.display().to_string());
    if terminal.json {
        // Larger seeds than JSON readers hold exactly are text.
        let seed = i64::try_from(args.seed).map_or_else(|_| args.seed.to_string().into(), Value::from);
        let mut record = record::document();
        record.put("address", address.as_str()).put("control", control).put("ca", ca).put("seed", seed);
        let accounts = accounts.iter().map(|account| {
            let mut shown = Record::new();
            let devices = account.homes.iter().flat_map(|home| &home.devices);
            let devices = devices.map(|device| Value::Text(device.id.to_string()));
            shown.put("email", account.email.as_str()).put("password", account.password.as_str());
            shown.put("devices", devices.collect::<Vec<_>>());
            Value::Record(shown)
        });
        record.put("accounts", accounts.collect::<Vec<_>>());
        return terminal.line(record.to_json());
    }
    terminal.line(format!("simulated cloud on {address}, speed {}, seed {}", args.speed, args.seed))?;
    if let Some(control) = &control {
        terminal.line(format!("  control   {control}"))?;
    }
    let many = accounts.len() > MAX_SHOWN;
    if let (true, [first, .., last]) = (many, accounts) {
        let (first, last) = (printable(&first.email), printable(&last.email));
        terminal.line(format!("  accounts  {} from {first} to {last}", accounts.len()))?;
    }
    for account in accounts.iter().take(if many { 1 } else { MAX_SHOWN }) {
        terminal.line(format!("  account   {}", printable(&account.email)))?;
        terminal.line(format!("  password  {}", printable(&account.password)))?;
        for device in account.homes.iter().flat_map(|home| &home.devices) {
            let (model, name) = (printable(&device.model), printable(&device.name));
            terminal.line(format!("    {}  {model:<9}  {name}", device.id))?;
        }
    }
    let trust = match &ca {
        Some(path) => {
            terminal.line(format!("  trust     {}", printable(path)))?;
            format!("--ca {path} ")
        }
        None => String::new(),
    };
    if let Some(account) = accounts.first() {
        // One call per line, because `say` escapes line breaks.
        terminal.say("In another terminal:");
        terminal.say(format!("  mysa {trust}--connect-to {address} login {}", account.email));
        terminal.say(format!("  mysa {trust}--connect-to {address} watch"));
        terminal.say("Stop with Ctrl-C.");
    }
    Ok(())
}

/// Maximum number of accounts that are listed for people one by one.
const MAX_SHOWN: usize = 20;

fn list(terminal: &Terminal) -> Result<()> {
    for fault in NamedFault::all() {
        let (name, what) = (fault.name(), fault.description());
        if terminal.json {
            let mut record = record::document();
            record.put("fault", name).put("description", what);
            terminal.line(record.to_json())?;
        } else {
            terminal.line(format!("{name:<22} {what}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(args: &[&str]) -> Result<CloudSpec> {
        let cli = Cli::try_parse_from(["mysa", "sim"].iter().chain(args)).unwrap();
        let Command::Sim(args) = cli.command else { panic!("it is `mysa sim`") };
        spec(&args)
    }

    fn devices(spec: &CloudSpec) -> usize {
        spec.accounts.iter().flat_map(|account| &account.homes).map(|home| home.devices.len()).sum()
    }

    /// Number of thermostats with a schedule.
    fn scheduled(spec: &CloudSpec) -> usize {
        let homes = spec.accounts.iter().flat_map(|account| &account.homes);
        homes.flat_map(|home| &home.devices).filter(|device| !device.schedule.is_empty()).count()
    }

    #[test]
    fn options_describe_the_cloud() {
        let usual = read(&[]).unwrap();
        assert_eq!(scheduled(&usual), 2);
        let many = read(&["--no-schedules", "--accounts", "3"]).unwrap();
        assert_eq!((devices(&many), scheduled(&many)), (15, 0));
        assert_eq!((devices(&usual), usual.rules.token_life), (5, Duration::from_secs(3_600)));
        let spec = read(&["--home", "small", "--token-life", "120", "--credential-life", "60"]).unwrap();
        assert_eq!(devices(&spec), 4);
        assert_eq!(devices(&read(&["--home", "all"]).unwrap()), 8);
        let many = read(&["--home", "small", "--accounts", "300"]).unwrap();
        let ids: std::collections::BTreeSet<_> = many
            .accounts
            .iter()
            .flat_map(|account| account.homes.iter().flat_map(|home| &home.devices))
            .map(|device| device.id)
            .collect();
        assert_eq!((many.accounts.len(), ids.len()), (300, 1_200));
        assert_eq!(spec.rules.token_life, Duration::from_secs(120));
        assert_eq!(spec.rules.credential_life, Duration::from_secs(60));
        assert!(read(&["--home", "/nowhere/home.toml"]).is_err());
    }
}
