//! What else happens on the client's host: a full disk, a second process on the same store, callers that ask much.

use mysa_cognito::RefreshFlow;
use mysa_proto::{DeviceId, rest};
use mysa_session::Environment;
use mysa_sim::HttpRequest;

use crate::World;
use crate::coverage::TroubleKind;
use crate::violation::Violation;

/// Requests a caller makes at once to fill the line: more than a session takes.
const REQUESTS: usize = 32;

impl World {
    /// Says whether the disk is full: what the client asks to be stored is lost then, and what was stored stays.
    pub fn fill_disk(&mut self, full: bool) {
        if self.disk_full != full {
            self.note(format_args!("the disk is {}full", if full { "" } else { "no longer " }));
        }
        self.disk_full = full;
    }

    /// Another process of the same account renews the tokens that are stored, and stores what it gets.
    pub fn second_process_renews(&mut self) {
        self.strike(TroubleKind::SecondProcess);
        let Some(token) = self.stored.as_ref().and_then(|stored| stored.refresh_token.clone()) else {
            return;
        };
        let flow =
            if self.rotation { RefreshFlow::GetTokensFromRefreshToken } else { RefreshFlow::InitiateAuth };
        let (request, answer) = mysa_cognito::refresh(&Environment::mysa().pool, &token, flow);
        let host = self.cloud.names().user_pool_host.clone();
        let headers = request.headers();
        let view = HttpRequest {
            host: &host,
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: request.body().as_bytes(),
        };
        let now = self.cloud_now();
        let mysa_sim::HttpAnswer::Reply(reply) = self.cloud.handle_http(now, &view) else {
            // Where tokens are used once, the new one may be lost.
            self.tokens_good &= !self.rotation;
            return;
        };
        let tokens = answer.reply(reply.status, &reply.body);
        self.note(format_args!("a second process renews the tokens: {}", reply.status));
        let Some(new) = tokens.ok().and_then(|tokens| tokens.refresh) else { return };
        if self.disk_full {
            self.tokens_good = false;
            return;
        }
        if let Some(stored) = &mut self.stored {
            self.secrets.push(new.expose().to_owned());
            stored.refresh_token = Some(new);
        }
    }

    /// An application asks for more than a session takes at once.
    ///
    /// # Errors
    /// An invariant that was broken by it.
    pub fn fill_request_line(&mut self, device: DeviceId) -> Result<(), Violation> {
        if self.is_asleep() {
            return Ok(());
        }
        self.note("an application fills the request line");
        for _ in 0..REQUESTS {
            let asked = self.call(|session, now| session.request(now, rest::capabilities(device)))?;
            if asked.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
