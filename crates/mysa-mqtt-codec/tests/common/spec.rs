//! Generated packets.

use mysa_testkit::codec::ConnectFields;
pub(crate) use mysa_testkit::codec::Packet as Spec;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Any packet, interesting values first.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let id = || prop_oneof![1..=u16::MAX, Just(1), Just(0xff), Just(0x100), Just(u16::MAX)];
    let publish = (topic(), bytes(), 0..3_u8, id(), any::<bool>(), any::<bool>()).prop_map(
        |(topic, payload, qos, id, dup, retain)| Spec::Publish {
            topic,
            payload,
            qos,
            id: (qos > 0).then_some(id),
            dup: dup && qos > 0,
            retain,
        },
    );
    let connack = (0..6_u8, any::<bool>())
        .prop_map(|(code, present)| Spec::ConnAck { session_present: present && code == 0, code });
    let will = (topic(), bytes(), 0..3_u8, any::<bool>());
    let login = (text(0), option::of(bytes()));
    let connect = (text(0), any::<u16>(), any::<bool>(), option::of(will), option::of(login)).prop_map(
        |(client_id, keep_alive, clean, will, login)| {
            let clean_session = clean || client_id.is_empty();
            Spec::Connect(ConnectFields { client_id, keep_alive, clean_session, will, login })
        },
    );
    prop_oneof![
        4 => publish,
        1 => connack,
        2 => connect,
        1 => id().prop_map(Spec::PubAck),
        1 => id().prop_map(Spec::PubRec),
        1 => id().prop_map(Spec::PubRel),
        1 => id().prop_map(Spec::PubComp),
        1 => id().prop_map(Spec::UnsubAck),
        1 => (id(), vec(select(vec![0_u8, 1, 2, 0x80]), 1..9)).prop_map(|(id, codes)| Spec::SubAck(id, codes)),
        1 => (id(), vec((filter(), 0..3_u8), 1..9)).prop_map(|(id, filters)| Spec::Subscribe(id, filters)),
        1 => (id(), vec(filter(), 1..9)).prop_map(|(id, filters)| Spec::Unsubscribe(id, filters)),
        1 => Just(Spec::PingReq),
        1 => Just(Spec::PingResp),
        1 => Just(Spec::Disconnect),
    ]
}

/// Text with separators, controls, and characters of each length in UTF-8.
fn text(least: usize) -> impl Strategy<Value = String> {
    let chars =
        vec!['a', 'z', '/', '$', ' ', '\u{1}', '\u{7f}', '\u{e9}', '\u{122b}', '\u{feff}', '\u{1f525}'];
    vec(select(chars), least..40).prop_map(|chars| chars.into_iter().collect())
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof![2 => text(1), 1 => Just("/v1/dev/a0b1c2d3e4f5/out".into()), 1 => Just("t".repeat(300))]
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![text(1), text(0).prop_map(|head| head + "/+/#"), Just("#".into()), Just("+".into())]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..60), 1 => vec(any::<u8>(), 120..140), 1 => Just(vec![b'x'; 17_000])]
}
