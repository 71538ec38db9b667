//! Minimal HTTP/1.1 for one request per connection, without I/O.

use mysa_session::HttpRequest;

/// Returns the host, and the request with its body as it is sent. `None` if the URL is not `https`.
#[must_use]
pub fn request_bytes<'a>(request: &'a HttpRequest, body: &str) -> Option<(&'a str, Vec<u8>)> {
    let rest = request.url.strip_prefix("https://")?;
    let (host, target) = rest.split_at(rest.find('/')?);
    let mut text = format!("{} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", request.method);
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    Some((host, text.into_bytes()))
}

/// Parts of an answer that a session needs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Date` header.
    pub date: Option<String>,
    /// `Age` header.
    pub age: Option<String>,
    /// `Retry-After` header.
    pub retry_after: Option<String>,
    /// `Location` header.
    pub location: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Parses the bytes received so far. `None` while the answer is incomplete. `ended` is `true` if no more bytes will
    /// come.
    #[must_use]
    pub fn parse(received: &[u8], ended: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(at) = head.parse(received).ok()? else { return None };
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::to_owned)
        };
        let rest = received.get(at..)?;
        let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            chunks(rest)?
        } else if let Some(length) = header("content-length") {
            rest.get(..length.trim().parse().ok()?)?.to_vec()
        } else {
            ended.then(|| rest.to_vec())?
        };
        let (date, age) = (header("date"), header("age"));
        let (retry_after, location) = (header("retry-after"), header("location"));
        Some(Self { status: head.code?, date, age, retry_after, location, body })
    }
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((at, size)) = httparse::parse_chunk_size(rest).ok()? else {
            return None;
        };
        let end = at.checked_add(size.try_into().ok()?)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(at..end)?);
        rest = rest.get(end..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_each_framing_are_read() {
        for (text, ended, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", false, Some("ab")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", true, None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                false,
                Some("abc"),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true, None),
            ("HTTP/1.1 200 OK\r\n\r\nabc", false, None),
            ("HTTP/1.1 200 OK\r\n\r\nabc", true, Some("abc")),
        ] {
            let answer = Answer::parse(text.as_bytes(), ended);
            assert_eq!(answer.map(|answer| answer.body), body.map(|body| body.into()), "{text}");
        }
    }
}
