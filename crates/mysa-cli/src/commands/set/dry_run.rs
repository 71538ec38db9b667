//! The payload of a command that is not sent.

use mysa_proto::rest::{self, DeviceList};
use mysa_proto::{AcCapabilities, Channel, Command, EnvelopeForm, EnvelopeMeta, Limits, StructuredUpdate};
use mysa_tokio::Change;

use super::plan::Plan;
use super::report::describe_refusal;
use crate::output::timefmt;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::{Exit, Failure, Result};

/// What would be sent, and to where.
pub(crate) struct Payload {
    pub(crate) to: String,
    pub(crate) text: String,
    pub(crate) sent: Change,
}

/// Encodes the command after every check that a real one passes.
pub(crate) async fn show(context: &Context, cloud: &Cloud, plan: &Plan) -> Result<Payload> {
    let view = &plan.view;
    // The record has the user's own limits, and the capabilities of an air conditioner.
    let record = match cloud.client.request(rest::devices()).await {
        Ok(response) => DeviceList::decode(&response.body)
            .ok()
            .and_then(|list| list.devices.into_values().find(|record| record.id == view.id)),
        Err(_) => None,
    };
    let ac: Option<AcCapabilities> = record.as_ref().and_then(|record| record.ac_capabilities.clone());
    let limits = Limits {
        min_setpoint: record.as_ref().and_then(|record| record.min_setpoint),
        max_setpoint: record.as_ref().and_then(|record| record.max_setpoint),
        ac: ac.as_ref(),
        mode: view.state.mode().map(|field| field.value),
        tracked_sensor: view.state.tracked_sensor().map(|field| field.value),
        ..Limits::default()
    };
    let mut payload = Vec::new();
    let refused = |refusal: mysa_proto::InvalidCommand| {
        Failure::new(Exit::Refused, format!("refused: {}", describe_refusal(&refusal, plan.unit)))
    };
    let by_mqtt = view.model.family().is_none_or(|family| family.is_reached_by(Channel::Mqtt));
    let (to, sent) = if by_mqtt {
        let table = context.config.mode_table.table();
        let now = timefmt::now();
        let command = Command::new(view.id, &view.model, &limits, &table, plan.sent, now).map_err(refused)?;
        let id = u64::try_from(now.as_millis()).unwrap_or_default();
        command.encode(
            &EnvelopeMeta { id, time: now, app_ref: "USER-ID", form: EnvelopeForm::Observed },
            &mut payload,
        );
        (format!("/v1/dev/{}/in", view.id), *command.change())
    } else {
        let update = StructuredUpdate::new(&view.model, &limits, plan.sent).map_err(refused)?;
        update.encode(&mut payload);
        (format!("POST /state/{}/update", view.id), *update.change())
    };
    Ok(Payload { to, text: String::from_utf8_lossy(&payload).into_owned(), sent })
}
