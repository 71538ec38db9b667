use mysa_session::Dial;
use tungstenite::handshake::client::generate_key;
use tungstenite::http::Request;

use crate::Error;

/// Builds the upgrade request for a dial.
///
/// # Errors
/// The URL is invalid.
pub fn upgrade(dial: &Dial) -> Result<Request<()>, Error> {
    let request = Request::get(dial.url.as_str())
        // The signature covers this header, so it must match byte for byte.
        .header("Host", dial.authority.host_header())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Protocol", dial.subprotocol)
        .body(())?;
    Ok(request)
}

/// Returns the status and the `Date` header of an upgrade that was answered with a status other than 101.
#[must_use]
pub fn refusal(error: &tungstenite::Error) -> (Option<u16>, Option<String>) {
    let tungstenite::Error::Http(answer) = error else { return (None, None) };
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    (Some(answer.status().as_u16()), date)
}
