//! White space, the order of members and escapes in keys do not change what a message says: the fast path and the general
//! reader agree.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod vectors;

use mysa_proto::{DeviceId, Json, Message, RawJson, Topic, TopicKind};
use vectors::{cases, payload};

#[test]
fn every_message_says_the_same_in_every_spelling() {
    use Order::{Own, Reversed, Shuffled, Sorted};
    for case in cases(include_str!("data/messages.json")) {
        let topic = Topic::parse(case["topic"].as_str().unwrap().as_bytes()).unwrap();
        let own = String::from_utf8(payload(&case)).unwrap();
        let json = RawJson::new(own.trim_end_matches('\0')).unwrap();
        let expected = said(topic.kind, &own);
        // The text of a raw value is part of what is said.
        let raw = ["RawJson", "Changeset"].iter().any(|raw| expected.contains(raw));
        let shuffled = (1..=12).map(Shuffled);
        for order in [Own, Sorted, Reversed].into_iter().chain(shuffled).take(if raw { 1 } else { 15 }) {
            for blanks in BLANKS {
                for escapes in [0, 1, 2, 3] {
                    if raw && escapes > 0 {
                        continue;
                    }
                    let mut text = String::new();
                    let mut dice = Dice(match order {
                        Shuffled(seed) => seed,
                        _ => 1_000,
                    });
                    spell(json, order, blanks, escapes, &mut dice, &mut text);
                    let spelling = format!("{order:?}, blanks {blanks:?}, escapes {escapes}");
                    assert_eq!(said(topic.kind, &text), expected, "{}, {spelling}: {text}", case["name"]);
                }
            }
        }
    }
}

/// Every prefix is rejected, and its envelope is read as far as it goes, in any spelling.
#[test]
fn a_message_that_is_cut_is_salvaged_in_every_spelling() {
    let own = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f5"},"time":1767323045,"msg":44,"id":7,"resp_id":8,"body":{"state":{"sp":21.5},"success":1}}"#;
    let json = RawJson::new(own).unwrap();
    for blanks in BLANKS {
        for escapes in [0, 1] {
            let mut text = String::new();
            spell(json, Order::Own, blanks, escapes, &mut Dice(1), &mut text);
            for cut in 1..text.len() {
                assert!(Message::decode(TopicKind::Out, &text.as_bytes()[..cut]).is_err(), "{text} at {cut}");
            }
            let body = text.rfind("success").unwrap_or(text.len() - 8);
            let envelope = Message::salvage(TopicKind::Out, &text.as_bytes()[..body]).unwrap();
            let whole = Message::decode(TopicKind::Out, text.as_bytes()).unwrap();
            assert_eq!(format!("{envelope:?}"), format!("{:?}", whole.envelope), "{text} at {body}");
        }
    }
}

#[test]
fn an_escape_in_the_name_of_the_device_does_not_hide_it() {
    let longest = "a".repeat(DeviceId::MAX_LEN);
    let longest_escaped = format!("{}\\u0061", "a".repeat(DeviceId::MAX_LEN - 1));
    for (name, device) in [
        (r"\u0061\u0030\u0062\u0031\u0063\u0032\u0064\u0033\u0065\u0034\u0066\u0035", Some("a0b1c2d3e4f5")),
        (r"a0b1c2d3e4f\u0035", Some("a0b1c2d3e4f5")),
        (r"\u00410B1C2D3E4F5", Some("a0b1c2d3e4f5")),
        (r"\a", Some("a")),
        (&longest_escaped, Some(&longest)),
        (&format!("a{longest_escaped}"), None),
        (r"a0b1c2d3e4f\u002f", None),
        (r"a0b1c2d3e4f\u00e9", None),
        (r"a0b1c2d3e4f\u0135", None),
        (r"\u00", None),
    ] {
        let device = device.map(|id| DeviceId::new(id).unwrap());
        let ack =
            format!(r#"{{"src":{{"type":1,"ref":"{name}"}},"msg":44,"resp_id":8,"body":{{"success":0}}}}"#);
        let v1 = format!(r#"{{"Device":"{name}","MsgType":0}}"#);
        for text in [ack, v1] {
            let message = Message::decode(TopicKind::Out, text.as_bytes()).unwrap();
            assert_eq!(message.envelope.device, device, "{text}");
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
    said.replace([' ', '\t'], "").replace("\\r", "").replace("\\n", "").replace("\\t", "")
}

/// White space in places that are drawn among these; an empty text is none.
const BLANKS: [Blanks; 7] = [
    Blanks { before_key: &[""], before_value: &[""], elsewhere: &[""] },
    Blanks { before_key: &[" "], before_value: &[" "], elsewhere: &[""] },
    Blanks { before_key: &["\n    "], before_value: &[" "], elsewhere: &[""] },
    Blanks { before_key: &["\r\n\t\t"], before_value: &["\t"], elsewhere: &[""] },
    Blanks { before_key: &[""], before_value: &[" "], elsewhere: &["\n"] },
    Blanks { before_key: &["", " "], before_value: &["", " "], elsewhere: &["", "", "", " "] },
    Blanks {
        before_key: &["", " ", "\n", "\t", "     ", "\n  ", "\n   ", "\n            ", "\n\n        "],
        before_value: &["", " ", "  ", "\r", "\n  \t"],
        elsewhere: &["", " ", "\t", "\r\n", "\n    "],
    },
];

#[derive(Clone, Copy, Debug)]
struct Blanks {
    before_key: &'static [&'static str],
    before_value: &'static [&'static str],
    elsewhere: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Own,
    Sorted,
    Reversed,
    Shuffled(u64),
}

/// Random numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ mixed >> 27) >> 32) as usize % limit
    }

    fn draw(&mut self, texts: &'static [&'static str]) -> &'static str {
        texts[self.below(texts.len())]
    }
}

/// Writes a value with the members of its objects in this order, with blanks, and with every `escapes`th key escaped.
fn spell(json: RawJson<'_>, order: Order, blanks: Blanks, escapes: usize, dice: &mut Dice, out: &mut String) {
    if !matches!(json.value(), Json::Object(_)) {
        out.push_str(json.as_str());
        return;
    }
    let mut members: Vec<_> = json.members().collect();
    match order {
        Order::Own => {}
        Order::Sorted => members.sort_by_key(|(key, _)| key.as_raw()),
        Order::Reversed => members.reverse(),
        Order::Shuffled(_) => {
            for at in (1..members.len()).rev() {
                members.swap(at, dice.below(at + 1));
            }
        }
    }
    out.push('{');
    for (at, (key, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let escaped = escapes != 0 && (at + 1) % escapes == 0;
        let key = if escaped { escape(key.as_raw(), dice) } else { key.as_raw().to_owned() };
        let (before_key, before_colon) = (dice.draw(blanks.before_key), dice.draw(blanks.elsewhere));
        out.push_str(&format!("{before_key}\"{key}\"{before_colon}:{}", dice.draw(blanks.before_value)));
        spell(value, order, blanks, escapes, dice, out);
        out.push_str(dice.draw(blanks.elsewhere));
    }
    out.push_str(dice.draw(blanks.elsewhere));
    out.push('}');
}

/// Writes one character of a key as an escape.
fn escape(key: &str, dice: &mut Dice) -> String {
    let Some(at) = key.is_ascii().then(|| dice.below(key.len().max(1))).filter(|&at| at < key.len()) else {
        return key.to_owned();
    };
    let number = u32::from(key.as_bytes()[at]);
    let escape = if dice.below(2) == 0 { format!("\\u{number:04X}") } else { format!("\\u{number:04x}") };
    format!("{}{escape}{}", &key[..at], &key[at + 1..])
}
