//! Steps and rules of the conformance check, as tables.

/// A rule that a client must keep.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckRule {
    /// Name, such as `filters`.
    pub name: &'static str,
    /// Behaviour that the rule requires of a client.
    pub expects: &'static str,
    /// Origin of the rule.
    pub source: &'static str,
    /// Advice for a client that breaks the rule.
    pub advice: &'static str,
    pub(super) id: Rule,
    pub(super) step: Step,
}

/// Steps of the script, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Connect,
    Subscribe,
    Commands,
    DroppedAcks,
    Cut,
    Storm,
    RefusedSubscription,
    DeniedPublish,
    ExpiredTokens,
    ExpiredCredentials,
    SlowRest,
    Unauthorized,
    Throttled,
    Recovery,
}

impl Step {
    pub(super) const ALL: [Self; 14] = [
        Self::Connect,
        Self::Subscribe,
        Self::Commands,
        Self::DroppedAcks,
        Self::Cut,
        Self::Storm,
        Self::RefusedSubscription,
        Self::DeniedPublish,
        Self::ExpiredTokens,
        Self::ExpiredCredentials,
        Self::SlowRest,
        Self::Unauthorized,
        Self::Throttled,
        Self::Recovery,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Commands => "commands",
            Self::DroppedAcks => "dropped-acks",
            Self::Cut => "cut",
            Self::Storm => "close-storm",
            Self::RefusedSubscription => "refused-subscription",
            Self::DeniedPublish => "denied-publish",
            Self::ExpiredTokens => "expired-tokens",
            Self::ExpiredCredentials => "expired-credentials",
            Self::SlowRest => "slow-rest",
            Self::Unauthorized => "rest-401",
            Self::Throttled => "rest-429",
            Self::Recovery => "recovery",
        }
    }

    /// Action of the simulator, as a verb with its object.
    pub(super) const fn did(self) -> &'static str {
        match self {
            Self::Connect => "waits for a sign-in, credentials and a connection",
            Self::Subscribe => "waits for subscriptions",
            Self::Commands => "waits for a command",
            Self::DroppedAcks => "loses the acknowledgements of the thermostats",
            Self::Cut => "cuts every connection",
            Self::Storm => "closes every connection right after its CONNACK",
            Self::RefusedSubscription => {
                "cuts every connection and refuses the subscriptions of one thermostat"
            }
            Self::DeniedPublish => "denies every publish and closes its connection",
            Self::ExpiredTokens => "lets the id and access tokens expire",
            Self::ExpiredCredentials => "lets the AWS credentials expire and cuts every connection",
            Self::SlowRest => "answers REST requests eight seconds late",
            Self::Unauthorized => "answers REST requests with 401",
            Self::Throttled => "answers REST requests with 429 and Retry-After",
            Self::Recovery => "does nothing more",
        }
    }
}

/// Rules of [`RULES`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    SignIn,
    Rest,
    Credentials,
    Signature,
    ClientId,
    ConnectRate,
    KeepAlive,
    CleanSession,
    Pings,
    Packets,
    Filters,
    OwnTopics,
    CommandType,
    CommandQos,
    CommandSource,
    CommandId,
    CommandValues,
    CommandOrder,
    CommandSpacing,
    Dangerous,
    LostAckRepeats,
    LostAckConnection,
    Reconnect,
    Resubscribe,
    Backoff,
    RefusedFilter,
    OtherFilters,
    DeniedPublish,
    TokenRefresh,
    FreshCredentials,
    SlowRest,
    SlowRestConnection,
    Unauthorized,
    RetryAfter,
    Recovery,
}

/// Most sign-ins with a password in one run.
pub(super) const MAX_SIGN_INS: u64 = 3;
/// Most answers of 401 in a row before the tokens count as not renewed.
pub(super) const MAX_UNAUTHORIZED: u32 = 10;
/// Most refused upgrades in a row.
pub(super) const MAX_REFUSED_UPGRADES: u32 = 5;
/// Most connections while each is closed at once.
pub(super) const MAX_STORM_CONNECTIONS: u32 = 10;
/// Most copies of one command without an acknowledgement, the first included.
pub(super) const MAX_COPIES: u32 = 6;
/// Most requests for a refused subscription.
pub(super) const MAX_REFUSED_FILTERS: u32 = 5;
/// Most publishes of one command that are denied.
pub(super) const MAX_DENIED_COPIES: u32 = 2;
/// Most denied publishes.
pub(super) const MAX_DENIED: u32 = 12;
/// Most requests of one path while answers are slow.
pub(super) const MAX_SLOW_REQUESTS: u32 = 8;
/// Most token renewals and sign-ins while every REST answer is 401.
pub(super) const MAX_RENEWALS: u32 = 4;

const AWS: &str = "AWS IoT Core, service limits";
const COGNITO: &str = "Amazon Cognito, service behaviour";
const MESSAGES: &str = "Mysa messages, as observed by several projects";

const fn rule(
    id: Rule,
    step: Step,
    name: &'static str,
    expects: &'static str,
    source: &'static str,
    advice: &'static str,
) -> CheckRule {
    CheckRule { name, expects, source, advice, id, step }
}

/// All rules, by step.
pub(super) const RULES: &[CheckRule] = &[
    rule(
        Rule::SignIn,
        Step::Connect,
        "sign-in",
        "sign in with the password once, then renew the tokens; at most three sign-ins",
        COGNITO,
        "Keep the refresh token and use it. Sign in again only if it is refused: repeated sign-ins lock the account.",
    ),
    rule(
        Rule::Rest,
        Step::Connect,
        "rest",
        "send the id token with each REST request",
        MESSAGES,
        "Send the id token itself in the header Authorization, without `Bearer`.",
    ),
    rule(
        Rule::Credentials,
        Step::Connect,
        "credentials",
        "ask the identity pool for credentials, and keep them until they expire",
        "Amazon Cognito identity pools",
        "Read Expiration and ask for new credentials shortly before it, not for each connection.",
    ),
    rule(
        Rule::Signature,
        Step::Connect,
        "signature",
        "sign a new URL for each connection",
        "AWS Signature Version 4: a signature is valid for five minutes",
        "Make the presigned URL at the moment of the connection. A stored URL is refused with 403 after minutes.",
    ),
    rule(
        Rule::ClientId,
        Step::Connect,
        "client-id",
        "use a client id that no other connection has",
        "MQTT 3.1.1, [MQTT-3.1.4-2]",
        "Add random characters to the client id, and end the old connection before opening a new one.",
    ),
    rule(
        Rule::ConnectRate,
        Step::Connect,
        "connect-rate",
        "send at most one CONNECT a second with one client id",
        AWS,
        "Wait at least a second, with a random part, before connecting again.",
    ),
    rule(
        Rule::KeepAlive,
        Step::Connect,
        "keep-alive",
        "ask for a keep-alive of 30 to 1200 seconds",
        AWS,
        "Use 30 to 60 s. The broker raises smaller values, and with 0 or large ones a dead connection is noticed late.",
    ),
    rule(
        Rule::CleanSession,
        Step::Connect,
        "clean-session",
        "ask for a clean session",
        "MQTT 3.1.1, section 3.1.2.4",
        "Set the flag. A stored session sends an hour of old messages after a reconnection.",
    ),
    rule(
        Rule::Pings,
        Step::Connect,
        "pings",
        "send something within each keep-alive",
        "MQTT 3.1.1, [MQTT-3.1.2-23] and [MQTT-3.1.2-24]",
        "Send PINGREQ before the keep-alive ends, and end a connection whose PINGRESP does not come.",
    ),
    rule(
        Rule::Packets,
        Step::Connect,
        "packets",
        "send CONNECT at once, and only packets that MQTT and AWS IoT permit",
        "MQTT 3.1.1, [MQTT-3.1.0-1], and AWS IoT Core's MQTT",
        "Send CONNECT as the first packet, no QoS 2, and topics of at most 256 bytes and 7 slashes.",
    ),
    rule(
        Rule::Filters,
        Step::Subscribe,
        "filters",
        "put at most eight filters in one SUBSCRIBE",
        AWS,
        "Split the filters into several SUBSCRIBE packets. The broker closes the connection at nine.",
    ),
    rule(
        Rule::OwnTopics,
        Step::Subscribe,
        "own-topics",
        "subscribe to topics of thermostats that the account lists, without wildcards",
        "access policy of Mysa's broker since 2025",
        "Subscribe to /v1/dev/ID/out for each listed thermostat.",
    ),
    rule(
        Rule::CommandType,
        Step::Commands,
        "command-type",
        "put the number of the thermostat's model in body.type",
        MESSAGES,
        "Use 1 for Baseboard V1, 2 for AC, 3 for in-floor, 4 for Baseboard V2 and 5 for Lite. A thermostat ignores others.",
    ),
    rule(
        Rule::CommandQos,
        Step::Commands,
        "command-qos",
        "publish commands with QoS 1",
        MESSAGES,
        "Use QoS 1 and read its PUBACK. A command of QoS 0 may be lost without a trace.",
    ),
    rule(
        Rule::CommandSource,
        Step::Commands,
        "command-source",
        "name the user in src and the thermostat in dest",
        MESSAGES,
        "Send src {type: 100, ref: the user's UUID} and dest {type: 1, ref: the thermostat's id}.",
    ),
    rule(
        Rule::CommandId,
        Step::Commands,
        "command-id",
        "give each command an id of its own, and keep it where the command is repeated",
        MESSAGES,
        "Use the time in milliseconds, raised where two commands share it. The acknowledgement repeats the id.",
    ),
    rule(
        Rule::CommandValues,
        Step::Commands,
        "command-values",
        "ask for values that the thermostat has",
        MESSAGES,
        "Check range, step and modes of the model before sending.",
    ),
    rule(
        Rule::CommandOrder,
        Step::Commands,
        "command-order",
        "never send an older command after a newer one that changes the same setting",
        "field reports: a repeated publish undoes the user's last change",
        "Drop unacknowledged commands when a newer one replaces them, also across connections.",
    ),
    rule(
        Rule::CommandSpacing,
        Step::Commands,
        "command-spacing",
        "leave at least 350 ms between commands to different thermostats",
        "the pace of Mysa's app, and a field report of lost commands",
        "Queue commands to several thermostats and send one a second.",
    ),
    rule(
        Rule::Dangerous,
        Step::Commands,
        "dangerous",
        "send no message that restarts, unpairs, updates or reprograms a thermostat",
        MESSAGES,
        "Remove MsgType 5, 7 and 40, MsgType 6 with EventType 2, and msg 34.",
    ),
    rule(
        Rule::LostAckRepeats,
        Step::DroppedAcks,
        "repeats",
        "repeat an unacknowledged command a few times at most",
        "field reports: floods of repeated commands",
        "Repeat after several seconds, two or three times, then report the command as unconfirmed.",
    ),
    rule(
        Rule::LostAckConnection,
        Step::DroppedAcks,
        "connection-kept",
        "keep the connection if a thermostat does not acknowledge",
        "field reports: one silent thermostat interrupts all",
        "Treat a missing acknowledgement as the state of one command, not as a broken connection.",
    ),
    rule(
        Rule::Reconnect,
        Step::Cut,
        "reconnect",
        "connect again after the connection was cut",
        "field reports: silent programs after a network failure",
        "Treat each end of the connection as the start of the next attempt.",
    ),
    rule(
        Rule::Resubscribe,
        Step::Cut,
        "resubscribe",
        "subscribe to everything again on the new connection",
        "MQTT 3.1.1, section 3.1.2.4: a clean session has no subscriptions",
        "Keep the wanted filters as state, and send them after each CONNACK.",
    ),
    rule(
        Rule::Backoff,
        Step::Storm,
        "backoff",
        "wait longer after each failure",
        "field reports: connections in a loop for hours",
        "Double the delay up to a minute or so, with a random part. Reset it after a stable minute, not at CONNACK.",
    ),
    rule(
        Rule::RefusedFilter,
        Step::RefusedSubscription,
        "refused-filter",
        "read the codes of SUBACK, and ask for a refused filter rarely",
        "MQTT 3.1.1, section 3.9.3",
        "Report the thermostat as not followed, and try again after minutes.",
    ),
    rule(
        Rule::OtherFilters,
        Step::RefusedSubscription,
        "other-filters",
        "keep the connection and the other subscriptions if one is refused",
        "MQTT 3.1.1, section 3.9.3: each filter has a code of its own",
        "Judge each filter by itself. Do not close the connection for one of them.",
    ),
    rule(
        Rule::DeniedPublish,
        Step::DeniedPublish,
        "denied-publish",
        "do not publish the same again after a publish was denied",
        "field reports: the policy denies publishing for some accounts",
        "Remember that publishing is denied, report it, use REST for commands, and go on listening.",
    ),
    rule(
        Rule::TokenRefresh,
        Step::ExpiredTokens,
        "token-refresh",
        "renew expired tokens with the refresh token",
        COGNITO,
        "Renew at exp, and once after a 401. Do not sign in with the password, and do not repeat requests with the old token.",
    ),
    rule(
        Rule::FreshCredentials,
        Step::ExpiredCredentials,
        "fresh-credentials",
        "ask for new credentials once they have expired, then connect",
        "Amazon Cognito identity pools: credentials last about an hour",
        "Check Expiration before each connection, and drop credentials that are refused with 403.",
    ),
    rule(
        Rule::SlowRest,
        Step::SlowRest,
        "slow-rest",
        "wait for a slow answer",
        "field reports: answers of ten seconds and more",
        "Allow at least 15 s, and do not send a request while the last one of its kind waits.",
    ),
    rule(
        Rule::SlowRestConnection,
        Step::SlowRest,
        "connection-kept",
        "keep the MQTT connection while REST is slow",
        "field reports",
        "Do not wait for REST where MQTT is read or pinged.",
    ),
    rule(
        Rule::Unauthorized,
        Step::Unauthorized,
        "unauthorized",
        "renew the tokens once if REST answers 401, then wait",
        COGNITO,
        "After a second 401 with new tokens report the failure and wait a minute.",
    ),
    rule(
        Rule::RetryAfter,
        Step::Throttled,
        "retry-after",
        "wait as long as Retry-After says",
        "RFC 9110, section 10.2.3, and RFC 6585, section 4",
        "Read the header in seconds, and send no request to this path before.",
    ),
    rule(
        Rule::Recovery,
        Step::Recovery,
        "recovery",
        "be connected and subscribed as at the start",
        "field reports: programs that need a restart after trouble",
        "Compare the wanted subscriptions with those granted after each connection.",
    ),
];

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_rule_is_in_the_table_and_belongs_to_a_step_in_order() {
        let mut last = 0;
        for (index, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.id as usize, index, "{}", rule.name);
            assert!(rule.step as usize >= last, "{}", rule.name);
            last = rule.step as usize;
        }
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
            assert!(RULES.iter().any(|rule| rule.step == step), "{step:?} has no rule");
        }
        let names: BTreeSet<_> = RULES.iter().map(|rule| (rule.step.name(), rule.name)).collect();
        assert_eq!(names.len(), RULES.len());
    }
}
