use alloc::string::String;
use core::fmt;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::date::AmzDate;
use crate::hash::{ALGORITHM, EMPTY_PAYLOAD, Hex, SigningKey, TERMINATOR};
use crate::presign::{SIGNATURE, TAIL_LEN, date_of, push_rest, push_token};
use crate::secret::Secret;
use crate::{Authority, Credentials, PresignError, PresignedUrl, Presigner, TokenRule};

/// Signs URLs for one endpoint with one set of credentials, and keeps what stays the same for a UTC day: the signing
/// key, the head of the canonical request half hashed, and the fixed parts of the URL.
///
/// ```
/// use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
/// use time::OffsetDateTime;
///
/// let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None);
/// let authority = Authority::new("example.amazonaws.com", None)?;
/// let mut presigner =
///     Presigner::iot("us-east-1").for_days(credentials, authority, "/mqtt", TokenRule::AfterSigning)?;
/// let before_midnight = OffsetDateTime::from_unix_timestamp(1_767_225_599)?;
/// let after = OffsetDateTime::from_unix_timestamp(1_767_225_600)?;
/// assert!(presigner.presign(before_midnight, None)?.as_str().contains("%2F20251231%2F"));
/// assert!(presigner.presign(after, None)?.as_str().contains("%2F20260101%2F"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DayPresigner {
    presigner: Presigner,
    credentials: Credentials,
    authority: Authority,
    path: String,
    token_rule: TokenRule,
    /// `&X-Amz-Security-Token=` and the encoded token, or nothing.
    token: Secret,
    /// `\nhost:`, the host and the end of the canonical request.
    after_query: String,
    day: Option<Day>,
}

/// What changes at midnight UTC.
#[derive(Clone)]
struct Day {
    date: AmzDate,
    /// The URL up to and including the day.
    url: String,
    /// The canonical request as far.
    head: Sha256,
    key: SigningKey,
    /// From the end of the time to the hash of the canonical request.
    scope: String,
}

impl DayPresigner {
    pub(crate) fn new(
        presigner: Presigner,
        credentials: Credentials,
        authority: Authority,
        path: &str,
        token_rule: TokenRule,
    ) -> Self {
        let mut token = String::with_capacity(
            credentials.session_token().map_or(0, |token| "&X-Amz-Security-Token=".len() + 3 * token.len()),
        );
        push_token(&mut token, credentials.session_token());
        let after_query = ["\nhost:", authority.host_header(), "\n\nhost\n", EMPTY_PAYLOAD].concat();
        Self {
            presigner,
            credentials,
            authority,
            path: path.into(),
            token_rule,
            token: Secret::new(token),
            after_query,
            day: None,
        }
    }

    /// Signs for `time`. Makes one allocation, the URL, unless the UTC date is another than at the last call.
    ///
    /// # Errors
    ///
    /// The lifetime or the date cannot be written; see [`PresignError`].
    pub fn presign(
        &mut self,
        time: OffsetDateTime,
        expires: Option<u32>,
    ) -> Result<PresignedUrl, PresignError> {
        let date = date_of(time, expires)?;
        let day = match self.day.take().filter(|day| day.date.day() == date.day()) {
            Some(day) => day,
            None => self.begin_day(date),
        };
        let token = self.token.expose();
        let (signed, appended) = match self.token_rule {
            TokenRule::Signed => (token, ""),
            TokenRule::AfterSigning => ("", token),
        };
        let mut url = String::with_capacity(day.url.len() + TAIL_LEN + token.len());
        url.push_str(&day.url);
        push_rest(&mut url, &date, expires, |url| url.push_str(signed));
        let hash = day
            .head
            .clone()
            .chain_update(url.get(day.url.len()..).unwrap_or_default())
            .chain_update(&self.after_query);
        let signature =
            day.key.sign(&[ALGORITHM, "\n", date.as_str(), &day.scope, Hex::of_hash(hash).as_str()]);
        for part in [SIGNATURE, signature.as_str(), appended] {
            url.push_str(part);
        }
        self.day = Some(day);
        Ok(PresignedUrl::from_signed(url))
    }

    /// The endpoint, with the `Host` header to send.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn begin_day(&self, date: AmzDate) -> Day {
        let Presigner { region, service, method } = &self.presigner;
        let mut url = String::new();
        let query_at =
            self.presigner.push_prefix(&mut url, &self.credentials, &self.authority, &self.path, &date);
        let head = [method.as_str(), "\n", &self.path, "\n", url.get(query_at..).unwrap_or_default()]
            .iter()
            .fold(Sha256::new(), |hash, piece| hash.chain_update(piece));
        let key = SigningKey::derive(self.credentials.aws4_secret(), date.day(), region, service);
        let scope = ["\n", date.day(), "/", region, "/", service, "/", TERMINATOR, "\n"].concat();
        Day { date, url, head, key, scope }
    }
}

impl fmt::Debug for DayPresigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DayPresigner")
            .field("presigner", &self.presigner)
            .field("credentials", &self.credentials)
            .field("authority", &self.authority)
            .field("path", &self.path)
            .field("token_rule", &self.token_rule)
            .field("day", &self.day.as_ref().map(|day| day.date.day()))
            .finish_non_exhaustive()
    }
}
