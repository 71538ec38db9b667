//! White space, the order of members and escapes in keys do not change what a message says: the fast path and the general
//! reader agree.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod vectors;

use mysa_proto::{Json, Message, RawJson, Topic, TopicKind};
use vectors::{cases, payload};

#[test]
fn every_message_says_the_same_in_every_spelling() {
    for case in cases(include_str!("data/messages.json")) {
        let topic = Topic::parse(case["topic"].as_str().unwrap().as_bytes()).unwrap();
        let own = String::from_utf8(payload(&case)).unwrap();
        let json = RawJson::new(own.trim_end_matches('\0')).unwrap();
        let expected = said(topic.kind, &own);
        for reversed in [false, true] {
            // The text of a raw value is part of what is said.
            if reversed && expected.contains("RawJson") {
                continue;
            }
            for (blank, escapes) in [("", 0), (" ", 0), ("\r\n\t", 0), ("", 1), ("", 2), (" ", 3)] {
                let mut text = String::new();
                spell(json, reversed, blank, escapes, &mut text);
                assert_eq!(said(topic.kind, &text), expected, "{}: {text}", case["name"]);
            }
        }
    }
}

#[test]
fn the_last_value_of_a_repeated_key_wins() {
    for (repeated, single) in [
        (r#""state":{"br":50,"sp":21.5},"state":{"sp":20.0}"#, r#""state":{"sp":20.0}"#),
        (r#""state":{"sp":21.5},"success":1,"state":null"#, r#""success":1"#),
        (r#""state":{"sp":21.5,"sp":22.25,"lk":1,"lk":0}"#, r#""state":{"sp":22.25,"lk":0}"#),
        (r#""success":1,"success":0,"trig_src":3,"trig_src":1"#, r#""success":0,"trig_src":1"#),
    ] {
        let message = |body: &str, src: &str| {
            said(TopicKind::Out, &format!(r#"{{{src},"msg":44,"id":1,"body":{{"type":1,{body}}}}}"#))
        };
        let src = r#""src":{"type":1,"ref":"a0b1c2d3e4f5"}"#;
        assert_eq!(message(repeated, src), message(single, src), "{repeated}");
        let twice = format!(r#""src":{{"type":100,"ref":"b"}},{src}"#);
        assert_eq!(message(repeated, &twice), message(single, src), "{repeated}");
    }
}

fn said(topic: TopicKind, text: &str) -> String {
    let message = Message::decode(topic, text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut unknown: Vec<_> = message.unknown_fields().map(|(key, _)| key.to_string()).collect();
    unknown.sort();
    let said = format!("{:?} {:?} {unknown:?}", message.envelope, message.body);
    said.replace([' ', '\t'], "").replace("\\r\\n", "").replace("\\t", "")
}

/// Writes a value with its members in reverse, with blanks, and with every `escapes`th key escaped.
fn spell(json: RawJson<'_>, reversed: bool, blank: &str, escapes: usize, out: &mut String) {
    if !matches!(json.value(), Json::Object(_)) {
        out.push_str(json.as_str());
        return;
    }
    let mut members: Vec<_> = json.members().collect();
    if reversed {
        members.reverse();
    }
    out.push('{');
    for (at, (key, value)) in members.into_iter().enumerate() {
        let separator = if at == 0 { "" } else { "," };
        // Unusual white space is left to the slow path.
        let before_colon = if blank.len() > 1 { blank } else { "" };
        let escaped = escapes != 0 && (at + 1) % escapes == 0;
        let key = match key.as_raw().chars().next() {
            Some(first) if escaped && first.is_ascii_alphanumeric() => {
                format!("\\u{:04X}{}", u32::from(first), &key.as_raw()[1..])
            }
            _ => key.as_raw().to_owned(),
        };
        out.push_str(&format!("{separator}{blank}\"{key}\"{before_colon}:{blank}"));
        spell(value, reversed, blank, escapes, out);
    }
    out.push_str(blank);
    out.push('}');
}
