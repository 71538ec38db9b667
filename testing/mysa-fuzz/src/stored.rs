use mysa_cognito::StoredSession;

/// Token file.
///
/// Input: the text.
///
/// Reading, writing and reading again gives the same. A truncated file, as a crash may leave it, is rejected. The token is never
/// printed.
///
/// ```
/// mysa_fuzz::stored(br#"{"version":1,"account":"ann@example.org","client_id":"c","refresh_token":"secret"}"#);
/// ```
pub fn stored(data: &[u8]) {
    match StoredSession::from_json(data) {
        Ok(session) => {
            let text = session.to_json();
            assert_eq!(StoredSession::from_json(text.as_bytes()).as_ref(), Ok(&session));
            for end in 0..text.len() {
                assert!(StoredSession::from_json(&text.as_bytes()[..end]).is_err(), "cut at {end}");
            }
            // The name of a refusal is printed, and a file may contain the token there.
            if let Some(token) = session.refresh_token.as_ref().map(|token| token.expose())
                && token.len() > 12
                && !session.refused.as_ref().is_some_and(|name| name.contains(token))
            {
                assert!(!format!("{session:?}").contains(token), "a secret is printed");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
