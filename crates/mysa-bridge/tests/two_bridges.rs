//! Two bridges that publish to the same topics: each notices the other, and their messages are bounded.

mod harness;

use std::time::Duration;

use mysa_bridge::client::{LinkId, Output};
use mysa_bridge::{AccountIndex, Bridge, Event, Settings};
use mysa_proto::DeviceId;
use mysa_session::{Level, Reason};

use crate::harness::Peer as _;
use crate::harness::broker::Broker;
use crate::harness::home::{Known, Node, at, living_room};

const BRIDGE: &str = "mysa/bridge/availability";
const INSTANCE: &str = "mysa/bridge/instance";
const STATE: &str = "mysa/bridge/state";
const LIVING_ROOM: &str = "mysa/a0b1c2d3e4f6/availability";
const KITCHEN: &str = "mysa/a0b1c2d3e4f7/availability";

/// A bridge and its connection.
struct Side {
    node: Node,
    open: Option<(LinkId, u64)>,
}

/// Several bridges and one broker.
struct House {
    sides: Vec<Side>,
    broker: Broker,
    connections: u64,
    now: Duration,
}

impl House {
    fn new() -> Self {
        Self { sides: Vec::new(), broker: Broker::default(), connections: 0, now: Duration::ZERO }
    }

    /// Starts a bridge with a thermostat.
    fn start(&mut self, client_id: &str, known: &Known) {
        self.start_with(client_id, std::slice::from_ref(known));
    }

    fn start_with(&mut self, client_id: &str, known: &[Known]) {
        let seed = [u8::try_from(self.sides.len() + 1).expect("few bridges"); 32];
        let bridge = Bridge::new(Settings::new(client_id), seed, at(self.now)).expect("valid settings");
        self.sides.push(Side { node: Node::new(bridge), open: None });
        let index = self.sides.len() - 1;
        self.list(index, known);
        self.settle();
    }

    fn list(&mut self, index: usize, known: &[Known]) {
        let (bridge, now) = (&mut self.sides[index].node.bridge, self.now);
        bridge.handle_service(AccountIndex::FIRST, Level::Live, Reason::Healthy, None, at(now));
        for known in known {
            known.show(bridge, now);
        }
        let ids: Vec<DeviceId> = known.iter().map(|known| known.id).collect();
        bridge.handle_list(AccountIndex::FIRST, &ids, at(now));
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut is_idle = true;
            for index in 0..self.sides.len() {
                is_idle &= !self.exchange(index);
            }
            if is_idle {
                return;
            }
        }
        panic!("the bridges do not stop answering each other");
    }

    /// Exchanges what one bridge and the broker have for each other. Returns `true` if there was anything.
    fn exchange(&mut self, index: usize) -> bool {
        let Self { sides, broker, connections, now } = self;
        let Side { node, open } = &mut sides[index];
        let mut worked = false;
        while let Some(output) = node.next_output(*now) {
            worked = true;
            match output {
                Output::Dial(link) => {
                    *connections += 1;
                    broker.open(*connections);
                    *open = Some((link, *connections));
                    node.opened(link, *now);
                }
                Output::Send { link, bytes } => {
                    if let Some((_, number)) = open.filter(|(open, _)| *open == link) {
                        broker.receive(number, &bytes);
                    }
                    node.written(link, *now);
                }
                Output::Close(link) => {
                    if let Some((_, number)) = open.take_if(|(open, _)| *open == link) {
                        broker.drop_connection(number);
                    }
                }
            }
        }
        if let Some((link, number)) = *open {
            let (bytes, is_closed) = broker.take(number);
            worked |= !bytes.is_empty() || is_closed;
            node.bytes(link, &bytes, *now);
            if is_closed {
                *open = None;
                node.closed(link, *now);
            }
        }
        worked
    }

    fn secs(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        for _ in 0..100_000 {
            self.settle();
            let due = self.sides.iter().filter_map(|side| side.node.next_timeout()).min();
            self.now = due.unwrap_or(end).clamp(self.now, end);
            for side in &mut self.sides {
                side.node.timeout(self.now);
            }
            if self.now == end {
                return self.settle();
            }
        }
        panic!("a deadline stays due");
    }

    /// Ends a bridge in order.
    fn stop(&mut self, index: usize) {
        self.sides[index].node.bridge.shutdown(at(self.now));
        self.secs(3);
        assert!(self.sides[index].node.bridge.is_ended());
        self.sides.remove(index);
    }

    fn events(&self, index: usize) -> Vec<String> {
        let events = self.sides[index].node.events.iter();
        let events =
            events.filter(|event| matches!(event, Event::OtherBridge { .. } | Event::OtherBridgeGone));
        events.map(ToString::to_string).collect()
    }

    fn says_other_bridge(&self) -> bool {
        let state = self.broker.retained(STATE).expect("a state");
        let state: serde_json::Value = serde_json::from_str(state).expect("JSON");
        state["other_bridge"].as_bool().expect("a flag")
    }
}

fn kitchen() -> Known {
    let mut known = living_room();
    (known.id, known.name) = (DeviceId::new("a0b1c2d3e4f7").expect("an id"), "Kitchen".into());
    known
}

const FOUND: &str =
    "another bridge publishes below \"mysa\"; stop one, or give each a prefix and a client id of its own";
const GONE: &str = "the other bridge is gone";

#[test]
fn bridges_of_different_accounts_notice_each_other_and_answer_seldom() {
    let mut house = House::new();
    house.start("one", &living_room());
    house.secs(60);
    assert!(!house.says_other_bridge());
    house.start("two", &kitchen());
    house.secs(60);
    assert_eq!((house.events(0), house.events(1)), (vec![FOUND.to_owned()], vec![FOUND.to_owned()]));
    assert!(house.says_other_bridge());
    // Each takes the thermostat of the other for one that nobody has.
    let before = house.broker.log.len();
    house.secs(3_600);
    let availability = house.broker.log[before..].iter().filter(|sent| sent.topic.ends_with("/availability"));
    let count = availability.count();
    assert!((1..=2 * 3 * 121).contains(&count), "{count} in an hour");
    assert_eq!(house.events(0).len(), 1);

    // The one that stays is right soon, and says that it is alone.
    house.stop(1);
    assert_eq!(house.broker.retained(BRIDGE), Some("online"));
    assert_eq!(house.events(0), [FOUND, GONE]);
    assert!(!house.says_other_bridge());
    house.secs(30);
    assert_eq!(house.broker.retained(LIVING_ROOM), Some("online"));
    assert_eq!(house.broker.retained(KITCHEN), Some("offline"));
    assert!(house.broker.retained(INSTANCE).is_some());
}

#[test]
fn bridges_of_one_account_notice_each_other_although_nothing_contradicts() {
    let mut house = House::new();
    house.start("one", &living_room());
    house.secs(600);
    house.start("two", &living_room());
    house.secs(7_200);
    assert_eq!((house.events(0), house.events(1)), (vec![FOUND.to_owned()], vec![FOUND.to_owned()]));
    // Killed: nothing says that it will not come back.
    let (_, number) = house.sides[0].open.unwrap();
    house.broker.drop_connection(number);
    house.sides.remove(0);
    house.secs(600);
    assert_eq!(house.events(0), [FOUND]);
    assert_eq!(house.broker.retained(BRIDGE), Some("online"));
    house.secs(600);
    assert_eq!(house.events(0), [FOUND, GONE]);
}

#[test]
fn bridges_with_one_client_id_notice_each_other_although_they_are_never_connected_together() {
    let mut house = House::new();
    house.start("mysa-bridge", &living_room());
    house.secs(60);
    house.start("mysa-bridge", &living_room());
    house.secs(300);
    assert_eq!((house.events(0), house.events(1)), (vec![FOUND.to_owned()], vec![FOUND.to_owned()]));
}

#[test]
fn a_bridge_that_is_started_again_is_alone() {
    let mut house = House::new();
    house.start("mysa-bridge", &living_room());
    house.secs(60);
    for _ in 0..5 {
        // Killed: the broker publishes the will.
        let (_, number) = house.sides[0].open.unwrap();
        house.broker.drop_connection(number);
        house.sides[0].node.events.clear();
        // A new process, with an identity of its own.
        house.start("mysa-bridge", &living_room());
        house.sides.remove(0);
        house.secs(20);
        assert_eq!(house.broker.retained(BRIDGE), Some("online"));
        // Its connection is lost, and the broker falls back to what it stored before.
        let stored = house.broker.retained.clone();
        let (link, number) = house.sides[0].open.take().unwrap();
        house.broker.drop_connection(number);
        house.broker.retained = stored;
        let now = house.now;
        house.sides[0].node.closed(link, now);
        house.secs(60);
        assert_eq!(house.events(0), Vec::<String>::new());
        assert_eq!(house.broker.retained(BRIDGE), Some("online"));
    }
    house.stop(0);
    assert_eq!(house.broker.retained("mysa/bridge/instance"), None);
}

/// The identity is sent after what the broker has to acknowledge, so that one that acknowledges nothing keeps the old one.
#[test]
fn the_identity_of_an_earlier_run_is_no_other_bridge_until_the_broker_has_the_own_one() {
    let mut house = House::new();
    house.broker.publish(INSTANCE, b"0123456789abcdef", true);
    house.broker.no_puback = true;
    let room =
        |number| Known { id: DeviceId::new(&format!("a0b1c2d3e4{number:02x}")).unwrap(), ..living_room() };
    house.start_with("mysa-bridge", &(0..20).map(room).collect::<Vec<_>>());
    house.secs(120);
    assert_eq!(house.broker.retained(INSTANCE), Some("0123456789abcdef"));
    assert_eq!(house.events(0), Vec::<String>::new());
    house.broker.no_puback = false;
    house.secs(120);
    assert_ne!(house.broker.retained(INSTANCE), Some("0123456789abcdef"));
    assert_eq!(house.events(0), Vec::<String>::new());
}

#[test]
fn another_client_that_repeats_an_availability_is_answered_at_most_twice_a_minute() {
    let mut house = House::new();
    house.start("mysa-bridge", &living_room());
    house.secs(60);
    let before = house.broker.published(LIVING_ROOM).len();
    for _ in 0..3_600 {
        house.broker.publish(LIVING_ROOM, b"offline", true);
        house.secs(1);
    }
    let answers = house.broker.published(LIVING_ROOM).len() - before;
    assert!((100..=126).contains(&answers), "{answers} in an hour");
    house.secs(30);
    assert_eq!(house.broker.retained(LIVING_ROOM), Some("online"));
    // After a pause, a single message is answered at once.
    house.secs(60);
    house.broker.publish(LIVING_ROOM, b"offline", true);
    house.settle();
    assert_eq!(house.broker.retained(LIVING_ROOM), Some("online"));
}
