//! Keys that seal the sessions of accounts, from a file or a command.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use mysa_fleet::{KeyId, Keyring, SealingKey};
use zeroize::Zeroizing;

use super::accounts;
use crate::args::fleet::{KeyAction, KeySource};
use crate::output::record::{self, Value};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::exit::{Exit, Failure, Result};

/// Length of a key, in bytes.
const KEY: usize = 32;
/// Length of a nonce, in bytes.
const NONCE: usize = 24;

/// Runs `mysa fleet key`.
pub(super) async fn run(terminal: &Terminal, action: &KeyAction) -> Result<()> {
    match action {
        KeyAction::New { id, keys } => new(terminal, id.as_deref(), keys.as_deref()),
        KeyAction::List { source } => list(terminal, &load(source).await?),
    }
}

/// Reads the keys.
///
/// # Errors
/// None are named, they cannot be read, others can read the file, or a line is invalid. The text shows no key.
pub(super) async fn load(source: &KeySource) -> Result<Keyring> {
    let (text, from) = match (&source.keys, &source.key_command) {
        (Some(path), _) => {
            (accounts::read_private(path, "--keys", "holds keys")?, format!("--keys {}", path.display()))
        }
        (None, Some(command)) => {
            let words = ["sh", "-c", command].map(str::to_owned);
            let text = accounts::ask(&words, "key command").await?;
            (Zeroizing::new(text.expose().to_owned()), "--key-command".to_owned())
        }
        (None, None) => {
            return Err(Failure::usage(
                "the keys are missing: name their file with --keys, or a command that prints them with --key-command; \
                 `mysa fleet key new --keys FILE` makes one",
            ));
        }
    };
    Keyring::parse(&text).map_err(|error| Failure::usage(format!("{from}: {error}")))
}

/// Random nonce for one seal.
pub(super) fn nonce() -> Result<[u8; NONCE]> {
    random()
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("no random numbers: {error}")))?;
    Ok(bytes)
}

/// Makes a key, and prints its line or adds it to a file.
fn new(terminal: &Terminal, id: Option<&str>, path: Option<&Path>) -> Result<()> {
    let now = timefmt::iso(timefmt::now());
    let id = id.or_else(|| now.get(..10)).unwrap_or_default();
    let id = KeyId::new(id).map_err(|error| Failure::usage(format!("invalid name of a key: {error}")))?;
    let key = SealingKey::new(id.clone(), random::<KEY>()?);
    let Some(path) = path else {
        return terminal.line(&*key.to_line());
    };
    let shown = path.display();
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot write --keys {shown}: {error}"));
    let mut open = fs::OpenOptions::new();
    open.append(true).mode(0o600);
    let (mut file, known) = match open.clone().create_new(true).open(path) {
        Ok(file) => (file, None),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = accounts::read_private(path, "--keys", "holds keys")?;
            let known =
                Keyring::parse(&text).map_err(|error| Failure::usage(format!("--keys {shown}: {error}")))?;
            if known.ids().any(|known| *known == id) {
                return Err(Failure::usage(format!(
                    "--keys {shown} has a key '{id}' already; name another id"
                )));
            }
            let ends = text.ends_with('\n');
            let mut file = open.open(path).map_err(failed)?;
            if !ends {
                file.write_all(b"\n").map_err(failed)?;
            }
            (file, Some(known))
        }
        Err(error) => return Err(failed(error)),
    };
    let mut line = Zeroizing::new(String::with_capacity(256));
    line.push_str(&key.to_line());
    line.push('\n');
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    terminal.say(match known {
        None => format!("key '{id}' is in {shown}, and seals; keep a copy: without it, no sealed session can be opened"),
        Some(known) => format!(
            "key '{id}' is the last one in {shown}, and opens; '{}' seals. Once every worker has the file, move the line \
             of '{id}' to the top, and run `mysa fleet accounts rotate`",
            known.newest()
        ),
    });
    Ok(())
}

fn list(terminal: &Terminal, keys: &Keyring) -> Result<()> {
    if terminal.json {
        let mut document = record::document();
        document.put("seals", keys.newest().as_str());
        document.put("keys", keys.ids().map(|id| Value::Text(id.as_str().to_owned())).collect::<Vec<_>>());
        return terminal.line(document.to_json());
    }
    for id in keys.ids() {
        terminal.line(format!("{id}  {}", if id == keys.newest() { "seals and opens" } else { "opens" }))?;
    }
    Ok(())
}
