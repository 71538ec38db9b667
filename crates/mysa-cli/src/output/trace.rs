//! Log of the events of an account on standard error: with `-v` changes, with `-vv` every message.

use mysa_proto::{DeviceId, Topic};
use mysa_tokio::{Event, Events, Monitor};

use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;

/// Logs events until the client ends.
pub(crate) async fn follow(terminal: Terminal, monitor: Monitor, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Some(text) = describe(&monitor, &event) {
            terminal.detail(format!("{}  {text}", timefmt::iso(timefmt::now())));
        }
    }
}

fn describe(monitor: &Monitor, event: &Event) -> Option<String> {
    let name = |device: &DeviceId| {
        monitor.state(device).map_or_else(|| device.to_string(), |view| view::label(&view))
    };
    Some(match event {
        Event::Service(service) => service.to_string(),
        Event::Device { device, changes, .. } if !changes.is_empty() => {
            let fields: Vec<_> = changes.iter().map(|field| field.name().replace('_', " ")).collect();
            format!("{}: {} changed", name(device), fields.join(", "))
        }
        Event::Verdict { device, verdict, .. } => format!("{}: {verdict}", name(device)),
        Event::Message { device, kind, payload } => {
            format!("{}  {} bytes", Topic { device: *device, kind: *kind }, payload.len())
        }
        Event::Unreadable { device, len } => {
            format!("{}: a message of {len} bytes could not be decoded", name(device))
        }
        Event::Contradiction { device } => format!("{} heats although its mode is off", name(device)),
        Event::ClockOff { ahead_ms } => {
            format!("this computer's clock is wrong by {} s", -ahead_ms / 1_000)
        }
        Event::Dropped { count } => format!("{count} events were dropped"),
        _ => return None,
    })
}
