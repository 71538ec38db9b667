"""Every class, field and function of the design document's sketch, against the simulated cloud."""

import dataclasses
import queue

import mysa
import pytest
from mysa import errors
from mysa.auth import MysaAuth
from mysa.client import MysaClient
from mysa.models import (
    DESIGN_DOCUMENT_NUM2STR,
    DESIGN_DOCUMENT_STR2NUM,
    MODE_MAP_NUM2STR,
    MODE_MAP_STR2NUM,
    Ack,
    Command,
    Device,
    State,
    compute_power,
    parse_ack,
    parse_out_message,
)
from mysa.mqtt_client import MysaMqtt
from mysa.rest import BASE_URL, MysaRest
from mysa.sim import SimulatedCloud

KITCHEN = "a0b1c2d3e4f6"
LIMIT_S = 300.0


def auth_of(cloud: SimulatedCloud) -> MysaAuth:
    return MysaAuth(cloud.email, cloud.password, **cloud.options)


def test_the_dataclasses_have_the_fields_of_the_sketch_in_its_order() -> None:
    def names(kind: type) -> list:
        return [field.name for field in dataclasses.fields(kind)]

    assert names(Device)[:4] == ["id", "name", "model", "rated_watts"]
    assert names(State)[:6] == ["temperature_c", "humidity_pct", "setpoint_c", "duty_cycle", "mode", "power_w"]
    assert Device("a", "b", "c").rated_watts is None and State() == State(None)
    assert Command(KITCHEN, setpoint_c=20).encode("BB-V2-0")[0] == f"/v1/dev/{KITCHEN}/in"
    assert MODE_MAP_NUM2STR[3] == "heat" and MODE_MAP_STR2NUM["off"] == 1
    assert DESIGN_DOCUMENT_NUM2STR == {1: "heat", 3: "off"} and DESIGN_DOCUMENT_STR2NUM == {"heat": 1, "off": 3}


def test_the_messages_of_the_sketch_are_parsed() -> None:
    topic = f"/v1/dev/{KITCHEN}/out"
    state = parse_out_message(topic, '{"body":{"ambTemp":19.1,"hum":41.5,"stpt":20.0,"dtyCycle":0.42},"msg":40}')
    compute_power(state, 1000)
    assert state.power_w == round(0.42 * 1000)
    compute_power(state, None)
    assert state.power_w == 420, "as in the sketch, nothing happens without a rated power"
    ack = parse_ack(
        topic,
        '{"msg":44,"resp_id":5,"body":{"success":1,"type":4,"trig_src":3,"state":{"md":1,"sp":20.0,"lk":0,"ho":1,"br":100}}}',
        modes="design_document",
    )
    assert isinstance(ack, Ack) and ack.success and ack.resp_id == 5
    assert (ack.state.mode, ack.state.setpoint_c, ack.state.locked) == ("heat", 20.0, False)
    assert parse_ack(topic, '{"msg":40,"body":{}}') is None


def test_the_rest_client_lists_the_devices(mysa_cloud: SimulatedCloud) -> None:
    rest = MysaRest(BASE_URL, auth_of(mysa_cloud).jwt(), **mysa_cloud.options)
    devices = rest.list_devices()
    assert devices[KITCHEN] == Device(
        KITCHEN, "Kitchen", "BB-V2-0", family=mysa.protocol.family_of("BB-V2-0"), home=devices[KITCHEN].home
    )
    states = rest.states(devices)
    assert set(states) == set(devices) and states[KITCHEN].setpoint_c == 19.0
    with pytest.raises(errors.RefusedError) as caught:
        rest.get("/nowhere")
    assert caught.value.status == 404
    with pytest.raises(errors.AuthError) as refused:
        MysaRest(BASE_URL, "canary", **mysa_cloud.options).list_devices()
    assert "canary" not in str(refused.value) + repr(rest)


def test_the_rest_client_keeps_the_time_to_wait(mysa_cloud: SimulatedCloud) -> None:
    rest = MysaRest(BASE_URL, auth_of(mysa_cloud).jwt(), **mysa_cloud.options)
    mysa_cloud.fault("rest-throttled")
    with pytest.raises(errors.RefusedError) as caught:
        rest.list_devices()
    assert (caught.value.status, caught.value.retry_after) == (429, 30.0)


def test_the_account_signs_in_once_and_renews(mysa_cloud: SimulatedCloud) -> None:
    auth = auth_of(mysa_cloud)
    assert auth.jwt() == auth.jwt()
    assert mysa_cloud.counters["sign_ins"] == 1
    host, path = auth.presign()
    assert path.startswith("/mqtt?X-Amz-Algorithm") and mysa_cloud.counters["grants"] == 1
    auth.presign(host)
    assert mysa_cloud.counters["grants"] == 1
    auth._tokens = None
    auth.jwt()
    assert (mysa_cloud.counters["sign_ins"], mysa_cloud.counters["refreshes"]) == (1, 1)
    assert mysa_cloud.password not in repr(auth) + repr(vars(auth))


def test_a_wrong_password_is_refused(mysa_cloud: SimulatedCloud) -> None:
    with pytest.raises(errors.AuthError) as caught:
        MysaAuth(mysa_cloud.email, "wrong", **mysa_cloud.options).jwt()
    assert caught.value.needs_sign_in


def test_the_mqtt_client_delivers_messages_and_publishes(mysa_cloud: SimulatedCloud) -> None:
    messages: "queue.Queue" = queue.Queue()
    host, path = auth_of(mysa_cloud).presign()
    client = MysaMqtt(host, path, **mysa_cloud.options)
    client.connect(lambda mqtt, userdata, message: messages.put((mqtt, message)))
    client.subscribe_device(KITCHEN)
    assert client.publish_setpoint(KITCHEN, 21.5).is_confirmed
    assert client.publish_mode(KITCHEN, "off").is_confirmed
    truth = mysa_cloud.truth(KITCHEN)
    assert (truth["setpoint_c"], truth["mode"]) == (21.5, "off")
    seen = State()
    while seen.setpoint_c != 21.5:
        mqtt, message = messages.get(timeout=LIMIT_S)
        assert mqtt is client
        seen = parse_out_message(message.topic, message.payload)
    client.disconnect()
    client.disconnect()
    assert "X-Amz" not in repr(client) + repr(vars(client))


def test_a_failing_callback_does_not_end_the_delivery(mysa_cloud: SimulatedCloud, monkeypatch) -> None:
    hooked: "queue.Queue" = queue.Queue()
    monkeypatch.setattr("threading.excepthook", hooked.put)

    def on_message(*_: object) -> None:
        raise LookupError("a defect of the program")

    with MysaMqtt(*auth_of(mysa_cloud).presign(), **mysa_cloud.options) as client:
        client.connect(on_message)
        client.subscribe_device(KITCHEN)
        for _ in range(2):
            assert hooked.get(timeout=LIMIT_S).exc_type is LookupError


def test_an_unusable_url_is_reported_at_once() -> None:
    with pytest.raises(errors.InvalidValueError):
        MysaMqtt("example.org", "/mqtt?X-Amz-Signature=canary")
    with pytest.raises(errors.ClosedError, match="connect"):
        url = mysa.protocol.presign_with_keys("example.org", "AK", "SK", "token").expose()
        MysaMqtt("example.org", url[len("wss://example.org") :]).subscribe_device(KITCHEN)


def test_the_facade_discovers_and_sets(mysa_cloud: SimulatedCloud) -> None:
    client = MysaClient(auth_of(mysa_cloud), region="us-east-1", rated_watts={KITCHEN: 1250})
    assert client.devices == {} and client.states == {}
    with pytest.raises(errors.ClosedError, match="connect"):
        client.set_setpoint(KITCHEN, 20)
    client.connect()
    assert client.devices[KITCHEN].name == "Kitchen" and client.devices[KITCHEN].rated_watts == 1250
    assert client.set_setpoint(KITCHEN, 20.5).is_confirmed
    assert client.set_mode(KITCHEN, "heat").is_confirmed
    state = client.states[KITCHEN]
    assert (state.setpoint_c, state.mode) == (20.5, "heat")
    assert state.duty_cycle is None or (state.power_w, state.power_basis) == (round(state.duty_cycle * 1250), "estimated")
    client.close()
    with pytest.raises(errors.InvalidValueError, match="us-east-1"):
        MysaClient(auth_of(mysa_cloud), region="eu-west-1")


def test_the_documents_mode_table_can_be_chosen(mysa_cloud: SimulatedCloud) -> None:
    # The simulated thermostats follow the observed table, so the document's "heat" is their off.
    # The REST service has numbers of its own.
    with MysaClient(auth_of(mysa_cloud), modes="design_document", channel="mqtt") as client:
        assert client.set_mode(KITCHEN, "heat").is_confirmed
    assert mysa_cloud.truth(KITCHEN)["mode"] == "off"


def test_further_thermostats_are_subscribed_to_by_a_new_connection(mysa_cloud: SimulatedCloud) -> None:
    bedroom = "a0b1c2d3e4f7"
    with MysaMqtt(*auth_of(mysa_cloud).presign(), **mysa_cloud.options) as client:
        client.connect()
        assert client.service is None
        client.subscribe_device(KITCHEN)
        client.subscribe_device(KITCHEN)
        client.subscribe_device(bedroom, "BB-V2-0-L")
        assert client.publish_setpoint(KITCHEN, 21.0) and client.publish_setpoint(bedroom, 18.5)
        with pytest.raises(errors.InvalidValueError):
            client.subscribe_device("not/an/id")
        assert client.publish_setpoint(bedroom, 19.0), "the old connection stays"
