//! What happens on an account while a command does its work, on standard error: with `-v` what changes, with `-vv` every
//! message.

use mysa_proto::{DeviceId, Topic};
use mysa_tokio::{Event, Events, Monitor};

use crate::output::record::printable;
use crate::output::terminal::Terminal;
use crate::output::timefmt;

/// Tells until the client ends.
pub(crate) async fn follow(terminal: Terminal, monitor: Monitor, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Some(text) = said(&monitor, &event) {
            terminal.detail(format!("{}  {text}", timefmt::iso(timefmt::now())));
        }
    }
}

fn said(monitor: &Monitor, event: &Event) -> Option<String> {
    let name = |device: &DeviceId| {
        monitor.state(device).map_or_else(|| device.to_string(), |view| printable(&view.label()))
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
            format!("{}: a message of {len} bytes cannot be read", name(device))
        }
        Event::Contradiction { device } => format!("{} heats although its mode is off", name(device)),
        Event::ClockOff { ahead_ms } => {
            format!("this computer's clock is wrong by {} s", -ahead_ms / 1_000)
        }
        Event::Dropped { count } => format!("{count} events went by unseen"),
        _ => return None,
    })
}
