//! Permission to publish, as earlier commands learned it. It decides the channel of the next command.

use mysa_config::ChannelName;
use mysa_proto::UnixTime;
use mysa_tokio::Settings;

use crate::output::timefmt;

/// Describes the effect of a denial: the channel that commands use now, and the time at which MQTT is tried again.
/// `None` if the denial is so old that the session ignores it.
pub(crate) fn describe(
    denied_at: UnixTime,
    now: UnixTime,
    channel: ChannelName,
    settings: &Settings,
) -> Option<String> {
    // The cloud's clock may be ahead of this computer's clock.
    let age = now.since(denied_at).unwrap_or_default();
    if age >= settings.denial_life {
        return None;
    }
    let commands = match channel {
        ChannelName::Auto | ChannelName::Rest => "commands go by the REST service",
        ChannelName::Mqtt => "commands still go by MQTT",
    };
    let left = settings.read_only_probe.saturating_sub(age);
    let retry = if channel == ChannelName::Mqtt {
        "tried again with the next command".into()
    } else if left.is_zero() {
        "tried again at the next connection".into()
    } else {
        format!("tried again in {}", span(left))
    };
    Some(format!("{commands}: publishing was denied {} ago; {retry}", span(age)))
}

/// Advice on a denial: the names of the setting and the option, and their present values.
pub(crate) fn advice(channel: ChannelName) -> String {
    let now = match channel {
        ChannelName::Auto => {
            "auto, which takes REST while publishing is denied. Models without a REST channel, such as Baseboard V1, are \
             still tried by MQTT"
        }
        ChannelName::Mqtt => "mqtt, which allows no other channel: use auto or rest",
        ChannelName::Rest => "rest, which never publishes a command",
    };
    format!(
        "The option --channel of `mysa set` and the setting `channel` choose the channel. The setting is {now}."
    )
}

fn span(time: std::time::Duration) -> String {
    timefmt::span(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_channel_of_commands_and_the_next_try_of_mqtt() {
        let denied_at = UnixTime::from_secs(1_767_323_045);
        let after = |secs: i64, channel| {
            describe(denied_at, denied_at.plus_millis(secs * 1_000), channel, &Settings::default())
        };
        assert_eq!(
            after(300, ChannelName::Auto).as_deref(),
            Some("commands go by the REST service: publishing was denied 5 min ago; tried again in 5 h")
        );
        assert!(
            after(7 * 3_600, ChannelName::Auto)
                .is_some_and(|text| text.ends_with("tried again at the next connection"))
        );
        assert_eq!(
            after(7 * 3_600, ChannelName::Mqtt).as_deref(),
            Some(
                "commands still go by MQTT: publishing was denied 7 h ago; tried again with the next command"
            )
        );
        assert!(after(-30, ChannelName::Rest).is_some_and(|text| text.contains("denied 0 s ago")));
        assert_eq!(after(24 * 3_600, ChannelName::Auto), None, "it no longer counts");
    }
}
