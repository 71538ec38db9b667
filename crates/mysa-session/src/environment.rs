use alloc::string::String;

use mysa_cognito::Pool;
use mysa_sigv4::{Authority, InvalidAuthority};

/// Pools and addresses of the cloud. All of them are public.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Environment {
    /// AWS region of all services, such as `us-east-1`.
    pub region: String,
    /// User pool and app client.
    pub pool: Pool,
    /// Identity pool id.
    pub identity_pool: String,
    /// URL of the user pool's service, without a final slash.
    pub user_pool_url: String,
    /// URL of the identity pool's service, without a final slash.
    pub identity_pool_url: String,
    /// URL of the legacy REST service, without a final slash.
    pub legacy_url: String,
    /// URL of the modern REST service, which provides the structured routes, without a final slash.
    pub backend_url: String,
    /// Host and port of the MQTT broker.
    pub broker: Authority,
    /// Host and port of the control plane of AWS IoT.
    pub iot_control: Authority,
    /// Value of `User-Agent` in REST requests. It names this client, so the vendor can identify its traffic.
    pub user_agent: String,
}

impl Environment {
    /// Production cloud, with the legacy app client and identity pool: the pair whose policy allows publishing.
    #[must_use]
    pub fn mysa() -> Self {
        // A test checks that the constants are well-formed.
        Self::legacy().expect("constants")
    }

    fn legacy() -> Result<Self, InvalidAuthority> {
        Ok(Self {
            region: "us-east-1".into(),
            pool: Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "19efs8tgqe942atbqmot5m36t3"),
            identity_pool: "us-east-1:ebd95d52-9995-45da-b059-56b865a18379".into(),
            user_pool_url: "https://cognito-idp.us-east-1.amazonaws.com".into(),
            identity_pool_url: "https://cognito-identity.us-east-1.amazonaws.com".into(),
            legacy_url: "https://app-prod.mysa.cloud".into(),
            backend_url: "https://mysa-backend.mysa.cloud".into(),
            // Without a port: a `Host` header with `:443` would not match the signature.
            broker: Authority::new("a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com", None)?,
            iot_control: Authority::new("iot.us-east-1.amazonaws.com", None)?,
            user_agent: concat!("mysa-session/", env!("CARGO_PKG_VERSION")).into(),
        })
    }

    /// Production cloud with the app client and identity pool of the 4.x apps. Its policy allows neither publishing nor
    /// receiving, so it is useful only with REST.
    #[must_use]
    pub fn mysa_modern() -> Self {
        Self {
            pool: Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "6cktj934gasnc72f7jo2cmf6rt"),
            identity_pool: "us-east-1:e27f246e-ad23-41ce-ac80-eda86f8be424".into(),
            ..Self::mysa()
        }
    }

    /// Environment whose addresses all use one `https` authority, such as a simulated cloud behind one listener.
    ///
    /// # Errors
    ///
    /// [`InvalidAuthority`] if the host cannot be part of a signature.
    pub fn at(host: &str, port: u16) -> Result<Self, InvalidAuthority> {
        let broker = Authority::new(host, Some(port))?;
        let url = alloc::format!("https://{broker}");
        Ok(Self {
            user_pool_url: url.clone(),
            identity_pool_url: url.clone(),
            legacy_url: url.clone(),
            backend_url: url,
            iot_control: broker.clone(),
            broker,
            ..Self::mysa()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_well_formed() {
        assert_eq!(Environment::mysa().broker.port(), 443);
        assert_eq!(Environment::mysa().pool.name(), "GUFWfhI7g");
        assert_eq!(Environment::at("127.0.0.1", 8443).unwrap().legacy_url, "https://127.0.0.1:8443");
    }
}
