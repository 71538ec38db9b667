//! `mysa sim`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mysa_sim::{AccountSpec, CloudSpec, InvalidFault, NamedFault};
use mysa_sim_server::{Certificate, Server};

use crate::args::Sim;
use crate::output::record::{Record, Value};
use crate::output::terminal::Terminal;
use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};

/// File in the current folder for the certificate authority, unless `--ca` names another.
const CA_OUT: &str = "mysa-sim-ca.pem";

/// Runs the simulated cloud until the caller drops the future.
pub(crate) async fn run(terminal: &Terminal, args: &Sim, ca_out: Option<&Path>) -> Result<()> {
    let ca_out = ca_out.unwrap_or(Path::new(CA_OUT));
    if args.fault.iter().any(|fault| fault == "list") {
        return list(terminal);
    }
    if !(args.speed.is_finite() && (0.01..=10_000.0).contains(&args.speed)) {
        return Err(Failure::usage("invalid --speed: expected a factor from 0.01 to 10000"));
    }
    let spec = spec(args)?;
    let certificate = certificate(args, &spec)?;
    let authority = certificate.authority_pem().map(str::to_owned);
    let accounts = spec.accounts.clone();
    let server =
        Server::start(args.listen, certificate, spec, args.seed, args.speed).await.map_err(|error| {
            match error {
                mysa_sim_server::StartError::NotLoopback(_) => Failure::from((Exit::Usage, error)),
                error => Failure::from((Exit::Failed, error)),
            }
        })?;
    if let Some(pem) = &authority {
        atomic_file::write(ca_out, pem, atomic_file::PUBLIC).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", ca_out.display()))
        })?;
    }
    announce(terminal, args, &server, &accounts, authority.is_some().then_some(ca_out))?;
    std::future::pending().await
}

/// Builds the specification of the cloud from the arguments.
fn spec(args: &Sim) -> Result<CloudSpec> {
    let mut spec = match &args.home {
        Some(name) if name == Path::new("small") => CloudSpec::small(),
        Some(path) => mysa_config::home(&fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
        })?)
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?,
        None => CloudSpec::demo(),
    };
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

fn certificate(args: &Sim, spec: &CloudSpec) -> Result<Certificate> {
    let (Some(chain), Some(key)) = (&args.cert, &args.key) else {
        return Certificate::for_cloud(&spec.names).map_err(|error| (Exit::Failed, error).into());
    };
    let read = |path: &std::path::Path| {
        fs::read(path)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display())))
    };
    Certificate::from_pem(&read(chain)?, &read(key)?).map_err(|error| (Exit::Failed, error).into())
}

/// Prints the data that another program needs to use the cloud. The passwords are invented and public.
fn announce(
    terminal: &Terminal,
    args: &Sim,
    server: &Server,
    accounts: &[AccountSpec],
    ca: Option<&Path>,
) -> Result<()> {
    let address = server.address().to_string();
    let ca = ca.map(|ca| ca.display().to_string());
    if terminal.json {
        let mut record = Record::document();
        record.put("address", address.as_str()).put("ca", ca);
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
    terminal.line(format!("simulated cloud on {address}, speed {}", args.speed))?;
    for account in accounts {
        terminal.line(format!("  account   {}", account.email))?;
        terminal.line(format!("  password  {}", account.password))?;
        for device in account.homes.iter().flat_map(|home| &home.devices) {
            terminal.line(format!("    {}  {:<9}  {}", device.id, device.model, device.name))?;
        }
    }
    let trust = match &ca {
        Some(path) => {
            terminal.line(format!("  trust     {path}"))?;
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

fn list(terminal: &Terminal) -> Result<()> {
    for fault in NamedFault::all() {
        let (name, what) = (fault.name(), fault.description());
        if terminal.json {
            let mut record = Record::document();
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

    #[test]
    fn options_describe_the_cloud() {
        let usual = read(&[]).unwrap();
        assert_eq!((devices(&usual), usual.rules.token_life), (5, Duration::from_secs(3_600)));
        let spec = read(&["--home", "small", "--token-life", "120", "--credential-life", "60"]).unwrap();
        assert_eq!(devices(&spec), 4);
        assert_eq!(spec.rules.token_life, Duration::from_secs(120));
        assert_eq!(spec.rules.credential_life, Duration::from_secs(60));
        assert!(read(&["--home", "/nowhere/home.toml"]).is_err());
    }
}
