//! Accounts that a bridge serves, and their clients.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures_util::Stream;
use futures_util::future::join_all;
use futures_util::stream::{SelectAll, StreamExt as _, once};
use mysa_bridge::{AccountIndex, Settings};
use mysa_tokio::Event;

use crate::output::terminal::Terminal;
use crate::support::cloud::{Cloud, Context, StartFailure};
use crate::support::exit::{Failure, Result};

/// Accounts to serve, in order: those of the option, else those of `[bridge]`, else the one that every command takes.
pub(crate) fn names(context: &Context) -> Result<Vec<String>> {
    let lists = [&context.accounts, &context.config.bridge.accounts];
    let Some(named) = lists.into_iter().find(|list| !list.is_empty()) else {
        return Ok(vec![context.account()?]);
    };
    let mut seen = BTreeSet::new();
    match named.iter().find(|account| !seen.insert(account.as_str())) {
        Some(twice) => Err(Failure::usage(format!("the account {twice} is named twice"))),
        None => Ok(named.clone()),
    }
}

/// Event of the client of an account; `None` once the client has ended.
type Events = SelectAll<Pin<Box<dyn Stream<Item = (AccountIndex, Option<Event>)> + Send>>>;

/// Clients of the accounts.
pub(crate) struct Accounts {
    list: Vec<Account>,
    events: Events,
}

/// An account and its client.
pub(crate) struct Account {
    pub(crate) index: AccountIndex,
    pub(crate) name: String,
    /// `None` until a session is stored.
    pub(crate) cloud: Option<Cloud>,
    /// `true` once its thermostats are known.
    pub(crate) listed: bool,
}

impl Accounts {
    /// Starts the clients. An account without a usable session waits for one.
    ///
    /// # Errors
    /// No account has a session, or a client cannot be created at all.
    pub(crate) fn start(context: &Context, names: Vec<String>) -> Result<Self> {
        let list = names.into_iter().enumerate().map(|(index, name)| Account {
            index: AccountIndex::new(index),
            name,
            cloud: None,
            listed: false,
        });
        let mut accounts = Self { list: list.collect(), events: SelectAll::new() };
        let mut why = None;
        for at in 0..accounts.list.len() {
            if let Err(failure) = accounts.start_one(context, at) {
                why.get_or_insert(failure);
            }
        }
        match why {
            Some(failure) if accounts.list.iter().all(|account| account.cloud.is_none()) => {
                Err(match failure {
                    StartFailure::NotSignedIn => context.not_signed_in(),
                    StartFailure::Other(failure) => failure,
                })
            }
            _ => Ok(accounts),
        }
    }

    fn start_one(&mut self, context: &Context, at: usize) -> std::result::Result<(), StartFailure> {
        let Some(account) = self.list.get_mut(at) else { return Ok(()) };
        let mut settings = context.settings();
        Settings::tune(&mut settings);
        let cloud = context.start(account.name.clone(), settings)?;
        let index = account.index;
        // Before the first snapshot, so that no change in between is missed.
        let events = cloud.client.events().map(move |event| (index, Some(event)));
        self.events.push(Box::pin(events.chain(once(std::future::ready((index, None))))));
        account.cloud = Some(cloud);
        Ok(())
    }

    /// Accounts of which none is signed in.
    #[cfg(test)]
    pub(super) fn without_sessions(names: &[&str]) -> Self {
        let list = names.iter().enumerate().map(|(index, name)| Account {
            index: AccountIndex::new(index),
            name: (*name).to_owned(),
            cloud: None,
            listed: false,
        });
        Self { list: list.collect(), events: SelectAll::new() }
    }

    /// Tries again to start the clients that wait for a session, and returns those that it started.
    pub(crate) fn start_waiting(&mut self, context: &Context) -> Vec<AccountIndex> {
        let waiting: Vec<usize> = (0..self.list.len())
            .filter(|&at| self.list.get(at).is_some_and(|account| account.cloud.is_none()))
            .collect();
        waiting.into_iter().filter(|&at| self.start_one(context, at).is_ok()).map(AccountIndex::new).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.list.iter()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.list.iter().any(|account| account.cloud.is_none())
    }

    /// Number of accounts.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, index: AccountIndex) -> Option<&Account> {
        self.list.get(index.index())
    }

    pub(crate) fn get_mut(&mut self, index: AccountIndex) -> Option<&mut Account> {
        self.list.get_mut(index.index())
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(crate) async fn next_event(&mut self) -> (AccountIndex, Option<Event>) {
        match self.events.next().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Closes all clients at the same time. Their open commands then have a verdict.
    pub(crate) async fn close(&mut self, terminal: &Terminal) {
        let clouds = self.list.iter_mut().filter_map(|account| account.cloud.take());
        join_all(clouds.map(|cloud| cloud.close(terminal))).await;
    }
}
