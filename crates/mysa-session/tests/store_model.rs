//! Two processes of one account, one store, and a pool that rotates refresh tokens, in every order of a few steps and
//! in many random orders of more steps. The invariant: while any process or the store knows a token that the pool
//! accepts, sign-in keeps working.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mysa_cognito::{RefreshFlow, RefreshToken, Secret, StoredSession};
use mysa_proto::UnixTime;
use mysa_session::{
    Environment, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Output, Session, Settings, Start,
    StoreResult,
};

const START: i64 = 1_767_323_045_000;

/// Process: its session, and what it waits for.
#[derive(Default)]
struct Process {
    session: Option<Session>,
    refresh: Option<Refresh>,
    load: bool,
    store: Option<StoredSession>,
    /// Tokens that the process has seen since it started.
    known: BTreeSet<String>,
    /// Tokens that the process has used up.
    spent: BTreeSet<String>,
    /// Time of the last renewal.
    renewed_at: Option<Duration>,
}

struct Refresh {
    id: HttpId,
    /// Time at which the driver gives the request up.
    until: Duration,
    flow: RefreshFlow,
    token: String,
    /// Answer of the pool, once it was asked: the next token, or `None` for a refusal.
    answer: Option<Option<String>>,
}

struct Model {
    processes: [Process; 2],
    mono: Duration,
    disk: StoredSession,
    /// Tokens that the pool accepts: one for each sign-in.
    accepted: BTreeSet<String>,
    handed_out: u32,
    flow: RefreshFlow,
    log: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    AskPool(usize),
    Deliver(usize),
    Lose(usize),
    Load(usize),
    Store(usize),
    FailStore(usize),
    FailStoreWritten(usize),
    Crash(usize),
    Restart(usize),
    /// A person signs in with another program, which stores its session.
    Login,
    Time,
}

fn token(number: u32) -> String {
    format!("token-{number:04}")
}

impl Model {
    fn new(flow: RefreshFlow) -> Self {
        let mut disk = StoredSession::new("ann@example.org", &Environment::mysa().pool.client_id);
        disk.refresh_token = Some(RefreshToken::new(Secret::from(token(0).as_str())));
        let mut model = Self {
            processes: Default::default(),
            mono: Duration::ZERO,
            disk,
            accepted: BTreeSet::from([token(0)]),
            handed_out: 0,
            flow,
            log: String::new(),
        };
        for at in 0..2 {
            model.act(Action::Restart(at));
        }
        model
    }

    fn now(&self) -> Now {
        let wall = START + i64::try_from(self.mono.as_millis()).expect("a short test");
        Now { mono: self.mono, wall: UnixTime::from_millis(wall) }
    }

    /// Returns the actions that are possible now.
    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut idle = true;
        for (at, process) in self.processes.iter().enumerate() {
            if process.session.is_none() {
                actions.push(Action::Restart(at));
                continue;
            }
            if process.load {
                actions.push(Action::Load(at));
                idle = false;
            }
            if process.store.is_some() {
                actions.extend([Action::Store(at), Action::FailStore(at), Action::FailStoreWritten(at)]);
                idle = false;
            }
            match &process.refresh {
                Some(Refresh { answer: None, .. }) => actions.extend([Action::AskPool(at), Action::Lose(at)]),
                Some(_) => actions.extend([Action::Deliver(at), Action::Lose(at)]),
                None => {}
            }
            actions.push(Action::Crash(at));
        }
        // A driver's file access is immediate compared with any timer.
        if idle {
            actions.push(Action::Time);
        }
        if self.handed_out < 4 {
            actions.push(Action::Login);
        }
        actions
    }

    fn act(&mut self, action: Action) {
        let _ = write!(self.log, "{action:?} ");
        let now = self.now();
        match action {
            Action::AskPool(at) => {
                let refresh = self.processes[at].refresh.as_mut().expect("a request");
                let good = refresh.flow == RefreshFlow::GetTokensFromRefreshToken
                    && self.accepted.remove(&refresh.token);
                refresh.answer = Some(good.then(|| {
                    self.handed_out += 1;
                    self.accepted.insert(token(self.handed_out));
                    token(self.handed_out)
                }));
            }
            Action::Deliver(at) => {
                let process = &mut self.processes[at];
                let refresh = process.refresh.take().expect("a request");
                let session = process.session.as_mut().expect("a process");
                let (status, body) = match refresh.answer.expect("an answer") {
                    Some(next) => {
                        process.known.insert(next.clone());
                        process.spent.insert(refresh.token);
                        process.renewed_at = Some(now.mono);
                        (200, tokens(&next))
                    }
                    None => (400, r#"{"__type":"NotAuthorizedException","message":"no"}"#.to_owned()),
                };
                let answer = HttpAnswer { status, body: body.as_bytes(), ..HttpAnswer::default() };
                session.handle_http(now, refresh.id, HttpResult::Answer(answer));
            }
            Action::Lose(at) => {
                let process = &mut self.processes[at];
                let refresh = process.refresh.take().expect("a request");
                let session = process.session.as_mut().expect("a process");
                session.handle_http(now, refresh.id, HttpResult::Failed(HttpFailure::Broken));
            }
            Action::Load(at) => {
                let process = &mut self.processes[at];
                process.load = false;
                process.known.extend(self.disk.refresh_token.iter().map(|token| token.expose().to_owned()));
                let session = process.session.as_mut().expect("a process");
                session.handle_stored(now, Some(self.disk.clone()));
            }
            Action::Store(at) | Action::FailStore(at) | Action::FailStoreWritten(at) => {
                let process = &mut self.processes[at];
                let stored = process.store.take().expect("something to store");
                let session = process.session.as_mut().expect("a process");
                let result = match action {
                    Action::FailStore(_) => StoreResult::Failed,
                    _ if !stored.may_replace(&self.disk) => StoreResult::Newer(Box::new(self.disk.clone())),
                    _ => {
                        let good = |stored: &StoredSession| {
                            let token = stored.refresh_token.as_ref();
                            token.is_some_and(|token| self.accepted.contains(token.expose()))
                        };
                        assert!(good(&stored) || !good(&self.disk), "a valid token is lost: {}", self.log);
                        assert!(stored.generation >= self.disk.generation, "{}", self.log);
                        self.disk = stored;
                        if matches!(action, Action::Store(_)) {
                            StoreResult::Stored
                        } else {
                            StoreResult::Failed
                        }
                    }
                };
                session.handle_store_result(now, result);
            }
            Action::Crash(at) => self.processes[at] = Process::default(),
            Action::Restart(at) => {
                let start = Start::Resume { stored: self.disk.clone(), password: None };
                let mut settings = Settings::default();
                settings.refresh_flow = self.flow;
                // All other parts must make no requests.
                settings.backoff_first = Duration::from_secs(3_600);
                settings.backoff_cap = Duration::from_secs(3_600);
                settings.poll_rest_only = Duration::from_secs(3_600);
                let seed = [u8::try_from(at).expect("two processes"); 32];
                let session = Session::new(settings, Environment::mysa(), start, seed, now);
                let known = self.disk.refresh_token.iter().map(|token| token.expose().to_owned()).collect();
                self.processes[at] = Process { session: Some(session), known, ..Process::default() };
            }
            Action::Login => {
                self.handed_out += 1;
                let token = token(self.handed_out);
                self.disk.refresh_token = Some(RefreshToken::new(Secret::from(token.as_str())));
                self.disk.generation += 1;
                self.accepted.insert(token);
            }
            Action::Time => {
                let timers = self.processes.iter().filter_map(|process| process.session.as_ref());
                let timers = timers.filter_map(|session| Some(session.poll_timeout()?.at));
                let open = self.processes.iter().filter_map(|process| Some(process.refresh.as_ref()?.until));
                let Some(next) = timers.chain(open).min() else {
                    return;
                };
                self.mono = self.mono.max(next);
                let now = self.now();
                for at in 0..2 {
                    if self.processes[at].refresh.as_ref().is_some_and(|refresh| refresh.until <= now.mono) {
                        self.act(Action::Lose(at));
                    }
                }
                for session in self.processes.iter_mut().filter_map(|process| process.session.as_mut()) {
                    session.handle_timeout(now);
                }
            }
        }
        self.drain();
    }

    /// Collects the requests of the sessions. Requests that do not concern refresh tokens are answered at once.
    fn drain(&mut self) {
        let now = self.now();
        for process in &mut self.processes {
            let Some(session) = &mut process.session else { continue };
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Store(stored) => process.store = Some(stored),
                    Output::Forget => unreachable!("nobody signs out"),
                    Output::Load => process.load = true,
                    Output::Http(request) => {
                        let target = request.headers.iter().find(|(name, _)| *name == "x-amz-target");
                        let action = target.map_or("", |(_, target)| target.rsplit('.').next().unwrap_or(""));
                        let flow = match action {
                            "InitiateAuth" => Some(RefreshFlow::InitiateAuth),
                            "GetTokensFromRefreshToken" => Some(RefreshFlow::GetTokensFromRefreshToken),
                            _ => None,
                        };
                        if let Some(flow) = flow {
                            let body = request.body.ready().unwrap_or_default();
                            let from = body.find("token-").expect("a refresh token");
                            let token = body[from..from + token(0).len()].to_owned();
                            assert!(process.refresh.is_none(), "only one refresh may be in flight");
                            assert!(!process.spent.contains(&token), "{token} is used up: {}", self.log);
                            let until = now.mono + request.timeout;
                            process.refresh =
                                Some(Refresh { id: request.id, until, flow, token, answer: None });
                            continue;
                        }
                        let body: &[u8] = match action {
                            "GetId" => br#"{"IdentityId":"us-east-1:x"}"#,
                            "GetCredentialsForIdentity" => {
                                br#"{"Credentials":{"AccessKeyId":"A","SecretKey":"S","SessionToken":"T","Expiration":9e9}}"#
                            }
                            _ if request.url.ends_with("/devices") => {
                                br#"{"DevicesObj":{"a0b1c2d3e4f7":{"Id":"a0b1c2d3e4f7","Model":"BB-V2-0-L"}}}"#
                            }
                            _ => br#"{"DeviceStatesObj":{}}"#,
                        };
                        let answer = HttpAnswer { status: 200, body, ..HttpAnswer::default() };
                        session.handle_http(now, request.id, HttpResult::Answer(answer));
                    }
                    Output::Dial(dial) => session.handle_ws_refused(now, dial.conn, None, None),
                    Output::Send { .. }
                    | Output::Close { .. }
                    | Output::Abort { .. }
                    | Output::AbortHttp { .. }
                    | Output::Event(_) => {}
                }
            }
        }
    }

    /// Returns `true` if a running process or the disk has a token that the pool accepts, or is about to receive one.
    fn is_known(&self) -> bool {
        let good = |token: &str| self.accepted.contains(token);
        let coming = |process: &Process| {
            process
                .refresh
                .as_ref()
                .is_some_and(|refresh| matches!(&refresh.answer, Some(Some(token)) if good(token)))
        };
        self.processes.iter().any(|process| process.known.iter().any(|token| good(token)) || coming(process))
            || self.disk.refresh_token.as_ref().is_some_and(|kept| good(kept.expose()))
    }

    /// Ends all faults: every request is answered in turn, and a quarter of an hour passes.
    fn heal(&mut self) {
        let end = self.mono + Duration::from_secs(1_000);
        for _ in 0..5_000 {
            let action = self.actions().into_iter().find(|action| {
                !matches!(
                    action,
                    Action::Lose(_)
                        | Action::FailStore(_)
                        | Action::FailStoreWritten(_)
                        | Action::Crash(_)
                        | Action::Login
                )
            });
            self.act(action.expect("time passes"));
            if self.mono >= end {
                return;
            }
        }
        panic!("no end: {}", self.log);
    }

    fn check(&mut self) {
        let known = self.is_known();
        self.heal();
        let end = self.mono;
        for process in &self.processes {
            let renewed = process.renewed_at.is_some_and(|at| at + Duration::from_secs(300) > end);
            assert_eq!(renewed, known, "{}", self.log);
        }
        let kept = self.disk.refresh_token.as_ref();
        assert!(!known || self.disk.identity_id.is_some(), "{}", self.log);
        assert!(!known || kept.is_some_and(|kept| self.accepted.contains(kept.expose())), "{}", self.log);
    }
}

fn tokens(refresh: &str) -> String {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"1","iss":"https://pool"}"#);
    format!(
        r#"{{"AuthenticationResult":{{"IdToken":"e30.{claims}.sig","AccessToken":"a","RefreshToken":"{refresh}","ExpiresIn":300}}}}"#
    )
}

/// Runs the first `depth` steps with the given choices, and returns the number of choices at each step.
fn run(choices: &[usize], depth: usize) -> Vec<usize> {
    let mut model = Model::new(RefreshFlow::GetTokensFromRefreshToken);
    let mut counts = Vec::new();
    for step in 0..depth {
        let actions = model.actions();
        counts.push(actions.len());
        model.act(actions[choices.get(step).copied().unwrap_or(0)]);
    }
    model.check();
    counts
}

#[test]
fn every_order_of_few_steps_keeps_the_newest_token_in_use() {
    const DEPTH: usize = 6;
    let mut choices = vec![0; DEPTH];
    let mut runs = 0;
    loop {
        let counts = run(&choices, DEPTH);
        runs += 1;
        let Some(at) = (0..DEPTH).rev().find(|&at| choices[at] + 1 < counts[at]) else { break };
        choices[at] += 1;
        choices[at + 1..].fill(0);
    }
    assert!(runs > 1_000, "{runs}");
}

#[test]
fn many_orders_of_many_steps_keep_the_newest_token_in_use() {
    for seed in 0..2_000_u64 {
        let flow =
            if seed % 2 == 0 { RefreshFlow::InitiateAuth } else { RefreshFlow::GetTokensFromRefreshToken };
        let mut model = Model::new(flow);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        // Crashes and losses are rare in some runs, and frequent in others.
        let rare = random() % 4;
        for _ in 0..random() % 100 {
            let mut actions = model.actions();
            if random() % 4 < rare {
                actions.retain(|action| !matches!(action, Action::Crash(_) | Action::Lose(_)));
            }
            let at = usize::try_from(random()).expect("64 bits") % actions.len();
            model.act(actions[at]);
        }
        model.check();
    }
}
