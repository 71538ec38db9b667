use alloc::string::String;
use core::fmt;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::date::AmzDate;
use crate::presign::{SIGNATURE, TAIL_LEN, TOKEN, date_of, push_rest, push_token};
use crate::secret::Secret;
use crate::signing_key::{EMPTY_PAYLOAD, Hex, SigningKey, TERMINATOR, update_all};
use crate::{Authority, Credentials, PresignError, PresignedUrl, Presigner, TokenRule};

/// Presigner for one endpoint and one set of credentials that caches the work of a UTC day: the signing key, the hash
/// state after the fixed head of the canonical request, and the fixed parts of the URL.
///
/// ```
/// use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
/// use time::OffsetDateTime;
///
/// let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None);
/// let authority = Authority::new("example.amazonaws.com", None)?;
/// let mut presigner =
///     Presigner::iot("us-east-1").into_cached(credentials, authority, "/mqtt", TokenRule::AfterSigning)?;
/// let before_midnight = OffsetDateTime::from_unix_timestamp(1_767_225_599)?;
/// let after = OffsetDateTime::from_unix_timestamp(1_767_225_600)?;
/// assert!(presigner.presign(before_midnight, None)?.as_str().contains("%2F20251231%2F"));
/// assert!(presigner.presign(after, None)?.as_str().contains("%2F20260101%2F"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CachedPresigner {
    presigner: Presigner,
    credentials: Credentials,
    authority: Authority,
    path: String,
    token_rule: TokenRule,
    /// `&X-Amz-Security-Token=` and the encoded token, or empty.
    token: Secret,
    /// `\nhost:`, the host and the end of the canonical request.
    after_query: String,
    day: Option<Day>,
}

/// Values that change at midnight UTC.
#[derive(Clone)]
struct Day {
    date: AmzDate,
    /// The URL up to and including the day.
    url: String,
    /// Hash state after the head of the canonical request, in whole blocks.
    head: Sha256,
    /// Rest of the head, shorter than a block.
    carry: String,
    key: SigningKey,
    /// The string to sign between the time and the hash of the canonical request.
    scope: String,
}

impl CachedPresigner {
    pub(crate) fn new(
        presigner: Presigner,
        credentials: Credentials,
        authority: Authority,
        path: &str,
        token_rule: TokenRule,
    ) -> Self {
        let encoded = credentials.encoded_token();
        let mut token = String::with_capacity(encoded.map_or(0, |encoded| TOKEN.len() + encoded.len()));
        push_token(&mut token, encoded);
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

    /// Signs for `time`. Allocates once, for the URL, unless the UTC date differs from that of the last call.
    ///
    /// # Errors
    ///
    /// [`PresignError::Expires`] or [`PresignError::Date`].
    pub fn presign(
        &mut self,
        time: OffsetDateTime,
        expires: Option<u32>,
    ) -> Result<PresignedUrl, PresignError> {
        let date = date_of(time, expires)?;
        let day = match &mut self.day {
            Some(day) if day.date.as_bytes()[..8] == date.as_bytes()[..8] => day,
            slot => {
                slot.insert(Day::begin(&self.presigner, &self.credentials, &self.authority, &self.path, date))
            }
        };
        let token = self.token.expose();
        let (signed, appended) = match self.token_rule {
            TokenRule::Signed => (token, ""),
            TokenRule::AfterSigning => ("", token),
        };
        let mut url = String::with_capacity(day.url.len() + TAIL_LEN + token.len());
        url.push_str(&day.url);
        push_rest(&mut url, &date, expires, |url| url.push_str(signed));
        let mut hash = day.head.clone();
        let rest = [&day.carry, url.get(day.url.len()..).unwrap_or_default(), &self.after_query];
        update_all(&rest, |bytes| hash.update(bytes));
        let hash = Hex::of_hash(hash);
        let to_sign: [&[u8]; 4] = [TO_SIGN, date.as_bytes(), day.scope.as_bytes(), hash.as_bytes()];
        let signature = day.key.sign(&to_sign);
        for part in [SIGNATURE, signature.as_str(), appended] {
            url.push_str(part);
        }
        Ok(PresignedUrl::from_signed(url))
    }

    /// Endpoint, with the `Host` header to send.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl Day {
    fn begin(
        presigner: &Presigner,
        credentials: &Credentials,
        authority: &Authority,
        path: &str,
        date: AmzDate,
    ) -> Self {
        let Presigner { region, service, method } = presigner;
        let mut url = String::new();
        let query_at = presigner.push_prefix(&mut url, credentials, authority, path, &date);
        let mut head = [method.as_str(), "\n", path, "\n", url.get(query_at..).unwrap_or_default()].concat();
        // The head is ASCII, so it can be split at any byte.
        let carry = head.split_off(head.len() / BLOCK * BLOCK);
        let key = SigningKey::derive(credentials.aws4_secret(), date.day(), region, service);
        let scope = ["\n", date.day(), "/", region, "/", service, "/", TERMINATOR, "\n"].concat();
        Self { date, url, head: Sha256::new_with_prefix(head), carry, key, scope }
    }
}

impl fmt::Debug for CachedPresigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedPresigner")
            .field("presigner", &self.presigner)
            .field("credentials", &self.credentials)
            .field("authority", &self.authority)
            .field("path", &self.path)
            .field("token_rule", &self.token_rule)
            .field("day", &self.day.as_ref().map(|day| day.date.day()))
            .finish_non_exhaustive()
    }
}

const TO_SIGN: &[u8] = b"AWS4-HMAC-SHA256\n";
/// Block size of SHA-256 in bytes.
const BLOCK: usize = 64;
