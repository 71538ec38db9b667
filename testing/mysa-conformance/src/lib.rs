//! Checks a driver of [`mysa_session`]: a program that connects a [`Session`](mysa_session::Session) with sockets, clock
//! and storage of its own.
//!
//! The crate exports the names of `mysa-session`, with a [`Session`] that behaves the same and reports each rule of the run
//! loop that its driver breaks. Test the driver with `use mysa_conformance::…` in place of `use mysa_session::…`; in a
//! crate of many modules, with an alias that depends on `cfg(test)`, or with a dependency of another name:
//!
//! ```toml
//! mysa-session = { package = "mysa-conformance", path = "…" }
//! ```
//!
//! This driver calls `poll_output` once after each call, instead of until it returns `None`:
//!
//! ```
//! use core::time::Duration;
//! use mysa_conformance::{Environment, Now, Output, Rule, Session, Settings, Start, StoreResult};
//! use mysa_proto::UnixTime;
//!
//! let now = |secs| Now { mono: Duration::from_secs(secs), wall: UnixTime::from_secs(1_767_323_045 + secs as i64) };
//! let start = Start::Password { username: "ann@example.org".into(), password: "secret".into() };
//! let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now(0));
//! let ledger = session.ledger();
//! let clock = std::sync::Arc::new(std::sync::Mutex::new(Duration::ZERO));
//! let reading = clock.clone();
//! ledger.set_clock(move || *reading.lock().unwrap());      // virtual time
//!
//! session.poll_output();                                   // takes one of several outputs
//! *clock.lock().unwrap() = Duration::from_secs(1);         // waits
//! session.handle_timeout(now(1));
//!
//! let violations = ledger.violations();
//! assert_eq!(violations[0].rule, Rule::Drain);
//! println!("{}", violations[0]);
//! // drain, at 1s: handle_timeout is called while outputs of new wait: call poll_output until it returns None, then wait
//! ```
//!
//! If nobody reads the [`Ledger`], dropping the session panics with the list of violations, so a test of the driver against
//! a real or simulated cloud needs no further code.
//!
//! # Rules
//!
//! The run loop is described in `docs/ARCHITECTURE.md`. Some rules concern what happens on the network, which a session
//! cannot see. They are checked if the servers of the test report it; all other rules are always checked.
//!
//! | rule | a driver breaks it that | reports of servers |
//! | --- | --- | --- |
//! | [`Rule::Drain`] | waits before `poll_output` (or `poll_io`) returned `None` | |
//! | [`Rule::Deadline`] | calls nothing when `poll_timeout` is due | |
//! | [`Rule::Clock`] | passes a reading from before its wait, or an older one than before | |
//! | [`Rule::Output`] | does not report the result of a request, a dial or a load | |
//! | | does not dial, or does not close | [`Ledger::peer_upgrade`], [`Ledger::peer_closed`] |
//! | | drops, repeats or reorders bytes | [`Ledger::peer_received`] |
//! | [`Rule::Report`] | reports a result twice, or one of a withdrawn request | |
//! | | reports a request as not sent that was sent | [`Ledger::peer_request`] |
//! | [`Rule::Connection`] | passes bytes of one connection with the id of another, before the connection is open, or behind bytes that were left in a buffer | exact with [`Ledger::peer_sent`] |
//! | [`Rule::DeferredBody`] | asks for the body before it is connected to the host | |
//! | [`Rule::Store`] | does not report the result of `Output::Store`, or reads the store while it is being written | |
//! | [`Rule::Abort`] | sends bytes after `Output::Abort`, or leaves the connection open | [`Ledger::peer_upgrade`], [`Ledger::peer_received`], [`Ledger::peer_closed`] |
//! | | sends a request after `Output::AbortHttp` | [`Ledger::peer_request`] |
//! | [`Rule::Redirect`] | follows a redirect, or sends a request twice | [`Ledger::peer_request`] |
//! | [`Rule::Shutdown`] | drops the session while a command has no verdict | |
//!
//! The rules assume a network without faults: a server that answers a CONNECT with garbage, or a firewall that swallows the
//! upgrade, looks like a fault of the driver.
//!
//! A test passes only what happens in it. Let it sign in, lose its connections, send commands by MQTT and by REST
//! ([`CommandChannel`]), stop reading while a command is sent, be redirected, and end with an undecided command. The tests
//! of this crate do so with a small driver, and break each rule in turn.
//!
//! # Time
//!
//! [`Rule::Drain`], [`Rule::Report`], [`Rule::Connection`] and most of [`Rule::Clock`] and [`Rule::Store`] depend on the order
//! of calls only. The other rules allow a driver to be late by [`Ledger::set_lateness`]: two minutes by default, so that
//! the load of the machine never decides. Under virtual time, set zero, and pass the clock by [`Ledger::set_clock`]; so do
//! drivers whose clock counts in steps, such as milliseconds.
#![forbid(unsafe_code)]

mod ledger;
mod record;
mod rule;
mod session;

pub use ledger::Ledger;
// The same names as in mysa-session, but for `Session`, so that a driver is checked by exchanging one for the other.
pub use mysa_session::*;
pub use rule::{Rule, Violation};
pub use session::Session;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
