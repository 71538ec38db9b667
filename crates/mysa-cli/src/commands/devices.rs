//! `mysa devices`.

use mysa_proto::Family;

use crate::output::record::{Record, Value};
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::output::view;
use crate::support::cloud::Context;
use crate::support::exit::Result;

pub(crate) async fn run(terminal: &Terminal, context: &Context) -> Result<()> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let views = cloud.client.devices();
    if terminal.json {
        let mut record = Record::document();
        let devices = views.iter().map(|view| {
            let mut device = Record::new();
            device
                .put("id", view.id.as_str())
                .put("name", view.name.as_deref())
                .put("model", view.model.as_str());
            device.put("family", view.model.family().map(Family::name));
            device.put("home_id", view.home.as_deref());
            device
                .put("rated_power_w", context.config.rated_watts(&view.id).map(mysa_proto::Watts::as_watts));
            Value::Record(device)
        });
        record.put("devices", devices.collect::<Vec<_>>());
        terminal.line(record.to_json())?;
    } else {
        let rows: Vec<Vec<String>> = views
            .iter()
            .map(|view| {
                let family = view.model.family().map_or("unknown model, read-only", Family::name);
                vec![
                    view::label(view),
                    view.id.to_string(),
                    view.model.as_str().to_owned(),
                    family.to_owned(),
                ]
            })
            .collect();
        for line in table::render(&["NAME", "ID", "MODEL", "TYPE"], &rows, usize::MAX) {
            terminal.line(line)?;
        }
    }
    cloud.close(terminal).await;
    Ok(())
}
