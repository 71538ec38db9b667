//! `DescribeThing`, the only call of AWS IoT's control plane that clients make: it returns a thermostat's serial
//! number.

use alloc::format;

use serde_json::json;

use crate::Now;
use crate::cloud::Cloud;
use crate::http::{HttpRequest, Reply, decoded};

impl Cloud {
    /// Answers a request to the control plane. Only the access key is checked, not the signature, because the call
    /// changes nothing.
    pub(crate) fn describe_thing(&self, now: Now, request: &HttpRequest<'_>) -> Reply {
        let refused = |status, name, message: &str| {
            Reply::json(status, &json!({ "message": message })).with("x-amzn-errortype", name)
        };
        let lent = request
            .header("authorization")
            .and_then(|sent| sent.split_once("Credential="))
            .and_then(|(_, credential)| credential.split('/').next())
            .and_then(|key| self.identities.lent(key, now.mono));
        let Some(lent) = lent else {
            return refused(403, "UnrecognizedClientException", "The security token is invalid");
        };
        let name = request.path.strip_prefix("/things/").map(decoded).unwrap_or_default();
        if request.method != "GET" || name.is_empty() {
            return refused(404, "UnknownOperationException", "only DescribeThing is known here");
        }
        let Some(index) = self.owned(lent.account, &name) else {
            return refused(403, "AccessDeniedException", "not authorized to perform iot:DescribeThing");
        };
        let thermostat = &self.devices[index].thermostat;
        let id = thermostat.id.as_str();
        Reply::ok(&json!({
            "attributes": { "Serial": thermostat.serial },
            "defaultClientId": id,
            "thingArn": format!("arn:aws:iot:{}:000000000000:thing/{id}", self.names.region),
            "thingName": id,
            "version": 1,
        }))
    }
}
