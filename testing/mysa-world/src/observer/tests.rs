use super::*;
use mysa_mqtt_codec::{
    ClientId, Connect, DISCONNECT, Delivery, Filter, Outbound, PacketId, Publish, QoS, Topic as Name,
};

const V2: &str = "a0b1c2d3e4f6";

/// Connection ids. Only a session creates them, so one is asked for as many as the tests need.
fn conns() -> Vec<ConnId> {
    let mut world = crate::World::new(
        mysa_sim::CloudSpec::demo(),
        crate::NetSpec::default(),
        mysa_session::Settings::default(),
        1,
    );
    for _ in 0..2 {
        world.run_for(Duration::from_secs(60)).unwrap();
        let now = world.cloud_now();
        world.cloud.act(now, mysa_sim::Incident::CloseAll(mysa_sim::Closing::Cut));
        world.drain_cloud();
    }
    let conns: BTreeSet<ConnId> = world.wire().iter().map(|(_, conn, _)| *conn).collect();
    conns.into_iter().collect()
}

/// Violation that the observer finds in these packets, each given with the second at which it is sent and its
/// connection.
fn found(packets: &[(u64, usize, Vec<u8>)]) -> Violation {
    let conns = conns();
    let mut observer = Observer::default();
    for conn in &conns {
        observer.opened(Duration::ZERO, *conn);
    }
    for (n, (at, conn, bytes)) in packets.iter().enumerate() {
        match observer.bytes(Duration::from_secs(*at), conns[*conn], bytes) {
            Ok(_) => {}
            Err(violation) => {
                assert_eq!(n + 1, packets.len(), "{violation} came too early");
                return violation;
            }
        }
    }
    panic!("nothing was found");
}

fn bytes(packet: Outbound<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out).unwrap();
    out
}

fn connect(name: &str) -> Vec<u8> {
    bytes(Outbound::Connect(Connect::new(ClientId::new(name).unwrap(), 60)))
}

fn filters(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("/v1/dev/a0b1c2d3{n:04x}/out")).collect()
}

fn subscribe(range: std::ops::Range<usize>) -> Vec<u8> {
    let names = filters(range);
    let filters: Vec<_> = names.iter().map(|name| (Filter::new(name).unwrap(), QoS::AtLeastOnce)).collect();
    bytes(Outbound::Subscribe { id: PacketId::new(1).unwrap(), filters: &filters })
}

fn publish(topic: &str, payload: &str) -> Publish<'static> {
    let topic: &'static str = topic.to_owned().leak();
    let payload: &'static str = payload.to_owned().leak();
    let delivery = Delivery::AtLeastOnce(PacketId::new(1).unwrap());
    Publish::new(Name::new(topic).unwrap(), payload.as_bytes(), delivery)
}

fn sent(publish: Publish<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    publish.encode(&mut out).unwrap();
    out
}

fn command(id: u64, setpoint: f64) -> Publish<'static> {
    let payload = format!(
        r#"{{"Timestamp":1767323045,"body":{{"cmd":[{{"sp":{setpoint:.1},"tm":-1}}],"type":4,"ver":1}},"dest":{{"ref":"{V2}","type":1}},"id":{id},"msg":44,"resp":2,"src":{{"ref":"x","type":100}},"time":1767323045,"ver":"1.0"}}"#
    );
    publish(&format!("/v1/dev/{V2}/in"), &payload)
}

fn again(mut publish: Publish<'_>) -> Publish<'_> {
    publish.dup = true;
    publish
}

fn inward(payload: &str) -> Vec<u8> {
    sent(publish(&format!("/v1/dev/{V2}/in"), payload))
}

#[test]
fn a_violation_of_every_rule_about_connections_is_detected() {
    assert!(matches!(found(&[(0, 0, connect("one")), (2, 1, connect("one"))]), Violation::SharedClientId(_)));
    let mut observer = Observer::default();
    let conns = conns();
    for (n, conn) in conns.iter().take(2).enumerate() {
        observer.opened(Duration::ZERO, *conn);
        let found = observer.bytes(Duration::from_millis(900 * n as u64), *conn, &connect("one"));
        assert_eq!(found.is_err(), n == 1);
        if let Err(violation) = found {
            assert_eq!(violation, Violation::EarlyConnect { after: Duration::from_millis(900) });
        }
        observer.closed(*conn);
    }
    assert!(matches!(found(&[(0, 0, subscribe(0..9))]), Violation::TooManyFilters { in_packet: 9 }));
    let mut many: Vec<_> = (0..6).map(|n| (n as u64, 0, subscribe(8 * n..8 * n + 8))).collect();
    many.push((9, 0, subscribe(48..51)));
    assert!(matches!(found(&many), Violation::TooManySubscriptions(51)));
    // A refused filter takes no place on its connection.
    let mut observer = Observer::default();
    observer.opened(Duration::ZERO, conns[0]);
    for (n, (_, _, bytes)) in many.iter().enumerate() {
        assert!(observer.bytes(Duration::from_secs(n as u64), conns[0], bytes).is_ok(), "{n}");
        if n == 0 {
            let refused = [0x90, 10, bytes[3], bytes[4], 0x80, 1, 1, 1, 1, 1, 1, 1];
            observer.answered(conns[0], &refused);
        }
    }
    let after = found(&[(0, 0, connect("one")), (1, 0, DISCONNECT.to_vec()), (2, 0, subscribe(0..1))]);
    assert!(matches!(after, Violation::AfterTheEnd { .. }));
    assert!(matches!(found(&[(0, 0, vec![0xf0, 0])]), Violation::BadPacket(_)));
}

#[test]
fn a_violation_of_every_rule_about_messages_is_detected() {
    let live = r#"{"Device":"a0b1c2d3e4f6","MsgType":11,"Timestamp":1767323045,"Timeout":180}"#;
    for topic in ["/v1/dev/a0b1c2d3e4f6/out", "/v1/dev/not hex/in", "somewhere"] {
        assert!(
            matches!(found(&[(0, 0, sent(publish(topic, live)))]), Violation::ForeignTopic(_)),
            "{topic}"
        );
    }
    let mut retained = publish(&format!("/v1/dev/{V2}/in"), live);
    retained.retain = true;
    let mut once = publish(&format!("/v1/dev/{V2}/in"), live);
    once.delivery = Delivery::AtMostOnce;
    for wrong in [retained, once] {
        assert!(matches!(found(&[(0, 0, sent(wrong))]), Violation::WrongDelivery));
    }
    for number in [7, 40] {
        let payload = format!(r#"{{"Device":"{V2}","MsgType":{number},"Timestamp":1767323045}}"#);
        assert!(matches!(found(&[(0, 0, inward(&payload))]), Violation::Dangerous(_)), "{number}");
    }
    assert!(matches!(found(&[(0, 0, inward("{"))]), Violation::BadPayload(_)));
    let status = format!(
        r#"{{"ver":"1.0","src":{{"ref":"{V2}","type":1}},"time":1767323080,"msg":40,"body":{{"stpt":9}}}}"#
    );
    assert!(matches!(found(&[(0, 0, inward(&status))]), Violation::Unexpected(_)));
}

#[test]
fn a_violation_of_every_rule_about_commands_is_detected() {
    let older = command(1, 20.0);
    let (first, older_again) = (sent(older), sent(again(older)));
    assert_eq!(
        found(&[(0, 0, first.clone()), (5, 0, first.clone())]),
        Violation::Resent { id: 1, dup: false }
    );
    assert_eq!(found(&[(0, 0, older_again.clone())]), Violation::Resent { id: 1, dup: true });
    assert_eq!(
        found(&[(0, 0, first.clone()), (5, 1, older_again.clone())]),
        Violation::ReplayedElsewhere { id: 1 }
    );
    let mut often = vec![(0, 0, first)];
    often.extend((1..=4).map(|n| (5 * n, 0, older_again.clone())));
    assert_eq!(found(&often), Violation::SentTooOften { id: 1, times: 5 });
}
