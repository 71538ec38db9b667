use mysa_session::Environment;
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use serde::Deserialize;
use time::OffsetDateTime;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::error;
use crate::value::{read, seconds};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with accessKeyId and secretKey")]
struct Keys {
    access_key_id: String,
    secret_key: String,
    session_token: Option<String>,
}

/// Signs the URL of a WebSocket to the broker: `new WebSocket(presign(credentials, Date.now()), "mqtt")`.
///
/// The URL is a secret. Sign a new one for every attempt: AWS accepts it for about five minutes. `host` is the broker of
/// the production cloud by default, in `region` `us-east-1`.
///
/// @throws if the credentials, the time or the host are invalid.
#[wasm_bindgen]
pub fn presign(
    #[wasm_bindgen(
        unchecked_param_type = "Pick<AwsCredentials, 'accessKeyId' | 'secretKey'> & { sessionToken?: string }"
    )]
    credentials: &JsValue,
    now: f64,
    host: Option<String>,
    region: Option<String>,
) -> Result<String, JsValue> {
    let keys: Keys = read(credentials, "credentials")?;
    let at = OffsetDateTime::from_unix_timestamp(seconds(now)?).map_err(error)?;
    let environment = Environment::mysa();
    let authority = match host {
        Some(host) => Authority::parse(&host).map_err(error)?,
        None => environment.broker,
    };
    let keys = Credentials::new(keys.access_key_id, keys.secret_key, keys.session_token.as_deref());
    Presigner::iot(region.unwrap_or(environment.region))
        .presign(&keys, &authority, "/mqtt", at, None, TokenRule::AfterSigning)
        .map(|url| url.as_str().to_owned())
        .map_err(error)
}
