use alloc::borrow::ToOwned;

use super::request::Hosts;
use super::{Method, RestHost, RestRequest};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        pub struct $name(pub(super) RestRequest);

        impl $name {
            /// Wire description of the request.
            #[must_use]
            pub const fn as_request(&self) -> &RestRequest {
                &self.0
            }

            /// Returns the wire description, which cannot be converted back.
            #[must_use]
            pub fn into_request(self) -> RestRequest {
                self.0
            }
        }
    )*};
}

classes! {
    /// Request that only reads, so it may be repeated. Many reads of the service are a `POST`.
    ///
    /// No write converts into a read:
    ///
    /// ```compile_fail,E0308
    /// use mysa_proto::{DeviceId, rest::{self, ReadRequest}};
    ///
    /// fn lock(device: DeviceId) -> ReadRequest {
    ///     rest::set_lock(device, true)
    /// }
    /// ```
    ///
    /// ```compile_fail,E0277
    /// use mysa_proto::rest::{HeaterWrite, ReadRequest};
    ///
    /// fn read(write: HeaterWrite) -> ReadRequest {
    ///     write.into()
    /// }
    /// ```
    ///
    /// Neither does a wire description:
    ///
    /// ```compile_fail,E0423
    /// use mysa_proto::rest::{ReadRequest, SettingsWrite};
    ///
    /// fn read(write: SettingsWrite) -> ReadRequest {
    ///     ReadRequest(write.into_request())
    /// }
    /// ```
    ReadRequest

    /// Write that cannot turn a heater on or off: name, brightness, lock, display unit, limits of the
    /// setpoint, live reporting.
    /// A write that may turn a heater on or off is a [`HeaterWrite`] and not a settings write:
    ///
    /// ```compile_fail,E0308
    /// use mysa_proto::{DeviceId, rest::{self, SettingsWrite}};
    ///
    /// fn resume(device: DeviceId) -> SettingsWrite {
    ///     rest::resume(device)
    /// }
    /// ```
    SettingsWrite

    /// Write that may turn a heater on or off: an update of the structured state, a hold or its end, eco
    /// mode.
    ///
    /// Send it only as part of a command whose effect is observed afterwards.
    HeaterWrite
}

impl ReadRequest {
    /// `GET` of any path, with an optional query, to explore the service. `None` for invalid paths and for the routes
    /// that return credentials. No `GET` of this service is known to change anything.
    ///
    /// ```
    /// use mysa_proto::rest::{RestHost, ReadRequest};
    ///
    /// let request = ReadRequest::get(RestHost::Backend, "/schedule?homeId=7").ok_or("not a path")?;
    /// assert_eq!((request.as_request().path(), request.as_request().query()), ("/schedule", Some("homeId=7")));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn get(host: RestHost, target: &str) -> Option<Self> {
        let plain = target.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\\"<>".contains(&byte));
        if !plain || !target.starts_with('/') || target.len() > 2_048 {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = path.split('/').skip(1);
        // Percent-encoding could hide the forbidden routes, and no path of this service needs it.
        let hides = path.contains('%') || segments.clone().any(|part| part == "." || part == "..");
        let hands_out = segments
            .any(|part| ["iot-token", "matter"].iter().any(|secret| part.eq_ignore_ascii_case(secret)));
        if hides || hands_out {
            return None;
        }
        let mut request = RestRequest::new(Method::Get, host, Hosts::One, path.to_owned());
        request.query = query.to_owned();
        Some(Self(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_path_cannot_reach_the_routes_for_credentials() {
        let get = |target| ReadRequest::get(RestHost::Legacy, target);
        for target in ["/devices", "/homes/7?a=b&c=%20d", "/"] {
            let request = get(target).unwrap();
            assert_eq!(request.as_request().method(), Method::Get);
            assert_eq!(request.as_request().target(), target);
        }
        for bad in [
            "",
            "devices",
            "/a b",
            "/a\r\nx: y",
            "/a#b",
            "/é",
            "/a/../iot-token",
            "/iot-token",
            "/IoT-Token?x",
            "/v2/matter/qr",
            "/iot%2dtoken",
            "https://example.org/",
        ] {
            assert_eq!(get(bad), None, "{bad}");
        }
    }
}
