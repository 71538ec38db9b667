//! Causes that make the cloud unusable, and the remedies.

use std::time::Duration;

use mysa_cognito::RefusalKind;
use mysa_tokio::{Environment, ProbeError, Prober, Reason};
use tokio::task::JoinSet;
use url::Url;

/// Time limit for each probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Hosts of the environment with their ports, each once.
pub(crate) fn hosts(environment: &Environment) -> Vec<(String, u16)> {
    let urls = [
        &environment.user_pool_url,
        &environment.identity_pool_url,
        &environment.legacy_url,
        &environment.backend_url,
    ];
    let of_url = |url: &String| {
        let url = Url::parse(url).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
    };
    let broker = (environment.broker.host().to_owned(), environment.broker.port());
    let mut hosts = Vec::new();
    for host in urls.into_iter().filter_map(of_url).chain([broker]) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Probes every host at once and describes the first that cannot be reached, in the order of [`hosts`].
pub(crate) async fn first_problem(prober: &Prober, environment: &Environment) -> Option<String> {
    let mut probes = JoinSet::new();
    for (at, (host, port)) in hosts(environment).into_iter().enumerate() {
        let prober = prober.clone();
        probes.spawn(async move {
            let result = prober.probe(&host, port, PROBE_TIMEOUT).await;
            (at, result.err().map(|error| format!("cannot reach {host}: {}", describe_probe(&error))))
        });
    }
    let mut problems = probes.join_all().await;
    problems.sort_by_key(|(at, _)| *at);
    problems.into_iter().find_map(|(_, problem)| problem)
}

/// Describes the cause of a failed probe.
pub(crate) fn describe_probe(error: &ProbeError) -> String {
    match error {
        ProbeError::Name(error) => format!("DNS failure: the name cannot be resolved ({error})"),
        ProbeError::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ProbeError::Connect(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            "time-out: the connection was not accepted".to_owned()
        }
        ProbeError::Connect(error) => format!("cannot connect ({error})"),
        ProbeError::Untrusted(error) => format!(
            "the TLS certificate is not trusted ({error}); a proxy or a sign-in page of the network may answer in its \
             place, or the clock of this computer may be wrong"
        ),
        ProbeError::Tls(error) => format!("the TLS handshake failed ({error})"),
        ProbeError::Timeout => format!("time-out: no answer within {} s", PROBE_TIMEOUT.as_secs()),
        other => other.to_string(),
    }
}

/// Describes a reason, with the refusal by its name and the remedy.
pub(crate) fn describe_reason(reason: Reason) -> String {
    const LOGIN: &str = "run `mysa login`";
    match reason {
        Reason::Refused(kind) => match kind {
            RefusalKind::PasswordResetRequired => {
                "a password reset is required: reset it in the Mysa app, then run `mysa login`".into()
            }
            RefusalKind::AccountNotConfirmed => {
                "the account is not confirmed: finish the sign-up in the Mysa app, then run `mysa login`".into()
            }
            RefusalKind::AccountDisabled => {
                "user disabled: the account was disabled by the vendor; contact Mysa support".into()
            }
            RefusalKind::WrongCredentials => format!("{reason}: check the e-mail address and the password"),
            RefusalKind::NoSuchUser => "user not found: check the e-mail address".into(),
            RefusalKind::LockedOut => {
                "too many failed attempts: wait 15 minutes before the next one".into()
            }
            RefusalKind::WrongAppClient => {
                "wrong app client or user pool: check environment.client-id and environment.user-pool in the settings"
                    .into()
            }
            RefusalKind::PoolMisconfigured => {
                "the user pool is not set up for this sign-in: check the environment settings".into()
            }
            RefusalKind::LoginTokenRejected => {
                "the identity pool rejected the sign-in: check environment.identity-pool in the settings".into()
            }
            RefusalKind::RateLimited => "too many requests: try again in a few minutes".into(),
            RefusalKind::Blocked => "a firewall of the service blocked the request: try from another network".into(),
            RefusalKind::ChallengeExpired | RefusalKind::MfaCodeExpired => {
                format!("the code came too late: {LOGIN} again")
            }
            _ => format!("{reason}; {LOGIN}"),
        },
        Reason::WebPage => format!(
            "{reason}: a sign-in page of the network (captive portal) or a proxy; open a web page in a browser first"
        ),
        Reason::ChallengeUnsupported(_) => format!("{reason}; finish it in the Mysa app, then {LOGIN}"),
        Reason::NoCredentials | Reason::ChallengeOpen => format!("{reason}; {LOGIN}"),
        reason => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_cause_has_its_own_message() {
        let of = |kind| io::Error::from(kind);
        let causes = [
            describe_probe(&ProbeError::Name(of(io::ErrorKind::NotFound))),
            describe_probe(&ProbeError::Connect(of(io::ErrorKind::ConnectionRefused))),
            describe_probe(&ProbeError::Connect(of(io::ErrorKind::TimedOut))),
            describe_probe(&ProbeError::Connect(of(io::ErrorKind::NetworkUnreachable))),
            describe_probe(&ProbeError::Untrusted(of(io::ErrorKind::InvalidData))),
            describe_probe(&ProbeError::Tls(of(io::ErrorKind::UnexpectedEof))),
            describe_probe(&ProbeError::Timeout),
        ];
        let words = [
            "DNS failure",
            "connection refused",
            "not accepted",
            "cannot connect",
            "not trusted",
            "handshake",
            "no answer",
        ];
        for (at, word) in words.into_iter().enumerate() {
            let having: Vec<usize> =
                (0..causes.len()).filter(|&other| causes[other].contains(word)).collect();
            assert_eq!(having, [at], "{word}: {causes:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_own_message() {
        let kinds = [
            RefusalKind::WrongCredentials,
            RefusalKind::LockedOut,
            RefusalKind::NoSuchUser,
            RefusalKind::AccountDisabled,
            RefusalKind::AccountNotConfirmed,
            RefusalKind::PasswordResetRequired,
            RefusalKind::RefreshRejected,
            RefusalKind::WrongAppClient,
            RefusalKind::PoolMisconfigured,
            RefusalKind::LoginTokenRejected,
            RefusalKind::RateLimited,
            RefusalKind::Blocked,
        ];
        let mut texts: Vec<String> = kinds.map(|kind| describe_reason(Reason::Refused(kind))).into();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), kinds.len(), "{texts:?}");
    }

    #[test]
    fn each_host_is_named_once() {
        let mut environment = Environment::mysa();
        environment.legacy_url = "https://localhost:8443".into();
        environment.backend_url.clone_from(&environment.legacy_url);
        let hosts = hosts(&environment);
        assert_eq!(hosts.iter().filter(|host| **host == ("localhost".to_owned(), 8443)).count(), 1);
        assert_eq!(hosts.len(), 4, "{hosts:?}");
    }
}
