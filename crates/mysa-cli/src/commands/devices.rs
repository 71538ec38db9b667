//! `mysa devices`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_proto::{DeviceId, Family};
use mysa_tokio::{DeviceView, Error, RequestError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::args::Devices;
use crate::output::record::{self, Record, Value};
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::output::view;
use crate::support::cloud::{Cloud, Context, throttled};
use crate::support::exit::Result;

/// Time limit for all serial numbers together.
const SERIALS_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of serial numbers requested at once; the session sends fewer requests at a time.
const SERIALS_AT_ONCE: usize = 8;

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Devices) -> Result<()> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let views = cloud.client.devices();
    let serials = if args.serials { Some(serials(terminal, &cloud, &views).await) } else { None };
    let serial_of = |view: &DeviceView| serials.as_ref().map(|serials| serials.get(&view.id).cloned());
    if terminal.json {
        let mut record = record::document();
        let devices = views.iter().map(|view| {
            let mut device = Record::new();
            device
                .put("id", view.id.as_str())
                .put("name", view.name.as_deref())
                .put("model", view.model.as_str());
            device.put("family", view.model.family().map(Family::name));
            device.put("home_id", view.home.as_deref());
            if let Some(serial) = serial_of(view) {
                device.put("serial", serial);
            }
            device
                .put("rated_power_w", context.config.rated_watts(&view.id).map(mysa_proto::Watts::as_watts));
            Value::Record(device)
        });
        record.put("devices", devices.collect::<Vec<_>>());
        terminal.line(record.to_json())?;
    } else {
        let mut heads = vec!["NAME", "ID", "MODEL", "TYPE"];
        heads.extend(args.serials.then_some("SERIAL"));
        let rows: Vec<Vec<String>> = views
            .iter()
            .map(|view| {
                let family = view.model.family().map_or("unknown model, read-only", Family::name);
                let mut row = vec![
                    view::label(view),
                    view.id.to_string(),
                    view.model.as_str().to_owned(),
                    family.to_owned(),
                ];
                row.extend(serial_of(view).map(|serial| serial.unwrap_or_else(|| "-".to_owned())));
                row
            })
            .collect();
        for line in table::render(&heads, &rows, usize::MAX) {
            terminal.line(line)?;
        }
    }
    cloud.close(terminal).await;
    Ok(())
}

/// Returns the serial numbers that AWS IoT provides. Each reason for a missing number is printed once.
async fn serials(terminal: &Terminal, cloud: &Cloud, views: &[DeviceView]) -> BTreeMap<DeviceId, String> {
    let deadline = Instant::now() + SERIALS_TIMEOUT;
    let mut found = BTreeMap::new();
    let mut reasons = BTreeSet::new();
    for some in views.chunks(SERIALS_AT_ONCE) {
        let mut requests = JoinSet::new();
        for view in some {
            let (client, id) = (cloud.client.clone(), view.id);
            requests.spawn(async move { (id, timeout_at(deadline, client.describe_thing(&id)).await) });
        }
        for (id, answer) in requests.join_all().await {
            match answer {
                Ok(Ok(thing)) => match thing.serial {
                    Some(serial) => drop(found.insert(id, serial)),
                    None => drop(reasons.insert("AWS IoT has no number for some thermostats".to_owned())),
                },
                Ok(Err(error)) => drop(reasons.insert(describe(&error))),
                Err(_) => drop(reasons.insert("AWS IoT did not answer in time".to_owned())),
            }
        }
    }
    for reason in reasons {
        terminal.say(format!("serial numbers: {reason}"));
    }
    found
}

fn describe(error: &Error) -> String {
    match error {
        Error::Request(RequestError::Refused { status: 403, .. }) => {
            "AWS IoT does not permit this account to read them (HTTP 403)".to_owned()
        }
        Error::Request(RequestError::Refused { status: 429, retry_after, .. }) => {
            throttled(*retry_after).to_string()
        }
        Error::Request(RequestError::Refused { status, .. }) => format!("AWS IoT answered HTTP {status}"),
        Error::Request(RequestError::NotSent) => "the account got no AWS credentials in time".to_owned(),
        error => error.to_string(),
    }
}
