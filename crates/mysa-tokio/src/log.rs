//! Log events for the feature `tracing`; without it they cost nothing. None contains a secret: no URL, token or
//! account.

use mysa_session::{ConnId, Event};

/// Logs an event of a connection.
pub(crate) fn connection(conn: ConnId, event: &str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%conn, "{event}");
    #[cfg(not(feature = "tracing"))]
    let _ = (conn, event);
}

/// Logs changes of the service level, and verdicts.
pub(crate) fn event(event: &Event) {
    #[cfg(feature = "tracing")]
    match event {
        Event::Service(service) => {
            tracing::info!(level = %service.level, reason = %service.reason, "service level changed");
        }
        Event::Verdict { id, device, verdict } => tracing::debug!(%id, %device, %verdict, "command decided"),
        _ => {}
    }
    #[cfg(not(feature = "tracing"))]
    let _ = event;
}
