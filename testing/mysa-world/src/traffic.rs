//! Traffic between the session and the cloud: the outputs of each become inputs of the other, through the network.

use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_session::{ConnId, HttpAnswer, HttpBody, HttpFailure, HttpRequest, HttpResult, Output, StoreResult};
use mysa_sim::{Closing, HttpReply, Upgrade};
use sha2::Digest as _;

use crate::World;
use crate::check::HttpKind;
use crate::net::{Packet, Request, ToCloud, Trouble};
use crate::violation::Violation;
use crate::wire::Wire;
use crate::world::Link;

/// Outputs that one call may cause.
const MOST_OUTPUTS: usize = 10_000;

impl World {
    /// Processes the outputs of the session.
    pub(crate) fn drain_session(&mut self) -> Result<(), Violation> {
        let mut count = 0;
        while let Some(output) =
            if self.reader_stalls { self.session.poll_io() } else { self.session.poll_output() }
        {
            count += 1;
            if count > MOST_OUTPUTS {
                return Err(Violation::Unbounded { place: "outputs of one call", size: count });
            }
            self.output(output)?;
        }
        Ok(())
    }

    fn output(&mut self, output: Output) -> Result<(), Violation> {
        let trouble = self.net.trouble(self.now);
        let lost = matches!(trouble, Some(Trouble::BlackHole | Trouble::BlackHoleIn));
        match output {
            Output::Http(request) => self.send_request(request)?,
            Output::Dial(dial) => {
                self.note(format_args!("dial {}", dial.conn));
                self.count_dial()?;
                let conn = dial.conn;
                self.observer.see(self.now, conn, Wire::Dial { url: dial.url.as_str().to_owned() });
                self.dials_ever += 1;
                self.dialled += 1;
                self.conns.insert(conn, Link { number: self.dials_ever, open: false, held: true });
                if trouble == Some(Trouble::Down) {
                    self.net.stream(self.now, conn, false, Packet::Refused(conn, None));
                    return Ok(());
                }
                // If no answer arrives in time, the driver reports the dial as refused. A connection that has opened by
                // then ignores this packet.
                self.net.send_after(self.now + dial.timeout, Packet::Refused(conn, None));
                if !lost {
                    self.net.stream(self.now, conn, true, Packet::Upgrade(Box::new(dial)));
                }
            }
            Output::Send { conn, bytes } => {
                self.digest.update(&bytes);
                let mut commands = Vec::new();
                for command in self.observer.bytes(self.now, conn, &bytes)? {
                    commands.push((command.device, self.check_command(&command)?));
                }
                if self.conns.contains_key(&conn) && !lost && trouble != Some(Trouble::Down) {
                    let leaves = self.net.held_until(self.now, Trouble::Unsent).unwrap_or(self.now);
                    let sent = ToCloud { conn, bytes: bytes.into(), commands, sent: self.now, leaves };
                    self.net.stream(self.now, conn, true, Packet::ToCloud(sent));
                }
            }
            Output::Close { conn } => {
                // A driver sends the queued bytes before it closes, even those of a command that is decided.
                if self.net.carries_command(conn) {
                    return Err(Violation::ClosedUponCommand { conn: conn.to_string() });
                }
                self.client_closes(conn, "close", lost);
            }
            Output::Abort { conn } => {
                self.net.discard_unsent(self.now, conn);
                self.client_closes(conn, "abort", lost);
            }
            Output::AbortHttp { id } => {
                self.note("http: the request is aborted");
                self.net.discard_request(self.now, id);
                self.check_answer(id, Err(true));
            }
            Output::Store(stored) => {
                if let Some(token) = &stored.refresh_token
                    && !self.secrets.iter().any(|secret| secret == token.expose())
                {
                    self.secrets.push(token.expose().to_owned());
                }
                let result = match &self.stored {
                    _ if self.disk_full => {
                        self.note("the disk is full: the session is not stored");
                        StoreResult::Failed
                    }
                    Some(kept) if !stored.may_replace(kept) => StoreResult::Newer(Box::new(kept.clone())),
                    _ => {
                        self.stored = Some(stored);
                        StoreResult::Stored
                    }
                };
                let now = self.host_now();
                self.session.handle_store_result(now, result);
            }
            Output::Forget => self.stored = None,
            Output::Load => {
                let (now, stored) = (self.host_now(), self.stored.clone());
                self.session.handle_stored(now, stored);
            }
            Output::Event(event) => self.event(event)?,
        }
        Ok(())
    }

    fn client_closes(&mut self, conn: ConnId, how: &str, lost: bool) {
        self.note(format_args!("{how} {conn}"));
        self.observer.closed(conn);
        self.end_dialled(conn);
        if self.conns.contains_key(&conn) && !lost {
            self.net.stream(self.now, conn, true, Packet::ClientClosed(conn));
        }
    }

    /// Delivers a packet that has arrived.
    pub(crate) fn deliver(&mut self, packet: Packet) -> Result<(), Violation> {
        match packet {
            Packet::Request(Request { http, command, sent, leaves }) => {
                // While the host sleeps, its client can recall nothing.
                if let Some((_, number)) = command.filter(|_| !self.was_asleep_since(sent)) {
                    self.ledger.left_in_time(number, leaves)?;
                }
                self.request(&http, command);
            }
            Packet::Connected(mut request, asked) => {
                let now = self.host_now();
                match self.session.deferred_body(now, request.id) {
                    Some(body) => {
                        request.body = HttpBody::Ready(body);
                        self.write_request(*request, asked)?;
                    }
                    None => self.note("http: the request is no longer needed, so nothing is sent"),
                }
            }
            // The driver has given the request up, and reads no answer.
            Packet::Answer(id, _) if !self.http.contains_key(&id) => {}
            Packet::Answer(id, reply) => {
                self.note(format_args!("http answer {}", reply.status));
                self.digest.update(&reply.body);
                if reply.status == 200 {
                    self.answered_at = self.now;
                }
                self.check_answer(id, Ok(reply.status));
                let answer = HttpAnswer {
                    status: reply.status,
                    date: reply.header("date"),
                    age: reply.header("age"),
                    retry_after: reply.header("retry-after"),
                    location: reply.header("location"),
                    body: &reply.body,
                };
                let now = self.host_now();
                self.session.handle_http(now, id, HttpResult::Answer(answer));
                // A sign-in or a refresh has delivered new tokens.
                self.tokens_good |= self.tokens_in_transit.remove(&id);
                self.learn_secrets(&reply);
            }
            Packet::Failure(id, failure) => {
                // The driver ends the connection of the request.
                self.net.discard_request(self.now, id);
                let may_be_done = !matches!(failure, HttpFailure::Unreachable | HttpFailure::Tls);
                self.check_answer(id, Err(may_be_done));
                let now = self.host_now();
                self.session.handle_http(now, id, HttpResult::Failed(failure));
            }
            Packet::Upgrade(dial) => self.upgrade(&dial),
            Packet::Opened(conn) => {
                if let Some(link) = self.conns.get_mut(&conn) {
                    link.open = true;
                    self.observer.opened(self.now, conn);
                    let now = self.host_now();
                    self.session.handle_ws_opened(now, conn);
                }
            }
            Packet::Refused(conn, reply) => {
                if self.conns.get(&conn).is_some_and(|link| !link.open) {
                    self.end_dialled(conn);
                    self.conns.remove(&conn);
                    self.net.forget(conn);
                    let status = reply.as_ref().map(|reply| reply.status);
                    self.note(format_args!("{conn} refused: {status:?}"));
                    let date = reply.as_ref().and_then(|reply| reply.header("date"));
                    let now = self.host_now();
                    self.session.handle_ws_refused(now, conn, status, date);
                }
            }
            Packet::ToCloud(ToCloud { conn, bytes, commands, sent, leaves }) => {
                for &(device, number) in &commands {
                    self.arrived(device, number);
                }
                if let Some(number) = self.conns.get(&conn).map(|link| link.number) {
                    // While the host sleeps, its client can recall nothing.
                    if !self.was_asleep_since(sent) {
                        for &(_, number) in &commands {
                            self.ledger.left(number, sent, leaves)?;
                        }
                    }
                    let now = self.cloud_now();
                    self.cloud.handle_ws_bytes(now, number, &bytes);
                    self.drain_cloud();
                }
            }
            Packet::ToClient(conn, bytes) => {
                if !self.conns.contains_key(&conn) {
                    return Ok(());
                }
                self.digest.update(&bytes);
                self.observer.answered(conn, &bytes);
                self.read_messages(&bytes);
                for piece in self.net.pieces(&bytes) {
                    let now = self.host_now();
                    self.session.handle_ws_bytes(now, conn, piece);
                }
            }
            Packet::ClientClosed(conn) => {
                self.net.forget(conn);
                if let Some(link) = self.conns.remove(&conn) {
                    let now = self.cloud_now();
                    self.cloud.handle_ws_closed(now, link.number);
                    self.drain_cloud();
                }
            }
            Packet::CloudClosed(conn, closing) => {
                self.end_dialled(conn);
                if self.conns.remove(&conn).is_some() {
                    self.net.forget(conn);
                    self.observer.closed(conn);
                    let code = match closing {
                        Closing::Frame(code) => code,
                        Closing::Cut => None,
                    };
                    self.note(format_args!("{conn} closed by the cloud: {code:?}"));
                    let now = self.host_now();
                    self.session.handle_ws_closed(now, conn);
                }
            }
            Packet::Reset(conn) => {
                self.end_dialled(conn);
                if let Some(link) = self.conns.remove(&conn) {
                    self.net.forget(conn);
                    self.observer.closed(conn);
                    self.note(format_args!("{conn} is reset"));
                    let (now, cloud_now) = (self.host_now(), self.cloud_now());
                    self.session.handle_ws_closed(now, conn);
                    // A real cloud notices only when it next sends something; noticing at once makes no difference
                    // here.
                    self.cloud.handle_ws_closed(cloud_now, link.number);
                    self.drain_cloud();
                }
            }
        }
        self.drain_session()
    }

    /// Sends a request to the cloud and returns its answer.
    pub(crate) fn ask_cloud(&mut self, request: &HttpRequest) -> Option<mysa_sim::HttpAnswer> {
        let (host, path) = request.url.strip_prefix("https://").map(|rest| {
            let at = rest.find('/').unwrap_or(rest.len());
            rest.split_at(at)
        })?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/" } else { path };
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let body = request.body.ready()?;
        let view = mysa_sim::HttpRequest {
            host,
            method: request.method,
            path,
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        let now = self.cloud_now();
        let answer = self.cloud.handle_http(now, &view);
        self.drain_cloud();
        Some(answer)
    }

    /// Processes an HTTP request of the session.
    fn send_request(&mut self, request: HttpRequest) -> Result<(), Violation> {
        self.digest.update(request.url.as_bytes());
        self.note(format_args!("http {} {}", request.method, request.url));
        if self.keep_events {
            self.requests.push((self.now, format!("{} {}", request.method, request.url)));
        }
        self.count_request()?;
        let trouble = self.net.trouble(self.now);
        if trouble != Some(Trouble::Down) {
            // The request must end by its timeout even if the request or its answer gets lost.
            self.net
                .send_after(self.now + request.timeout, Packet::Failure(request.id, HttpFailure::Timeout));
        }
        if request.body.ready().is_some() {
            return self.write_request(request, self.now);
        }
        match trouble {
            Some(Trouble::Down) => {
                self.net.send(self.now, Packet::Failure(request.id, HttpFailure::Unreachable));
            }
            // The handshake needs both directions.
            Some(Trouble::BlackHole | Trouble::BlackHoleIn | Trouble::BlackHoleOut) => {}
            _ => {
                let delay = self.net.connect_delay(self.now);
                self.net.send(self.now + delay, Packet::Connected(Box::new(request), self.now));
            }
        }
        Ok(())
    }

    /// Sends the bytes of a request that the session made at `asked`.
    fn write_request(&mut self, request: HttpRequest, asked: Duration) -> Result<(), Violation> {
        let (command, writes) = self.check_request(&request, asked)?;
        match self.net.trouble(self.now) {
            Some(Trouble::Down) if writes => {
                // The connection was open, so it is unknown whether the bytes arrived.
                self.net.send(self.now, Packet::Failure(request.id, HttpFailure::Broken));
                return Ok(());
            }
            Some(Trouble::Down) => {
                self.net.send(self.now, Packet::Failure(request.id, HttpFailure::Unreachable));
                return Ok(());
            }
            Some(Trouble::BlackHole | Trouble::BlackHoleIn) => return Ok(()),
            _ => {}
        }
        let held = |trouble| self.net.held_until(self.now, trouble).filter(|_| writes).unwrap_or(self.now);
        let (leaves, passed) = (held(Trouble::Unsent), held(Trouble::WritesHeldBack));
        let request = Request { http: Box::new(request), command, sent: self.now, leaves };
        self.net.send(leaves.max(passed), Packet::Request(request));
        Ok(())
    }

    fn request(&mut self, request: &HttpRequest, command: Option<(DeviceId, u64)>) {
        if let Some((device, number)) = command {
            self.arrived(device, number);
        }
        let renews = self.http.get(&request.id) == Some(&HttpKind::Renewal);
        let Some(answer) = self.ask_cloud(request) else { return };
        if renews && self.rotation {
            // The old token is used up, and until the new one arrives no process holds a valid one.
            self.tokens_good = false;
        }
        let gone = matches!(
            self.net.trouble(self.now),
            Some(Trouble::BlackHole | Trouble::BlackHoleOut | Trouble::Down)
        );
        match answer {
            _ if gone => {}
            mysa_sim::HttpAnswer::Reply(reply) => {
                let delay = reply.delay;
                if std::str::from_utf8(&reply.body).is_ok_and(|body| body.contains("\"IdToken\":\"")) {
                    self.tokens_in_transit.insert(request.id);
                }
                self.net.send(self.now + delay, Packet::Answer(request.id, reply));
            }
            mysa_sim::HttpAnswer::Reset => {
                self.net.send(self.now, Packet::Failure(request.id, HttpFailure::Broken));
            }
            mysa_sim::HttpAnswer::Hang => {}
        }
    }

    /// Records that the session no longer holds a socket for this connection.
    fn end_dialled(&mut self, conn: ConnId) {
        if let Some(link) = self.conns.get_mut(&conn)
            && std::mem::take(&mut link.held)
        {
            self.dialled -= 1;
        }
    }

    fn upgrade(&mut self, dial: &mysa_session::Dial) {
        let conn = dial.conn;
        let Some(number) = self.conns.get(&conn).map(|link| link.number) else { return };
        let target = dial.url.target();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let host = dial.authority.host_header();
        let headers = [
            ("host", host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", dial.subprotocol),
        ];
        let view = mysa_sim::HttpRequest { host, method: "GET", path, query, headers: &headers, body: b"" };
        let now = self.cloud_now();
        let verdict = self.cloud.handle_upgrade(now, number, &view);
        match verdict {
            Upgrade::Accept => self.net.stream(self.now, conn, false, Packet::Opened(conn)),
            Upgrade::Refuse(reply) => {
                let delay = reply.delay;
                self.net.stream(self.now + delay, conn, false, Packet::Refused(conn, Some(Box::new(reply))));
            }
            Upgrade::Hang => {}
        }
        self.drain_cloud();
    }

    /// Processes the outputs of the cloud.
    pub(crate) fn drain_cloud(&mut self) {
        let trouble = self.net.trouble(self.now);
        let lost = matches!(trouble, Some(Trouble::BlackHole | Trouble::BlackHoleOut | Trouble::Down));
        while let Some(output) = self.cloud.poll_output() {
            let number = match &output {
                mysa_sim::Output::Send { conn, .. } | mysa_sim::Output::Close { conn, .. } => *conn,
            };
            let conn = self.conns.iter().find(|(_, link)| link.number == number).map(|(conn, _)| *conn);
            if let Some(conn) = conn
                && !lost
            {
                let packet = match output {
                    mysa_sim::Output::Send { bytes, .. } => Packet::ToClient(conn, bytes),
                    mysa_sim::Output::Close { closing, .. } => Packet::CloudClosed(conn, closing),
                };
                self.net.stream(self.now, conn, false, packet);
            }
        }
    }

    /// Records the secrets that the cloud hands out, so that printed output can be searched for them.
    fn learn_secrets(&mut self, reply: &HttpReply) {
        let Ok(text) = std::str::from_utf8(&reply.body) else { return };
        for name in ["\"SecretKey\":\"", "\"RefreshToken\":\"", "\"AccessToken\":\""] {
            let Some(at) = text.find(name) else { continue };
            let value = text.get(at + name.len()..).unwrap_or_default();
            let value = value.get(..value.find('"').unwrap_or(0)).unwrap_or_default();
            // Shorter values, such as an empty string, would occur in printed output by chance.
            if value.len() >= 16 {
                if self.secrets.len() > 16 {
                    // The password, in the first place, is kept.
                    self.secrets.remove(1);
                }
                self.secrets.push(value.to_owned());
            }
        }
    }

    pub(crate) fn count_dial(&mut self) -> Result<(), Violation> {
        const WINDOW: Duration = Duration::from_secs(60);
        while self.dials.front().is_some_and(|at| *at + WINDOW < self.now) {
            self.dials.pop_front();
        }
        self.dials.push_back(self.now);
        // The pauses between dials grow, so even one dial a second would be too many.
        if self.dials.len() > 40 { Err(Violation::DialStorm { dials: self.dials.len() }) } else { Ok(()) }
    }

    pub(crate) fn count_sign_in(&mut self) -> Result<(), Violation> {
        const WINDOW: Duration = Duration::from_secs(3_600);
        while self.sign_ins.front().is_some_and(|at| *at + WINDOW < self.now) {
            self.sign_ins.pop_front();
        }
        self.sign_ins.push_back(self.now);
        if self.sign_ins.len() > 60 {
            Err(Violation::SignInStorm { sign_ins: self.sign_ins.len() })
        } else {
            Ok(())
        }
    }
}
