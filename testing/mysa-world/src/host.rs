//! Trouble on the client's host: a full disk, a second process that shares the store, and callers that ask for too
//! much.

use mysa_cognito::RefreshFlow;
use mysa_proto::{DeviceId, rest};
use mysa_session::Environment;
use mysa_sim::HttpRequest;

use crate::World;
use crate::coverage::TroubleKind;
use crate::violation::Violation;

/// Number of requests that a caller makes at once to fill the queue: more than a session accepts.
const REQUESTS: usize = 32;

impl World {
    /// Fills the disk or frees it. While it is full, sessions that the client asks to store are lost; the stored one
    /// stays.
    pub fn fill_disk(&mut self, full: bool) {
        if self.disk_full != full {
            self.note(format_args!("the disk is {}full", if full { "" } else { "no longer " }));
        }
        self.disk_full = full;
    }

    /// Renews the stored tokens as another process of the same account would, and stores the result.
    pub fn second_process_renews(&mut self) {
        self.record_trouble(TroubleKind::SecondProcess);
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
            // A pool that rotates tokens has used up the old one, and the new one may be lost with the answer.
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

    /// # Errors
    /// The invariant that this broke.
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
