//! HTTP requests: routing to a service, and the faults that apply to its answer.

use alloc::string::String;
use core::time::Duration;

use serde_json::Value;

use crate::Now;
use crate::cloud::Cloud;
use crate::endpoint::{Endpoint, Service, Target};
use crate::fault::{Fault, HttpFault};
use crate::http::{CachedReply, Exception, HttpAnswer, HttpRequest, Reply};
use crate::journal::{EventKind, short_path};

impl Cloud {
    /// Answers an HTTP request to any of the hosts.
    pub fn handle_http(&mut self, now: Now, request: &HttpRequest<'_>) -> HttpAnswer {
        self.advance(now);
        self.counters.http_requests += 1;
        let route = self.count_route(request);
        let issued = |cloud: &Self| (cloud.pool.sign_ins, cloud.pool.refreshes, cloud.identities.grants);
        let before = issued(self);
        let answer = self.answer(self.now, request);
        let after = issued(self);
        let status = match &answer {
            HttpAnswer::Reply(reply) => Some(reply.status),
            HttpAnswer::Hang | HttpAnswer::Reset => None,
        };
        self.journal.add(self.now, || EventKind::Request { route, path: short_path(request.path), status });
        for (is_new, kind) in [
            (after.0 > before.0, EventKind::SignedIn),
            (after.1 > before.1, EventKind::TokensRefreshed),
            (after.2 > before.2, EventKind::CredentialsIssued),
        ] {
            if is_new {
                self.journal.add(self.now, || kind);
            }
        }
        answer
    }

    /// Time for which a driver should keep a request that arrives now, before it passes it to [`Cloud::handle_http`].
    pub fn request_delay(&mut self, now: Now, request: &HttpRequest<'_>) -> Duration {
        self.advance(now);
        let body = serde_json::from_slice(request.body).unwrap_or(Value::Null);
        let target = Target::new(self.service(request.host), request, &body);
        let late = |fault: &Fault| match fault {
            Fault::Http(endpoint, HttpFault::Late(by)) if target.is_at(endpoint) => Some(*by),
            _ => None,
        };
        self.faults.apply(self.now.mono, late).unwrap_or_default()
    }

    /// Counts a request by its route, and returns the route.
    fn count_route(&mut self, request: &HttpRequest<'_>) -> String {
        let route = route(self.service(request.host), request);
        let known = self.routes.len() < MAX_ROUTES || self.routes.contains_key(&route);
        let counted = if known { route.clone() } else { "other".into() };
        *self.routes.entry(counted).or_default() += 1;
        route
    }

    fn answer(&mut self, now: Now, request: &HttpRequest<'_>) -> HttpAnswer {
        if self.faults.applies(now.mono, &Fault::NetworkDown) {
            return HttpAnswer::Reset;
        }
        let service = self.service(request.host);
        let body = match service {
            Service::UserPool | Service::IdentityPool => {
                serde_json::from_slice(request.body).unwrap_or(Value::Null)
            }
            _ => Value::Null,
        };
        let target = Target::new(service, request, &body);
        let fault = self.faults.apply(now.mono, |fault| match fault {
            Fault::Http(endpoint, fault) if target.is_at(endpoint) => Some(fault.clone()),
            _ => None,
        });
        let mut delay = Duration::ZERO;
        let reply = match fault {
            // The driver has waited, see `request_delay`.
            None | Some(HttpFault::Late(_)) => self.serve(now, target, request, &body),
            Some(HttpFault::Delay(by)) => {
                delay = by;
                self.serve(now, target, request, &body)
            }
            Some(HttpFault::Cached(age)) => self.serve_cached(now, target, request, age),
            Some(HttpFault::AfterServing(fault)) => {
                let served = self.serve(now, target, request, &body);
                match failed(service, *fault) {
                    Failed::Reply(reply) => reply,
                    Failed::Answer(answer) => return answer,
                    Failed::Late(by) => {
                        delay = by;
                        served
                    }
                }
            }
            Some(fault) => match failed(service, fault) {
                Failed::Reply(reply) => reply,
                Failed::Answer(answer) => return answer,
                Failed::Late(_) => self.serve(now, target, request, &body),
            },
        };
        let shift = self.date_shift(now, |endpoint| target.is_at(endpoint));
        HttpAnswer::Reply(reply.finish(now, shift, delay))
    }

    /// Error of the `Date` header in seconds, if a fault shifts it.
    pub(crate) fn date_shift(&mut self, now: Now, is_at: impl Fn(&Endpoint) -> bool) -> i64 {
        let shift = self.faults.apply(now.mono, |fault| match fault {
            Fault::DateShift(endpoint, secs) if is_at(endpoint) => Some(*secs),
            _ => None,
        });
        shift.unwrap_or(0)
    }

    /// Serves repeated GET requests from a cache, as a proxy between client and service does.
    fn serve_cached(
        &mut self,
        now: Now,
        target: Target<'_>,
        request: &HttpRequest<'_>,
        age: Duration,
    ) -> Reply {
        // The key includes the account, so a cached answer never reaches another account.
        let account = self.authorised(now, request).filter(|_| request.method == "GET");
        let Some(account) = account else { return self.serve(now, target, request, &Value::Null) };
        let key = (account, alloc::format!("{}{}?{}", request.host, request.path, request.query));
        if let Some(kept) = self.cached.get(&key) {
            return kept.repeated(now);
        }
        let reply = self.serve(now, target, request, &Value::Null);
        match CachedReply::new(&reply, now, age).filter(|_| self.cached.len() < MAX_CACHED) {
            Some(kept) => {
                let repeated = kept.repeated(now);
                self.cached.insert(key, kept);
                repeated
            }
            None => reply,
        }
    }

    fn serve(&mut self, now: Now, target: Target<'_>, request: &HttpRequest<'_>, body: &Value) -> Reply {
        let Target { service, action, .. } = target;
        // HEAD is answered like GET; the server drops the body.
        let method = if request.method == "HEAD" { "GET" } else { request.method };
        let request = &HttpRequest { method, ..*request };
        match service {
            // CORS preflight of a browser; only AWS's hosts allow it.
            Service::UserPool | Service::IdentityPool if method == "OPTIONS" => Reply::preflight(),
            Service::UserPool if method == "GET" => {
                let pool = alloc::format!("/{}/.well-known/", self.names.user_pool);
                match request.path.strip_prefix(&*pool) {
                    Some("jwks.json") => Reply::text(200, "application/json", self.pool.tokens.jwks()),
                    Some("openid-configuration") => {
                        let issuer = alloc::format!("https://{}", self.names.issuer());
                        Reply::ok(&serde_json::json!({
                            "issuer": issuer, "jwks_uri": alloc::format!("{issuer}/.well-known/jwks.json")
                        }))
                    }
                    _ => Reply::error(404, "Not Found"),
                }
            }
            Service::UserPool => Reply::aws(self.pool.handle(now, action, body, &self.names, &self.rules))
                .with("access-control-allow-origin", "*"),
            Service::IdentityPool => {
                let tokens = &self.pool.tokens;
                Reply::aws(self.identities.handle(now, action, body, tokens, &self.names, &self.rules))
                    .with("access-control-allow-origin", "*")
            }
            Service::Rest { backend } => {
                self.counters.rest_requests += 1;
                self.rest(now, request, backend)
            }
            Service::Broker => Reply::aws_error(service, 403, "ForbiddenException", "Forbidden"),
            Service::IotControl => self.iot_control(now, request),
            Service::Unknown => Reply::error(404, "no such host"),
        }
    }

    pub(crate) fn service(&self, host: &str) -> Service {
        let host = host.split(':').next().unwrap_or_default();
        let is = |name: &String| name.eq_ignore_ascii_case(host);
        if is(&self.names.user_pool_host) {
            Service::UserPool
        } else if is(&self.names.identity_host) {
            Service::IdentityPool
        } else if is(&self.names.legacy_host) {
            Service::Rest { backend: false }
        } else if is(&self.names.backend_host) {
            Service::Rest { backend: true }
        } else if is(&self.names.iot_host) {
            Service::Broker
        } else if is(&self.names.iot_control_host) {
            Service::IotControl
        } else {
            Service::Unknown
        }
    }
}

/// Maximum number of routes that are counted separately.
const MAX_ROUTES: usize = 256;

/// Service, and action or method with path; ids are replaced by `{id}`.
fn route(service: Service, request: &HttpRequest<'_>) -> String {
    let name = match service {
        Service::UserPool => "user-pool",
        Service::IdentityPool => "identity-pool",
        Service::Rest { backend: false } => "rest",
        Service::Rest { backend: true } => "backend",
        Service::Broker => "broker",
        Service::IotControl => "things",
        Service::Unknown => "unknown",
    };
    let target = request.header("x-amz-target").and_then(|target| target.split_once('.'));
    let action = target.map(|(_, action)| action).filter(|action| {
        (1..=40).contains(&action.len()) && action.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if let Some(action) = action.filter(|_| service.is_aws()) {
        return alloc::format!("{name} {action}");
    }
    let method = match request.method {
        method @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => method,
        _ => "other",
    };
    let mut route = alloc::format!("{name} {method} ");
    for segment in short_path(request.path).split('/').skip(1).take(8) {
        route.push('/');
        route.push_str(if is_id(segment) { "{id}" } else { segment });
    }
    route
}

/// Returns `true` if a path segment is an id of a device, a home or a user.
fn is_id(segment: &str) -> bool {
    segment.len() >= 6 && segment.bytes().any(|byte| byte.is_ascii_digit())
        || segment.contains(['@', '%', '='])
}

/// Maximum number of cached answers.
const MAX_CACHED: usize = 64;

/// Fault applied to an answer.
enum Failed {
    Reply(Reply),
    Answer(HttpAnswer),
    Late(Duration),
}

fn failed(service: Service, fault: HttpFault) -> Failed {
    Failed::Reply(match fault {
        HttpFault::Hang => return Failed::Answer(HttpAnswer::Hang),
        HttpFault::Reset => return Failed::Answer(HttpAnswer::Reset),
        HttpFault::Delay(by) => return Failed::Late(by),
        // `AfterServing` does not nest.
        HttpFault::AfterServing(_) | HttpFault::Cached(_) | HttpFault::Late(_) => {
            return Failed::Late(Duration::ZERO);
        }
        HttpFault::Status(status) => Reply::failure(service, status),
        HttpFault::Throttle(secs) => {
            Reply::failure(service, 429).with("retry-after", alloc::format!("{secs}"))
        }
        HttpFault::Redirect(status, location) => Reply::html(status).with("location", location),
        HttpFault::Exception(name) => Reply::aws(Err(Exception::new(&name, "simulated"))),
        HttpFault::Html(status) => Reply::html(status),
        HttpFault::Body(status, bytes) => Reply::text(status, "application/json", bytes),
    })
}
