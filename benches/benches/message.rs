//! Decoding a device's message, compared with other JSON crates into structs that borrow and name only these fields, and
//! into a `Value`. All return the same temperature. Then the same messages as other writers of JSON would spell them.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::fmt::Write as _;
use std::hint::black_box;

use hifijson::token::Lex as _;
use hifijson::{SliceLexer, num::LexWrite as _, str::LexAlloc as _};
use mysa_benches::Comparison;
use mysa_proto::{Body, Message, TopicKind};
use serde::Deserialize;
use serde_json::Value;

const STATUS: &str = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
const V1_STATUS: &str = r#"{"ComboTemp":22.41,"Current":6.27,"Device":"a0b1c2d3e4f5","Humidity":41.0,"MainTemp":19.65,"MsgType":0,"SetPoint":20.5,"Stream":1,"ThermistorTemp":0.0,"Timestamp":1767323045}"#;
const ACK: &str = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f5"},"time":1767323045,"msg":44,"id":7100200300400500621,"resp_id":1767323045678,"body":{"state":{"br":50,"ho":1,"lk":0,"md":3,"sp":21.5},"success":1,"trig_src":3,"type":1}}"#;

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Mcm<'a, B> {
    ver: Option<&'a str>,
    #[serde(borrow)]
    src: Option<Party<'a>>,
    time: Option<i64>,
    msg: Option<i64>,
    id: Option<u64>,
    resp_id: Option<u64>,
    body: Option<B>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Party<'a> {
    r#type: Option<i64>,
    r#ref: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Status {
    amb_temp: Option<f64>,
    hum: Option<f64>,
    stpt: Option<f64>,
    dty_cycle: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct V1Status<'a> {
    combo_temp: Option<f64>,
    current: Option<f64>,
    device: Option<&'a str>,
    humidity: Option<f64>,
    main_temp: Option<f64>,
    msg_type: Option<i64>,
    set_point: Option<f64>,
    stream: Option<i64>,
    thermistor_temp: Option<f64>,
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct Ack {
    state: Option<State>,
    success: Option<i64>,
    trig_src: Option<i64>,
    r#type: Option<i64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded for the comparison only")]
struct State {
    br: Option<i64>,
    ho: Option<i64>,
    lk: Option<i64>,
    md: Option<i64>,
    sp: Option<f64>,
}

fn ours(payload: &str) -> f64 {
    let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
    let celsius = match message.body {
        Body::Status(status) => status.ambient,
        Body::V1Status(status) => status.ambient,
        Body::Ack(ack) => ack.state.unwrap().setpoint,
        _ => None,
    };
    celsius.unwrap().as_degrees()
}

fn value(payload: &str, pointer: &str) -> f64 {
    let value: Value = serde_json::from_slice(payload.as_bytes()).unwrap();
    value.pointer(pointer).unwrap().as_f64().unwrap()
}

/// Reads the numbers of a status with a lexer over a slice, by hand. Skips strings and unknown members.
fn by_hand(payload: &str) -> f64 {
    fn value(next: u8, lexer: &mut SliceLexer<'_>, fields: &mut [f64; 7]) -> Result<(), hifijson::Error> {
        if next != b'{' {
            return hifijson::ignore::parse(next, lexer);
        }
        lexer.discarded().seq(b'}', SliceLexer::ws_peek, |next, lexer| {
            lexer.expect(|_| Some(next), b'"').ok_or(hifijson::Expect::String)?;
            let key = lexer.str_string().map_err(hifijson::Error::Str)?;
            lexer.expect(SliceLexer::ws_peek, b':').ok_or(hifijson::Expect::Colon)?;
            let next = lexer.ws_peek().ok_or(hifijson::Expect::Value)?;
            let names = ["ambTemp", "hum", "stpt", "dtyCycle", "time", "msg", "id"];
            match names.iter().position(|name| key == *name) {
                Some(at) if next.is_ascii_digit() => {
                    let (text, _) = lexer.num_string().validated().map_err(hifijson::Error::Num)?;
                    fields[at] = text.parse().unwrap();
                    Ok(())
                }
                _ => value(next, lexer, fields),
            }
        })
    }
    let mut fields = [f64::NAN; 7];
    let mut lexer = SliceLexer::new(payload.as_bytes());
    lexer.exactly_one(SliceLexer::ws_peek, |next, lexer| value(next, lexer, &mut fields)).unwrap();
    black_box(fields)[0]
}

fn main() {
    peers();
    for (title, own) in [("a V2 status", STATUS), ("a V1 status", V1_STATUS), ("an acknowledgement", ACK)] {
        println!("{}", spellings(&format!("{title} in other spellings"), own));
    }
}

fn peers() {
    let status = || {
        let message: Mcm<'_, Status> = serde_json::from_slice(STATUS.as_bytes()).unwrap();
        message.body.unwrap().amb_temp.unwrap()
    };
    let v1 = || {
        let message: V1Status<'_> = serde_json::from_slice(V1_STATUS.as_bytes()).unwrap();
        message.main_temp.unwrap()
    };
    let ack = || {
        let message: Mcm<'_, Ack> = serde_json::from_slice(ACK.as_bytes()).unwrap();
        message.body.unwrap().state.unwrap().sp.unwrap()
    };
    let sonic = || {
        let message: Mcm<'_, Status> = sonic_rs::from_slice(STATUS.as_bytes()).unwrap();
        message.body.unwrap().amb_temp.unwrap()
    };
    let mut buffers = simd_json::Buffers::default();
    let mut copy = Vec::new();
    let mut simd = || {
        // It writes into its input.
        copy.clear();
        copy.extend_from_slice(STATUS.as_bytes());
        let message: Mcm<'_, Status> =
            simd_json::serde::from_slice_with_buffers(&mut copy, &mut buffers).unwrap();
        message.body.unwrap().amb_temp.unwrap()
    };
    type Run<'a> = &'a dyn Fn() -> f64;
    let cases: [(&str, &str, Run<'_>, &str); 3] = [
        ("message: V2 status, 165 bytes", STATUS, &status, "/body/ambTemp"),
        ("message: V1 status, 174 bytes", V1_STATUS, &v1, "/MainTemp"),
        ("message: acknowledgement, 219 bytes", ACK, &ack, "/body/state/sp"),
    ];
    for (title, payload, derived, pointer) in cases {
        assert_eq!((ours(payload), ours(payload)), (derived(), value(payload, pointer)), "{title}");
        let mut comparison = Comparison::new(title, "message")
            .entry("mysa-proto", 1, || ours(payload))
            .entry("serde_json, derived structs", 1, derived)
            .entry("serde_json::Value", 1, || value(payload, pointer));
        if payload == STATUS {
            assert_eq!((sonic(), simd(), by_hand(STATUS)), (derived(), derived(), derived()));
            comparison = comparison
                .entry("sonic-rs, derived structs", 1, sonic)
                .entry("simd-json, derived structs", 1, &mut simd)
                .entry("hifijson, by hand", 1, || by_hand(STATUS));
        }
        println!("{}", comparison.run());
    }
}

/// Decodes the same message as a device writes it and as other writers of JSON would.
fn spellings(title: &str, own: &str) -> String {
    let message: Value = serde_json::from_str(own).unwrap();
    let mut others: Vec<(&str, String)> = Vec::new();
    for (name, order, blank, escape) in [
        ("blank after each comma and colon", Order::Own, " ", Escape::Nothing),
        ("line for each member, with four blanks", Order::Own, "\n    ", Escape::Nothing),
        ("sorted members", Order::Sorted, "", Escape::Nothing),
        ("reversed members", Order::Reversed, "", Escape::Nothing),
        ("reversed members and blanks", Order::Reversed, " ", Escape::Nothing),
        ("escape in each string", Order::Own, "", Escape::Strings),
        ("escape in each key", Order::Own, "", Escape::Keys),
    ] {
        let mut text = String::new();
        spell(own, &message, order, blank, escape, &mut text);
        others.push((name, text));
    }
    assert_eq!(indented(&message.to_string(), 2), serde_json::to_string_pretty(&message).unwrap());
    others.insert(2, ("indented by serde_json::to_string_pretty", indented(own, 2)));
    others.insert(3, ("indented by Python's json.dumps(indent=4)", indented(own, 4)));
    for (name, text) in &others {
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), message, "{name}");
        assert_eq!(ours(text), ours(own), "{name}");
    }
    let mut comparison =
        Comparison::new(title, "message").entry("as the device writes it", 1, || ours(black_box(own)));
    for (name, text) in &others {
        comparison = comparison.entry(name, 1, || ours(black_box(text)));
    }
    comparison.run()
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Own,
    Sorted,
    Reversed,
}

#[derive(Clone, Copy, PartialEq)]
enum Escape {
    Nothing,
    Strings,
    Keys,
}

/// Writes each member of `own` and each bracket that closes an object on a line. No string of `own` has a comma, colon or bracket.
fn indented(own: &str, blanks: usize) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    for character in own.chars() {
        if character == '}' {
            depth -= blanks;
            let _ = write!(out, "\n{:depth$}", "");
        }
        out.push(character);
        match character {
            '{' | ',' => {
                depth += if character == '{' { blanks } else { 0 };
                let _ = write!(out, "\n{:depth$}", "");
            }
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

/// Writes a value that `own` contains. `own` shows the order of the members.
fn spell(own: &str, value: &Value, order: Order, blank: &str, escape: Escape, out: &mut String) {
    let string = |text: &str, escaped: bool, out: &mut String| match text.chars().next() {
        Some(first) if escaped => {
            let _ = write!(out, "\"\\u{:04x}{}\"", u32::from(first), &text[first.len_utf8()..]);
        }
        _ => drop(write!(out, "\"{text}\"")),
    };
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let place = |key: &str| own.find(&format!("\"{key}\":")).unwrap();
            members.sort_by_key(|(key, _)| match order {
                Order::Sorted => (0, Some(key.as_str())),
                Order::Own | Order::Reversed => (place(key), None),
            });
            if order == Order::Reversed {
                members.reverse();
            }
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                out.push_str(if at == 0 { "" } else { blank });
                string(key, escape == Escape::Keys, out);
                out.push(':');
                out.push_str(if blank.is_empty() { "" } else { " " });
                spell(&own[place(key)..], value, order, blank, escape, out);
            }
            out.push('}');
        }
        Value::String(text) => string(text, escape == Escape::Strings, out),
        other => out.push_str(&other.to_string()),
    }
}
