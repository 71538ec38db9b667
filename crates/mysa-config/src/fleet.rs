use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde_spanned::Spanned;
use zeroize::Zeroizing;

use crate::{ConfigError, normalize_account};

/// Accounts of `mysa fleet`, from a TOML file.
///
/// ```
/// use mysa_config::{Credential, FleetAccounts};
///
/// let file = FleetAccounts::parse(
///     r#"
///     [[account]]
///     name = "north-12"
///     email = "ann@example.org"
///     password-file = "ann.password"
///
///     [[account]]
///     email = "bob@example.org"
///     "#,
/// )?;
/// assert_eq!(file.accounts[0].name, "north-12");
/// assert!(matches!(&file.accounts[0].credential, Some(Credential::PasswordFile(file)) if file == "ann.password"));
/// assert_eq!(file.accounts[1].name, "bob@example.org", "an account without a name has its address");
/// # Ok::<(), mysa_config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FleetAccounts {
    /// Folder of the session files. Default: the one of `mysa login`.
    pub sessions: Option<String>,
    /// The accounts, in the order of the file.
    pub accounts: Vec<FleetAccount>,
}

/// One account of a fleet.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FleetAccount {
    /// Name in commands, events and metrics. Default: the e-mail address.
    pub name: String,
    /// E-mail address, as [`normalize_account`] returns it.
    pub email: String,
    /// Secret for the sign-in without a stored session. `None`: the session of `mysa login`.
    pub credential: Option<Credential>,
}

impl FleetAccount {
    /// Account that signs in with a stored session alone.
    #[must_use]
    pub fn stored(name: &str, email: &str) -> Self {
        Self { name: name.into(), email: email.into(), credential: None }
    }
}

/// Source of the secret that an account signs in with. [`fmt::Debug`] shows no secret.
#[derive(Clone, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a program has to handle each source of a secret")]
pub enum Credential {
    /// File with the password.
    PasswordFile(String),
    /// Program and arguments that print the password. No shell is involved.
    PasswordCommand(Vec<String>),
    /// Refresh token of an earlier sign-in.
    RefreshToken(Zeroizing<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PasswordFile(_) => "PasswordFile(..)",
            Self::PasswordCommand(_) => "PasswordCommand(..)",
            Self::RefreshToken(_) => "RefreshToken(..)",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    sessions: Option<String>,
    #[serde(rename = "account", default)]
    accounts: Vec<RawAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAccount {
    name: Option<Spanned<String>>,
    email: Spanned<String>,
    password_file: Option<Spanned<String>>,
    password_command: Option<Spanned<Vec<String>>>,
    refresh_token: Option<Spanned<String>>,
}

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 100;

impl FleetAccounts {
    /// Parses the file.
    ///
    /// # Errors
    /// The first invalid value, with its line and column. The text quotes no secret.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: RawFile = toml_edit::de::from_str(text)
            .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
        let (mut names, mut emails) = (BTreeSet::new(), BTreeSet::new());
        let mut accounts = Vec::with_capacity(file.accounts.len());
        for raw in file.accounts {
            let RawAccount { name, email, password_file, password_command, refresh_token } = raw;
            let (span, typed) = (email.span(), email.into_inner());
            let Some(email) = normalize_account(&typed) else {
                return Err(ConfigError::at(text, span, ConfigError::InvalidAccount(typed)));
            };
            // The session file of an account is named after its address without regard to case.
            if !emails.insert(email.to_lowercase()) {
                return Err(ConfigError::at(text, span, ConfigError::DuplicateAccount(email)));
            }
            let (span, name) =
                name.map_or_else(|| (span, email.clone()), |name| (name.span(), name.into_inner()));
            if !is_name(&name) {
                return Err(ConfigError::at(text, span, ConfigError::InvalidFleetName(name)));
            }
            if !names.insert(name.clone()) {
                return Err(ConfigError::at(text, span, ConfigError::DuplicateAccount(name)));
            }
            let is_empty = |words: &[String]| words.first().is_none_or(String::is_empty);
            let mut given = Vec::new();
            if let Some(file) = password_file {
                given.push((file.span(), Credential::PasswordFile(file.into_inner())));
            }
            if let Some(command) = password_command {
                if is_empty(command.get_ref()) {
                    return Err(ConfigError::at(text, command.span(), ConfigError::EmptyCommand));
                }
                given.push((command.span(), Credential::PasswordCommand(command.into_inner())));
            }
            if let Some(token) = refresh_token {
                given.push((token.span(), Credential::RefreshToken(Zeroizing::new(token.into_inner()))));
            }
            if let Some((span, _)) = given.get(1) {
                return Err(ConfigError::at(text, span.clone(), ConfigError::SeveralCredentials(name)));
            }
            let credential = given.pop().map(|(_, credential)| credential);
            accounts.push(FleetAccount { name, email, credential });
        }
        Ok(Self { sessions: file.sessions, accounts })
    }
}

/// Returns `true` if a text can name an account: it fits in a label of a metric and before the `/` of a thermostat.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = FleetAccounts::parse(text).unwrap_err().to_string();
        assert!(!error.contains("canary") && !error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn an_account_has_at_most_one_secret_and_none_is_shown() {
        let text = r#"
            sessions = "/var/lib/fleet"
            [[account]]
            email = " ann@example.org "
            refresh-token = "canary"
            [[account]]
            name = "b"
            email = "bob@example.org"
            password-command = ["pass", "show", "bob"]
        "#;
        let file = FleetAccounts::parse(text).unwrap();
        assert_eq!(file.sessions.as_deref(), Some("/var/lib/fleet"));
        assert_eq!(file.accounts[0].email, "ann@example.org");
        assert!(!format!("{file:?}").contains("canary"));
        assert!(
            matches!(&file.accounts[0].credential, Some(Credential::RefreshToken(token)) if **token == "canary")
        );
        let twice = "[[account]]\nemail = \"a@b\"\npassword-file = \"f\"\nrefresh-token = \"canary\"\n";
        assert_eq!(
            error(twice),
            "line 4, column 17: account 'a@b' has several secrets: expected one of password-file, password-command and refresh-token"
        );
        assert_eq!(FleetAccounts::parse("").unwrap().accounts, []);
    }

    #[test]
    fn an_invalid_value_is_reported_with_its_place() {
        for (text, expected) in [
            (
                "[[account]]\nemail = \"\"",
                "line 2, column 9: invalid account \"\": expected an e-mail address",
            ),
            (
                "[[account]]\nemail = \"a@b\"\nname = \"a/b\"",
                "line 3, column 8: invalid name 'a/b': expected 1 to 100 letters, digits and . _ - @ +",
            ),
            (
                "[[account]]\nemail = \"a@b\"\n[[account]]\nemail = \"A@b\"",
                "line 4, column 9: duplicate account A@b",
            ),
            (
                "[[account]]\nemail = \"a@b\"\nname = \"n\"\n[[account]]\nemail = \"c@d\"\nname = \"n\"",
                "line 6, column 8: duplicate account n",
            ),
            (
                "[[account]]\nemail = \"a@b\"\npassword-command = []",
                "line 3, column 20: the command is empty: expected a program and its arguments",
            ),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        let unknown = error("[[account]]\nemail = \"a@b\"\npassword = \"canary\"");
        assert!(unknown.starts_with("line 3, column 1: unknown field `password`"), "{unknown}");
        let type_error = error("[[account]]\nemail = \"a@b\"\nrefresh-token = [\"canary\"]");
        assert!(type_error.starts_with("line 3, column "), "{type_error}");
        assert!(error("[[account]]\nemail = \"a@b\"\nrefresh-token = \"canary").starts_with("line 3"));
    }
}
