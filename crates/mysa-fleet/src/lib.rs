//! Many Mysa accounts over many machines, as a state machine. No I/O, no clock, no randomness, no tasks.
//!
//! Each process of a fleet has a [`Worker`]. The workers share a store with conditional writes (a NATS JetStream key-value
//! store), and talk to each other by nothing else. A worker decides which accounts it owns, when their clients
//! start and stop, and what becomes of a command. A driver passes in what the store shows and answers, requests and
//! verdicts, and carries out what [`Worker::poll_output`] returns.
//!
//! ```
//! use core::time::Duration;
//! use mysa_fleet::{Action, Answer, Bucket, Entry, Output, Revision, Settings, Worker, WorkerId};
//! use mysa_proto::{Now, UnixTime};
//!
//! let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
//! let mut worker = Worker::new(WorkerId::new("worker-1")?, Settings::default(), [7; 32], now)?;
//! // The first operation creates the session of this worker.
//! let Some(Output::Store(operation)) = worker.poll_output() else { panic!("expected an operation") };
//! assert!(matches!(operation.action, Action::Create { .. }));
//! worker.handle_answer(operation.id, &Answer::Written(Revision::new(1)), now);
//!
//! let account = Entry { key: "home-1".into(), revision: Revision::new(1), value: Some("{}".into()) };
//! worker.handle_entry(Bucket::Accounts, &account, now);
//! for bucket in [Bucket::Accounts, Bucket::Workers, Bucket::Claims] {
//!     worker.handle_synced(bucket, now);
//! }
//! // The account is free, so it is claimed.
//! worker.handle_timeout(now);
//! let claim = core::iter::from_fn(|| worker.poll_output()).find_map(|output| match output {
//!     Output::Store(operation) if operation.bucket == Bucket::Claims => Some(operation),
//!     _ => None,
//! });
//! let claim = claim.ok_or("expected a claim")?;
//! worker.handle_answer(claim.id, &Answer::Written(Revision::new(5)), now);
//! worker.handle_timeout(now);
//! let started = core::iter::from_fn(|| worker.poll_output()).any(|output| {
//!     matches!(output, Output::Start { account, owner } if account.as_str() == "home-1" && owner.number() == 5)
//! });
//! assert!(started);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Store
//!
//! | bucket | key | value |
//! | --- | --- | --- |
//! | [`Bucket::Accounts`] | `ACCOUNT` | anything; an account is in the fleet while its key exists |
//! | [`Bucket::Workers`] | `WORKER.INCARNATION` | a session: capacity, accounts that it owns, whether it drains, number of the write |
//! | [`Bucket::Claims`] | `ACCOUNT` | the session that owns the account |
//! | [`Bucket::Verdicts`] | `ACCOUNT.COMMAND` | a command, the token of its owner, and its verdict once it has one |
//!
//! Every write is conditional on the revision of its key, so the order in which writes arrive, repeats and lost answers cannot
//! do harm: an answer that is lost ([`Answer::Lost`]) counts neither as success nor as failure, and the key is read before
//! anything depends on it. Watched entries may be late, repeated and reordered; reads may be older than the newest write. The
//! store must never lose a write that it has answered: use file storage, and three replicas for a fleet that must survive the
//! loss of a server. Markers of deleted keys must be kept for longer than a watch can be interrupted. Those of sessions may be
//! forgotten, and are after [`Settings::marker_life`] by [`Action::Forget`]: a worker that has missed one ends the session once
//! more. The store itself must forget none by its own clock, which may be stepped.
//!
//! # Lease
//!
//! A worker owns an account while the claim names its session and the lease of the session runs. One renewal keeps all accounts
//! of a worker, so the load on the store grows with the number of workers, not of accounts, and the revision of a claim is the
//! same for the whole time of an ownership: it is the fencing token ([`Output::Start`]) to record with commands and events.
//!
//! - The **holder** counts its lease from the moment it *sent* the write of the session that succeeded, by its own clock, and lets
//!   go [`Settings::margin`] before the lease ends. Every call checks this before anything else, so a process that was stopped or
//!   suspended finds its lease over before it acts.
//! - **Another worker** ends the session when it has seen no new revision of its key for a full [`Settings::lease`] by its own clock,
//!   counted from when it first *saw* the present one. It ends it by a conditional write: it deletes the key at that revision, or
//!   creates the key if there is none. Only after the success of this write does it claim the accounts, each by an
//!   update at the revision of the claim that it has seen.
//! - A name of a session is created by one write only, which is not repeated if its answer is lost. A name that was ended never
//!   returns.
//!
//! **Two workers never own one account at one time, if the rates of two clocks differ by less than `margin` / `lease`**, and a driver
//! stops its clients within what is left of the margin. Wall clocks are not compared. Proof: let session *H* own the account, and
//! let *W* end *H* at revision *r*, the newest that *W* has seen.
//!
//! 1. The write that ends *H* succeeds only if *r* is the newest revision of *H*, and no renewal of *H* succeeds afterwards,
//!    because every renewal is conditional on a revision of a key that no longer exists, or has another value.
//! 2. So the last renewal of *H* that succeeded is the one that made *r*. It was sent at a true time *s*. *W* saw *r* at a true time *v*;
//!    nobody sees a revision before the write is sent, so *s* ≤ *v*.
//! 3. *H* lets go when its clock has advanced by `lease` − `margin` since *s*. *W* ends *H* when its clock has advanced by `lease`
//!    since *v*. If the clock of *H* runs at rate *a* and that of *W* at rate *b*, *H* has let go by *s* + (`lease` − `margin`) / *a*, and *W*
//!    claims after *v* + `lease` / *b*. The first is not later than the second if (`lease` − `margin`) / *a* ≤ `lease` / *b*, that is *b* / *a* ≤
//!    `lease` / (`lease` − `margin`), which holds if the rates differ by less than `margin` / `lease`: with the defaults one
//!    part in six, ten thousand times the error of a crystal.
//! 4. A worker that finds no key for the session that a claim names creates it. The key existed before the claim, so if the creation
//!    succeeds, somebody has deleted it: *H* itself, after its clients had stopped, or a worker to which 1 to 3 apply.
//! 5. Without ending a session, an account is claimed only when its claim is deleted, and only *H* deletes its claims, after the client has
//!    stopped.
//!
//! Numbers: with the defaults, the accounts of a worker that dies are free after 30 s and claimed by the others within a
//! few seconds more. A worker that cannot reach the store stops its clients after at most 25 s.
//!
//! # Assignment
//!
//! Rendezvous hashing over the names of the workers that do not drain says to which worker an account is assigned. That worker claims it as
//! soon as it is free; after [`Settings::grace`], any worker with room does. Once the workers have been the same for
//! [`Settings::settle`], accounts are handed to those to which they are assigned, [`Settings::hand_overs`] at once: the owner takes
//! no new commands, waits for the verdicts of the open ones, stops the client, and deletes the claim. [`Worker::drain`] does the
//! same with all accounts. Clients start at [`Settings::starts_per_second`], irregularly.
//!
//! # Commands
//!
//! - **At most once.** A command is given to a client ([`Output::Command`]) only after its record was *created*, so a second request with its
//!   name, here or at the next owner, finds the record.
//! - **One verdict.** The record is decided once, by a conditional write, and every request gets what is recorded: repeats get the first
//!   verdict, and repeats of an undecided command wait for it. A record that an earlier owner left undecided is closed by the
//!   next one as `unconfirmed: owner lost`, and is never sent again.
//! - **Nothing after the lease.** The deadline of a command is never later than the end of the lease at its acceptance, and the client
//!   sends no byte of a command after its deadline.
//! - **One reply.** Each request gets one [`Reply`]. [`Reply::Retry`] is not a verdict: a repeat with the same name is safe.
//!
//! # Secrets
//!
//! The secrets of the accounts need not be in a file on each worker: [`Keyring::seal`] encrypts one for the value of its account in
//! [`Bucket::Accounts`], and [`Keyring::open`] opens it for the same account and fleet alone. The keys never enter the store.
//!
//! # Bounds
//!
//! Accounts of a fleet (2^24), sessions (65,536), own accounts ([`Settings::capacity`]), undecided commands
//! ([`Settings::max_commands`], 32 for one account), requests that wait for one command (16), claims without an answer (64), changes
//! (4,096 bytes), events that wait (1,024).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod commands;
mod io;
mod lease;
mod membership;
mod name;
mod ownership;
mod peers;
mod rendezvous;
mod sealed;
mod settings;
mod store;
mod value;
mod worker;

pub use io::{
    Decision, Event, Output, RefusedRequest, Reply, ReplyTo, Request, Retry, SessionOver, StopReason,
};
pub use name::{AccountId, CommandId, FleetId, InvalidName, KeyId, WorkerId};
pub use sealed::{InvalidKeys, InvalidSealed, Keyring, OpenError, SealError, SealedToken, SealingKey};
pub use settings::{InvalidSettings, Settings};
pub use store::{Action, Answer, Bucket, Entry, Operation, OperationId, Revision};
pub use worker::{Counts, Worker};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
