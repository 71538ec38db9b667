//! Connection to NATS, and the names of a fleet there.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::args::fleet::NatsOptions;
use crate::commands::bridge::log::{Log, Severity};
use crate::output::terminal::{PasswordSource, read_password};
use crate::support::exit::{Exit, Failure, Result};

/// Connection to NATS, which the client keeps up by itself. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Nats {
    pub(super) client: Client,
    /// Name of the fleet.
    pub(super) fleet: String,
    /// Number of times that the connection was opened.
    pub(super) connections: watch::Receiver<u64>,
    /// Latest error that the server reported, such as a missing permission.
    refused: Arc<Mutex<Option<String>>>,
}

/// Part of a process in a fleet. The answers to each arrive at subjects of its own, so that NATS can keep them from the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Worker,
    /// Manages the accounts.
    Administrator,
    /// Sees the events.
    Reader,
    /// Sends commands.
    Caller,
}

impl Role {
    /// First part of the subjects of answers.
    const fn inbox(self) -> &'static str {
        match self {
            Self::Worker => "_INBOX.worker",
            Self::Administrator => "_INBOX.administrator",
            Self::Reader => "_INBOX.reader",
            Self::Caller => "_INBOX.caller",
        }
    }
}

/// Interval of pings. A connection that carries nothing any more is closed at the third without an answer: after 15 s, half of
/// the default lease, so that the next one renews it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before NATS is tried again.
const WAIT: Duration = Duration::from_secs(3);
/// Time after which a wait for NATS is reported again.
const REPORT: Duration = Duration::from_secs(60);
/// Maximum length of a name in a subject or a key, in bytes.
const MAX_TOKEN: usize = 64;

impl Nats {
    /// Connects.
    ///
    /// # Errors
    /// An option is invalid, a file cannot be read, the server refuses the connection, or it cannot be reached, which is
    /// [`Exit::Unreachable`]; the text says why.
    pub(super) async fn connect(url: &str, options: &NatsOptions, role: Role) -> Result<Self> {
        if !is_plain(&options.fleet) {
            return Err(Failure::usage(format!(
                "invalid --fleet '{}': expected 1 to {MAX_TOKEN} letters, digits, - and _",
                options.fleet
            )));
        }
        let inbox = options.nats_inbox.as_deref().unwrap_or(role.inbox());
        if !inbox.split('.').all(|part| !part.is_empty() && part.bytes().all(is_of_subject)) {
            return Err(Failure::usage(format!(
                "invalid --nats-inbox '{inbox}': expected letters, digits, - and _, with a dot between parts, such as _INBOX.ann"
            )));
        }
        let servers = servers(url)?;
        let (opened, connections) = watch::channel(0_u64);
        let refused = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&refused);
        let mut connect =
            ConnectOptions::new().name("mysa fleet").custom_inbox_prefix(inbox).ping_interval(PING_INTERVAL);
        connect = connect.event_callback(move |event| {
            match event {
                Event::Connected => opened.send_modify(|count| *count += 1),
                Event::ServerError(error) => {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                }
                _ => {}
            }
            std::future::ready(())
        });
        if let Some(path) = &options.nats_creds {
            let text = read(path, "--nats-creds")?;
            connect = connect.credentials(&text).map_err(|error| {
                Failure::usage(format!("invalid --nats-creds {}: {error}", path.display()))
            })?;
        }
        if let (Some(user), Some(path)) = (&options.nats_user, &options.nats_password_file) {
            connect = connect.user_and_password(user.clone(), secret(path, "--nats-password-file")?);
        }
        if let Some(path) = &options.nats_token_file {
            connect = connect.token(secret(path, "--nats-token-file")?);
        }
        if let Some(path) = &options.nats_ca {
            read(path, "--nats-ca")?;
            connect = connect.add_root_certificates(path.clone()).require_tls(true);
        }
        if let (Some(certificate), Some(key)) = (&options.nats_cert, &options.nats_key) {
            read(certificate, "--nats-cert")?;
            read(key, "--nats-key")?;
            connect = connect.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
        }
        let client = connect.connect(servers).await.map_err(|error| {
            let text = error.to_string();
            let (exit, hint) = match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => (
                    Exit::SignIn,
                    "; name the credentials with --nats-creds, --nats-user or --nats-token-file",
                ),
                // The library reports a handshake that failed as an error of the socket.
                _ if text.contains("invalid peer certificate") => {
                    (Exit::Failed, "; name the authority of the server with --nats-ca")
                }
                _ if text.contains("BadCertificate") || text.contains("CertificateRequired") => (
                    Exit::Failed,
                    "; the server asks for a client certificate: name it with --nats-cert and --nats-key",
                ),
                _ if text.contains("InvalidContentType") => (
                    Exit::Failed,
                    "; the server does not use TLS, which tls://, --nats-ca and --nats-cert ask for",
                ),
                ConnectErrorKind::Tls => (Exit::Failed, ""),
                _ => (Exit::Unreachable, ""),
            };
            Failure::new(exit, format!("cannot connect to NATS at {url}: {text}{hint}"))
        })?;
        Ok(Self { client, fleet: options.fleet.clone(), connections, refused })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Subject of the requests for an account.
    pub(super) fn set_subject(&self, account: &str) -> String {
        format!("mysa.{}.set.{account}", self.fleet)
    }

    /// Subject of events: those of an account, and of its thermostats.
    pub(super) fn event_subject(&self, rest: &str) -> String {
        format!("mysa.{}.event.{rest}", self.fleet)
    }

    /// Name of a bucket or a stream.
    pub(super) fn bucket(&self, name: &str) -> String {
        format!("mysa-{}-{name}", self.fleet)
    }

    /// Latest error that the server reported, as a part of a message.
    pub(super) fn why(&self) -> String {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().map(|why| format!(" (NATS: {why})")).unwrap_or_default()
    }

    /// `true` if the server has refused something that these credentials may not do.
    pub(super) fn lacks_permission(&self) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().is_some_and(|why| why.to_lowercase().contains("permissions violation"))
    }
}

/// Repeats an attempt that needs NATS until it succeeds, while NATS cannot be reached, and says in the log what it waits for. A
/// machine that starts after a loss of power may start a worker before NATS.
///
/// # Errors
/// A failure that no waiting ends.
pub(super) async fn patiently<T>(log: &Log, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut reported: Option<(String, Instant)> = None;
    loop {
        let failure = match attempt().await {
            Err(failure) if failure.exit == Exit::Unreachable => failure.to_string(),
            ended => return ended,
        };
        if reported.as_ref().is_none_or(|(before, at)| *before != failure || at.elapsed() >= REPORT) {
            log.say(Severity::Warning, "waiting", &format!("fleet: waiting for NATS: {failure}"))?;
            reported = Some((failure, Instant::now()));
        }
        sleep(WAIT).await;
    }
}

/// Returns a text as a token of subjects and keys: letters, digits, `-` and `_` stay, and each other byte becomes `=` and two
/// hexadecimal digits, as in `ann=40example=2eorg`. `None` if the token is longer than 64 bytes or the text is empty.
pub(super) fn token(text: &str) -> Option<String> {
    let mut token = String::new();
    for byte in text.bytes() {
        if is_of_subject(byte) {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "={byte:02x}");
        }
    }
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}

/// Returns the text of a [`token`].
pub(super) fn text(token: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = token.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *byte == b'=');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const fn is_of_subject(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// `true` if a text can be part of the name of a bucket.
fn is_plain(text: &str) -> bool {
    token(text).is_some_and(|token| token == text)
}

fn servers(url: &str) -> Result<Vec<ServerAddr>> {
    let mut servers = Vec::new();
    for url in url.split(',').map(str::trim) {
        let server: ServerAddr = url
            .parse()
            .map_err(|error| Failure::usage(format!("invalid --nats '{}': {error}", without_user(url))))?;
        // Arguments are visible to every user of the machine.
        if server.has_user_pass() {
            return Err(Failure::usage(format!(
                "--nats {} has a user or a password; name them with --nats-user and --nats-password-file, or --nats-token-file",
                without_user(url)
            )));
        }
        servers.push(server);
    }
    Ok(servers)
}

/// A URL without the part that may be a secret.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => url.to_owned(),
    }
}

fn read(path: &Path, option: &str) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot read {option} {}: {error}", path.display()))
    })
}

fn secret(path: &Path, option: &str) -> Result<String> {
    let secret = read_password(&PasswordSource::File(path))
        .map_err(|failure| Failure::new(Exit::Failed, format!("{option} {}: {failure}", path.display())))?;
    Ok(secret.to_string())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::commands::bridge::log::{Format, Kept};
    use crate::output::terminal::Terminal;

    #[test]
    fn a_name_is_one_token_and_two_names_are_two_tokens() {
        let long = "x".repeat(64);
        for (name, expected) in [
            ("north-12", Some("north-12")),
            ("north_12", Some("north_12")),
            ("ann@example.org", Some("ann=40example=2eorg")),
            ("a+b", Some("a=2bb")),
            ("*", Some("=2a")),
            ("a>b c", Some("a=3eb=20c")),
            ("a=40b", Some("a=3d40b")),
            (&long, Some(&*long)),
            (&format!("{long}x"), None),
            ("", None),
        ] {
            assert_eq!(token(name).as_deref(), expected, "{name}");
            if let Some(token) = expected {
                assert_eq!(text(token), name);
            }
        }
    }

    #[test]
    fn a_secret_in_a_url_is_refused_and_not_repeated() {
        for url in ["nats://ann:canary@host", "nats://canary@host", "tls://a:canary@[", "canary@:x"] {
            let error = servers(url).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{url}: {error}");
        }
        assert_eq!(servers("nats://a:4222, tls://b").unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_nats_is_repeated_while_nats_is_away_and_reported_once_in_a_while() {
        let mut log = Log::new(Terminal::new(false, 0, true, false), Format::Text);
        let kept = Kept::default();
        log.kept = Some(Kept::clone(&kept));
        let attempts = Cell::new(0);
        let away = async || {
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                number @ ..30 => {
                    Err(Failure::new(Exit::Unreachable, if number < 3 { "away" } else { "no leader" }))
                }
                _ => Ok("here"),
            }
        };
        assert_eq!(patiently(&log, away).await.unwrap(), "here");
        let said: Vec<String> = kept.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
        let waiting = |why: &str| format!("fleet: waiting for NATS: {why}");
        assert_eq!(said, [waiting("away"), waiting("no leader"), waiting("no leader")]);
        // What no waiting ends is final.
        attempts.set(0);
        let refused = async || {
            attempts.set(attempts.get() + 1);
            Err::<(), _>(Failure::new(Exit::SignIn, "refused"))
        };
        assert_eq!(patiently(&log, refused).await.unwrap_err().to_string(), "refused");
        assert_eq!(attempts.get(), 1);
    }
}
