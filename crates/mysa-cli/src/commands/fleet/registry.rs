//! Accounts of a fleet at NATS: the session of each, sealed, under the name of the account.

use std::sync::{Arc, Mutex, PoisonError};

use mysa_config::normalize_account;
use mysa_fleet::{AccountId, Action, Answer, Bucket, Entry, FleetId, Keyring, Revision, SealedToken};
use mysa_tokio::{RefreshToken, Secret, StoredSession};

use super::keys;
use super::nats::{self, Nats, Role};
use super::store::Store;
use crate::args::fleet::{AccountsAction, AddAccount, KeySource, NatsOptions};
use crate::commands::login;
use crate::output::record::{self, Record, Value, printable};
use crate::output::terminal::{PasswordSource, Terminal, read_password};
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};

/// Accounts at NATS, and the keys that open them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    store: Store,
    fleet: FleetId,
    /// Replaced when the key file is read again.
    keys: Arc<Mutex<Arc<Keyring>>>,
}

/// Session of one account at NATS, as it was read or written last.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) session: StoredSession,
    pub(super) revision: Revision,
}

/// Number of attempts to write an entry that others write too.
const ATTEMPTS: usize = 5;

impl Registry {
    /// Opens the bucket of the accounts, and creates it if it is missing.
    pub(super) async fn open(nats: &Nats, replicas: usize, keys: Keyring) -> Result<Self> {
        let store = Store::open(nats, replicas, &[Bucket::Accounts]).await?;
        Self::new(store, nats, keys)
    }

    /// Registry in a store that has the bucket.
    pub(super) fn new(store: Store, nats: &Nats, keys: Keyring) -> Result<Self> {
        let fleet =
            FleetId::new(&nats.fleet).map_err(|error| Failure::usage(format!("invalid --fleet: {error}")))?;
        Ok(Self { store, fleet, keys: Arc::new(Mutex::new(Arc::new(keys))) })
    }

    pub(super) fn keys(&self) -> Arc<Keyring> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace_keys(&self, keys: Keyring) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Opens the value of an entry.
    ///
    /// # Errors
    /// It is not a sealed session of this account, or its key is not here. The text shows no secret.
    pub(super) fn unseal(&self, account: &AccountId, value: &str) -> Result<StoredSession> {
        let failed = |why: String| Failure::new(Exit::SignIn, why);
        let sealed: SealedToken = value.parse().map_err(|error| failed(format!("{error}")))?;
        let secret =
            self.keys().open(&self.fleet, account, &sealed).map_err(|error| failed(error.to_string()))?;
        StoredSession::from_json(secret.expose().as_bytes()).map_err(|error| failed(error.to_string()))
    }

    fn seal(&self, account: &AccountId, session: &StoredSession) -> Result<String> {
        let secret = Secret::from(session.to_json().as_str());
        let sealed = self.keys().seal(&self.fleet, account, &secret, keys::nonce()?);
        Ok(sealed.map_err(|error| Failure::from((Exit::Failed, error)))?.to_string())
    }

    async fn entry(&self, account: &AccountId) -> Result<Option<Entry>> {
        match self.store.act(Bucket::Accounts, account.as_str(), Action::Read).await {
            Answer::Entry(entry) => Ok(entry),
            _ => Err(self.silent()),
        }
    }

    /// Entry of an account that was not removed.
    async fn there(&self, account: &AccountId) -> Result<Option<Entry>> {
        Ok(self.entry(account).await?.filter(|entry| entry.value.is_some()))
    }

    /// Reads the session of an account.
    ///
    /// # Errors
    /// The account is not at NATS, NATS does not answer, or the session cannot be opened.
    pub(super) async fn load(&self, account: &AccountId) -> Result<Kept> {
        match self.entry(account).await? {
            Some(Entry { value: Some(value), revision, .. }) => {
                Ok(Kept { session: self.unseal(account, &value)?, revision })
            }
            _ => Err(Failure::new(Exit::SignIn, "the account is not at NATS any more")),
        }
    }

    /// Writes a newer session of an account over the one that is kept, if the one that is there has not been replaced by
    /// a newer one. Returns `None` if it has.
    ///
    /// # Errors
    /// NATS does not answer, the account is not there any more, or what is there cannot be opened.
    pub(super) async fn save(
        &self,
        account: &AccountId,
        session: &StoredSession,
    ) -> Result<Option<Revision>> {
        let value = self.seal(account, session)?;
        for _ in 0..ATTEMPTS {
            let kept = self.load(account).await?;
            if kept.session == *session {
                return Ok(Some(kept.revision));
            }
            if !session.may_replace(&kept.session) {
                return Ok(None);
            }
            let action = Action::Update { value: value.clone(), revision: kept.revision };
            // Else another write came first, or the answer was lost, and the next attempt sees what is there.
            if let Answer::Written(revision) =
                self.store.act(Bucket::Accounts, account.as_str(), action).await
            {
                return Ok(Some(revision));
            }
        }
        Err(self.silent())
    }

    fn silent(&self) -> Failure {
        Failure::new(Exit::Unreachable, format!("NATS does not answer for the accounts{}", self.store.why()))
    }

    /// Every account, in the order of the names.
    async fn all(&self) -> Result<Vec<(AccountId, Entry)>> {
        let entries = self.store.all(Bucket::Accounts).await.map_err(|()| self.silent())?;
        let known = entries.into_iter().filter(|entry| entry.value.is_some());
        let mut known: Vec<_> =
            known.filter_map(|entry| Some((AccountId::new(&entry.key).ok()?, entry))).collect();
        known.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(known)
    }

    /// Seals an entry again with the key that seals now. Returns `false` if it was sealed with it already.
    async fn reseal(&self, account: &AccountId, mut value: String, mut revision: Revision) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            if value.parse::<SealedToken>().is_ok_and(|sealed| self.keys().is_newest(&sealed)) {
                return Ok(false);
            }
            let session = self.unseal(account, &value)?;
            let action = Action::Update { value: self.seal(account, &session)?, revision };
            match self.store.act(Bucket::Accounts, account.as_str(), action).await {
                Answer::Written(_) => return Ok(true),
                _ => match self.entry(account).await? {
                    Some(Entry { value: Some(newer), revision: at, .. }) => (value, revision) = (newer, at),
                    // Removed meanwhile.
                    _ => return Ok(false),
                },
            }
        }
        Err(self.silent())
    }
}

/// Runs `mysa fleet accounts`.
pub(super) async fn run(terminal: &Terminal, context: &Context, action: &AccountsAction) -> Result<()> {
    match action {
        AccountsAction::Add(args) => add(terminal, context, args).await,
        AccountsAction::Remove { account, nats } => remove(terminal, account, nats).await,
        AccountsAction::List { nats, source } => list(terminal, nats, source).await,
        AccountsAction::Rotate { nats, source } => rotate(terminal, nats, source).await,
    }
}

async fn connect(options: &NatsOptions) -> Result<Nats> {
    let missing = || Failure::usage("the NATS server is missing: name it with --nats");
    Nats::connect(options.nats.as_deref().ok_or_else(missing)?, options, Role::Administrator).await
}

/// Name of an account as a key.
fn id_of(name: &str) -> Result<AccountId> {
    nats::token(name).and_then(|token| AccountId::new(&token).ok()).ok_or_else(|| {
        Failure::usage(format!(
            "the name '{name}' is empty or too long: expected at most 64 bytes, where each other than letters, digits, - \
             and _ counts for three"
        ))
    })
}

async fn add(terminal: &Terminal, context: &Context, args: &AddAccount) -> Result<()> {
    let email = normalize_account(&args.email)
        .ok_or_else(|| Failure::usage(format!("invalid e-mail address '{}'", args.email)))?;
    let name = args.name.as_ref().unwrap_or(&email);
    let account = id_of(name)?;
    // Before a sign-in, so that nothing is asked of the cloud in vain.
    let keys = keys::load(&args.source).await?;
    let nats = connect(&args.nats).await?;
    let registry = Registry::open(&nats, args.replicas.into(), keys).await?;
    let mut there = registry.there(&account).await?;
    if there.is_some() && !args.replace {
        return Err(Failure::usage(format!(
            "the account {name} is at NATS already; replace its session with --replace"
        )));
    }
    let mut session = session(terminal, context, args, &email).await?;
    for _ in 0..ATTEMPTS {
        // Above the one that is there, so that the worker that owns the account takes it.
        let before = there.as_ref().and_then(|entry| registry.unseal(&account, entry.value.as_deref()?).ok());
        if let Some(before) = before {
            session.generation = session.generation.max(before.generation.saturating_add(1));
        }
        let value = registry.seal(&account, &session)?;
        let action = match &there {
            Some(entry) => Action::Update { value, revision: entry.revision },
            None => Action::Create { value },
        };
        match registry.store.act(Bucket::Accounts, account.as_str(), action).await {
            Answer::Written(_) => {
                let key = registry.keys();
                terminal.say(format!("the account {name} is at NATS, sealed with key '{}'", key.newest()));
                return Ok(());
            }
            // A worker writes too, such as that the session to replace was refused.
            Answer::Conflict if args.replace => there = registry.there(&account).await?,
            Answer::Conflict => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("another process wrote the account {name} meanwhile; list it"),
                ));
            }
            _ => break,
        }
    }
    Err(registry.silent())
}

/// Session to seal: of a refresh token, of a sign-in by password, or of `mysa login`.
async fn session(
    terminal: &Terminal,
    context: &Context,
    args: &AddAccount,
    email: &str,
) -> Result<StoredSession> {
    if args.refresh_token_stdin {
        let token = read_password(&PasswordSource::Stdin)?;
        let mut session = StoredSession::new(email, &context.environment.pool.client_id);
        session.refresh_token = Some(RefreshToken::new(Secret::from(token.as_str())));
        return Ok(session);
    }
    let source = match &args.password_file {
        Some(path) => Some(PasswordSource::File(path)),
        None if args.password_stdin => Some(PasswordSource::Stdin),
        None => None,
    };
    if source.is_none() {
        let stored =
            context.token_file(email).load().map_err(|error| Failure::from((Exit::SignIn, error)))?;
        if let Some(stored) = stored.filter(|stored| stored.refresh_token.is_some()) {
            return Ok(stored);
        }
    }
    // A person at a terminal is asked; a program has to name a source.
    let password = read_password(&source.unwrap_or(PasswordSource::Prompt))?;
    login::session_of(terminal, context, email, &password).await
}

async fn remove(terminal: &Terminal, name: &str, options: &NatsOptions) -> Result<()> {
    let account = id_of(name)?;
    let nats = connect(options).await?;
    let store = Store::open(&nats, 1, &[Bucket::Accounts]).await?;
    for _ in 0..ATTEMPTS {
        let revision = match store.act(Bucket::Accounts, account.as_str(), Action::Read).await {
            Answer::Entry(Some(Entry { value: Some(_), revision, .. })) => revision,
            Answer::Entry(_) => {
                return Err(Failure::new(Exit::Failed, format!("no account at NATS has the name {name}")));
            }
            _ => continue,
        };
        if let Answer::Written(_) =
            store.act(Bucket::Accounts, account.as_str(), Action::Delete { revision }).await
        {
            terminal.say(format!("the account {name} is removed; its worker stops it. Its session stays valid until it is revoked"));
            return Ok(());
        }
    }
    Err(Failure::new(Exit::Unreachable, format!("NATS does not answer for the accounts{}", store.why())))
}

async fn list(terminal: &Terminal, options: &NatsOptions, source: &KeySource) -> Result<()> {
    // Names and keys can be listed by anyone who may read the bucket.
    let keys = match source.is_named() {
        true => Some(keys::load(source).await?),
        false => None,
    };
    let nats = connect(options).await?;
    let store = Store::open(&nats, 1, &[Bucket::Accounts]).await?;
    let registry = match keys {
        Some(keys) => Some(Registry::new(store.clone(), &nats, keys)?),
        None => None,
    };
    let entries = store.all(Bucket::Accounts).await;
    let mut entries = entries.map_err(|()| {
        Failure::new(Exit::Unreachable, format!("NATS does not answer for the accounts{}", store.why()))
    })?;
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let mut listed = Vec::new();
    for Entry { key, value, .. } in entries {
        let (Some(value), Ok(account)) = (value, AccountId::new(&key)) else { continue };
        let mut record = Record::new();
        record.put("account", nats::text(&key));
        record.put("key", value.parse::<SealedToken>().ok().map(|sealed| sealed.key().to_string()));
        if let Some(registry) = &registry {
            match registry.unseal(&account, &value) {
                Ok(session) => {
                    let state = match (&session.refused, &session.refresh_token) {
                        (Some(_), _) => "refused",
                        (None, Some(_)) => "usable",
                        (None, None) => "none",
                    };
                    record.put("email", session.account.as_str()).put("session", state);
                }
                Err(failure) => {
                    record.put("email", Value::Null).put("session", format!("unusable: {failure}"));
                }
            }
        }
        listed.push(record);
    }
    if terminal.json {
        let mut document = record::document();
        document.put("accounts", listed.into_iter().map(Value::Record).collect::<Vec<_>>());
        return terminal.line(document.to_json());
    }
    for record in listed {
        let words = record.fields().filter_map(|(name, value)| match value {
            Value::Text(text) if name == "account" || name == "email" => Some(printable(text)),
            Value::Text(text) => Some(format!("{name}: {}", printable(text))),
            _ => None,
        });
        terminal.line(words.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

async fn rotate(terminal: &Terminal, options: &NatsOptions, source: &KeySource) -> Result<()> {
    let keys = keys::load(source).await?;
    let nats = connect(options).await?;
    let registry = Registry::open(&nats, 1, keys).await?;
    let (mut sealed, mut left) = (0_u32, 0_u32);
    let all = registry.all().await?;
    let count = all.len();
    for (account, entry) in all {
        let Some(value) = entry.value else { continue };
        match registry.reseal(&account, value, entry.revision).await {
            Ok(true) => sealed += 1,
            Ok(false) => {}
            Err(failure) => {
                left += 1;
                terminal.say(format!("{}: {failure}", nats::text(account.as_str())));
            }
        }
    }
    let newest = registry.keys().newest().to_string();
    if terminal.json {
        let mut document = record::document();
        document.put("key", newest.as_str()).put("accounts", i64::try_from(count).unwrap_or(i64::MAX));
        document.put("sealed", i64::from(sealed)).put("left", i64::from(left));
        terminal.line(document.to_json())?;
    } else {
        terminal
            .line(format!("accounts: {count}; sealed again with key '{newest}': {sealed}; left: {left}"))?;
    }
    match left {
        0 => Ok(()),
        _ => Err(Failure::new(
            Exit::Failed,
            format!("{left} accounts are not sealed with key '{newest}'; keep the older keys"),
        )),
    }
}
