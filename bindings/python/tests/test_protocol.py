import base64
import copy
import json
import pickle
import subprocess
import sys

import mysa
import mysa.mqtt
import mysa.protocol
import pytest
from mysa import errors, protocol

TOPIC = "/v1/dev/a0b1c2d3e4f6/out"


def test_a_message_is_decoded_without_loss() -> None:
    payload = (
        '{"msg":40,"id":18446744073709551615,"time":1712345678,"new":{"a":[1,2.5,null,true,"\\u00e9"]},'
        '"body":{"ambTemp":-1,"stpt":20.0,"later":7}}'
    )
    message = protocol.decode_message(TOPIC, payload)
    assert message["payload"] == json.loads(payload)
    assert message["unknown"] == {"new": {"a": [1, 2.5, None, True, "é"]}, "later": 7}
    assert (message["kind"], message["id"], message["time"]) == ("status", 18446744073709551615, 1712345678.0)
    assert message["state"] == {"setpoint_c": 20.0, "connected": True}, "-1 means a missing value"


def test_a_message_that_harms_a_thermostat_is_named() -> None:
    assert protocol.decode_message("/v1/dev/a0b1c2d3e4f6/in", '{"MsgType":7}')["danger"] == "restarts"
    assert protocol.decode_message(TOPIC, '{"MsgType":7}')["danger"] is None


def test_a_command_has_the_form_of_the_design_document_if_asked() -> None:
    topic, payload = protocol.encode_command(
        "A0B1C2D3E4F6",
        "BB-V2-0",
        {"setpoint": 20},
        message_id=1712345688123,
        time=1712345688,
        app_ref="me",
        envelope="design_document",
    )
    assert topic == "/v1/dev/a0b1c2d3e4f6/in", "a thermostat ignores an upper-case topic"
    assert json.loads(payload) == {
        "ver": "1.0",
        "src": {"type": 100, "ref": "me"},
        "dest": {"type": 1, "ref": "a0b1c2d3e4f6"},
        "time": 1712345688,
        "msg": 44,
        "id": 1712345688123,
        "resp": 2,
        "body": {"ver": 1, "type": 4, "cmd": [{"tm": -1, "sp": 20}]},
    }


def test_the_number_of_a_mode_is_the_observed_one_unless_asked_otherwise() -> None:
    def number(mode: str, **options: str) -> int:
        payload = protocol.encode_command("a0b1c2d3e4f6", "BB-V2-0", {"mode": mode}, **options)[1]
        return json.loads(payload)["body"]["cmd"][0]["md"]

    assert (number("heat"), number("off")) == (3, 1) == tuple(mysa.MODE_MAP_STR2NUM[mode] for mode in ("heat", "off"))
    assert (number("heat", modes="design_document"), number("off", modes="design_document")) == (1, 3)


@pytest.mark.parametrize(
    ("model", "settings", "text"),
    [
        ("BB-V2-0", {"setpoint": 90}, "5 to 30"),
        ("XX-1", {"setpoint": 20}, "unknown"),
        ("BB-V2-0", {"mode": "cool"}, "heat"),
    ],
)
def test_what_a_model_does_not_take_is_refused(model: str, settings: dict, text: str) -> None:
    with pytest.raises(errors.RefusedError, match=text):
        protocol.encode_command("a0b1c2d3e4f6", model, settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"setpoint": True},
        {"setpoint": "warm"},
        {"setpoint": float("nan")},
        {"mode": "hot"},
        {"reboot": True},
        {"lock": 1},
        {"hold": "tomorrow"},
    ],
)
def test_a_setting_that_is_none_is_a_value_error(settings: dict) -> None:
    with pytest.raises(errors.InvalidValueError):
        protocol.encode_command("a0b1c2d3e4f6", "BB-V2-0", settings)


def test_a_hold_ends_at_a_time_with_a_zone() -> None:
    from datetime import datetime, timezone

    end = datetime(2030, 1, 2, tzinfo=timezone.utc)
    payload = protocol.encode_command("a0b1c2d3e4f6", "BB-V2-0", {"hold": end, "setpoint": 21})[1]
    assert json.loads(payload)["body"]["cmd"][0]["tm"] == int(end.timestamp())
    with pytest.raises(errors.InvalidValueError, match="time zone"):
        protocol.encode_command("a0b1c2d3e4f6", "BB-V2-0", {"hold": end.replace(tzinfo=None)})


def test_a_batch_is_read_from_text_bytes_and_messages() -> None:
    text = "yqAATTNXaecAzADNACYAAAAsASABZBs5AKA="
    message = json.dumps({"msg": 3, "body": {"readings": text}}).encode()
    for readings in (text, base64.b64decode(text), message):
        batch = protocol.decode_batch(readings)
        assert [record["temperature_c"] for record in batch["records"]] == [20.4] and batch["problems"] == []
    damaged = protocol.decode_batch(b"\0" + base64.b64decode(text))
    assert damaged["dropped_bytes"] == 1 and len(damaged["records"]) == 1 and "byte 0" in damaged["problems"][0]
    with pytest.raises(errors.DecodeError):
        protocol.decode_batch("*")


def test_a_capture_is_explained_as_the_command_does() -> None:
    payload = '{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"body":{"ambTemp":18.9,"new":[1,null]}}'
    [status] = protocol.explain(payload)
    assert status["message"] == "status" and status["temperature_c"] == 18.9
    assert status["time"] == "2026-01-02T03:04:05Z" and status["unknown_fields"] == {"new": [1, None]}
    log = protocol.explain(f'/v1/dev/a0b1c2d3e4f6/out {payload}\n/v1/dev/a0b1c2d3e4f6/out {{"broken')
    assert [entry["message"] for entry in log] == ["status", "unreadable"] and "error" in log[1]
    shown = subprocess.run(
        [sys.executable, "-m", "mysa", "decode", "--json", "--show-private"], input=payload, capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout) == {"schema": 1, **status}
    for data, kind in (("", None), (payload, "capture")):
        with pytest.raises(errors.DecodeError):
            protocol.explain(data, kind=kind)
    with pytest.raises(errors.InvalidValueError, match="expected payload, packet, batch or capture"):
        protocol.explain(payload, kind="har")
    with pytest.raises(errors.DecodeError, match="topic"):
        protocol.explain(payload, topic="kitchen")


def test_power_is_that_of_the_model() -> None:
    assert protocol.power("BB-V2-0", duty_cycle=0.42, rated_watts=1000) == (420.0, "estimated")
    assert protocol.power("BB-V1-1", current_a=6.25, voltage_v=240.0) == (1500.0, "measured")
    assert protocol.power("BB-V2-0", duty_cycle=0.42) == (None, "unknown")
    with pytest.raises(errors.InvalidValueError, match="duty_cycle"):
        protocol.power("BB-V2-0", duty_cycle=42)


def test_entities_are_those_of_the_design_document() -> None:
    ids = {entity["id"] for entity in protocol.entities("BB-V2-0", humidity=True, rated_power=True)}
    assert {"sensor.temperature", "sensor.humidity", "climate.setpoint", "sensor.power", "climate.mode"} <= ids
    assert not any(entity["writable"] for entity in protocol.entities("unknown"))


def test_a_url_is_signed_as_aws_iot_wants_it() -> None:
    url = protocol.presign_with_keys(
        "example.amazonaws.com", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/token==", time=1440938160
    )
    text = url.expose()
    assert text.startswith("wss://example.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert text.endswith("&X-Amz-Security-Token=a%2Ftoken%3D%3D"), "the token follows the signature"
    seen = protocol.inspect(url)
    assert (seen["access_key_id"], seen["signed_at"], seen["has_session_token"]) == ("AKIDEXAMPLE", 1440938160, True)
    with pytest.raises(errors.InvalidValueError):
        protocol.inspect("https://example.org/")


def test_a_secret_is_neither_printed_nor_pickled() -> None:
    secret = mysa.Secret("hunter2")
    assert "hunter2" not in repr(secret) + str(secret) + f"{secret}"
    assert secret == mysa.Secret("hunter2") and secret != "hunter2" and secret.expose() == "hunter2"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)
    with pytest.raises(TypeError) as caught:
        mysa.Secret(b"hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    with pytest.raises(TypeError):
        hash(secret)


def test_the_steps_of_a_sign_in_are_values() -> None:
    step = protocol.start_sign_in("user@example.com", "hunter2", entropy=bytes(31) + b"\7")
    assert step.request.service == "user_pool" and step.request.method == "POST"
    body = json.loads(step.request.body.expose())
    assert body["AuthFlow"] == "USER_SRP_AUTH" and body["AuthParameters"]["USERNAME"] == "user@example.com"
    # g^7 = 128: the exponent is the entropy of the caller.
    assert body["AuthParameters"]["SRP_A"] == "80" == protocol.Srp(bytes(31) + b"\7").public_hex
    assert "user@" not in repr(step) + repr(step.request)
    with pytest.raises(errors.AuthError) as caught:
        step.reply(400, '{"__type":"TooManyRequestsException","message":"Rate exceeded"}')
    assert caught.value.recovery == "wait" and not caught.value.needs_sign_in
    with pytest.raises(RuntimeError, match="read already"):
        step.reply(200, "{}")


def test_an_answer_of_a_proxy_is_no_decision_of_the_service() -> None:
    step = protocol.refresh_tokens("a token")
    with pytest.raises(errors.TransportError) as caught:
        step.reply(502, "<html>")
    assert not caught.value.needs_sign_in and "a token" not in repr(caught.value)


def test_a_rejected_refresh_token_needs_a_sign_in() -> None:
    with pytest.raises(errors.AuthError) as caught:
        protocol.refresh_tokens("a token").reply(400, '{"__type":"NotAuthorizedException","message":"Invalid"}')
    assert caught.value.needs_sign_in and caught.value.recovery == "ask_for_password"


def test_errors_keep_their_attributes_when_they_are_pickled() -> None:
    error = errors.RefusedError("no", status=429, retry_after=30.0)
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is errors.RefusedError and str(copied) == "no"
    assert (copied.status, copied.retry_after, copied.needs_sign_in) == (429, 30.0, False)


def test_packets_are_found_in_pieces_of_any_size() -> None:
    from mysa.mqtt import Decoder, encode_publish

    wire = encode_publish(TOPIC, b"{}", packet_id=7) + b"\xd0\0" + b"\x90\x03\0\x01\x80" + b"\x20\2\0\5"
    for size in range(1, len(wire) + 1):
        decoder = Decoder()
        packets = [packet for at in range(0, len(wire), size) for packet in decoder.feed(wire[at : at + size])]
        assert [packet.kind for packet in packets] == ["publish", "pingresp", "suback", "connack"]
        assert (packets[0].topic, packets[0].payload, packets[0].packet_id) == (TOPIC, b"{}", 7)
        assert (packets[2].return_codes, packets[3].return_codes) == (b"\x80", b"\5")


def test_a_broken_packet_is_reported_after_the_whole_ones_before_it() -> None:
    decoder = mysa.mqtt.Decoder()
    assert [packet.kind for packet in decoder.feed(b"\xd0\0\xd0\1\0")] == ["pingresp"]
    for _ in range(2):
        with pytest.raises(errors.DecodeError, match="close the connection"):
            decoder.feed(b"\xd0\0")


def test_packets_of_a_client() -> None:
    from mysa import mqtt

    assert mqtt.encode_pingreq() == b"\xc0\0" and mqtt.encode_disconnect() == b"\xe0\0"
    assert mqtt.encode_puback(7) == b"\x40\2\0\7"
    assert mqtt.encode_connect("me")[:12] == b"\x10\x0e\0\4MQTT\4\2\0\x3c"
    assert mqtt.encode_subscribe(1, [TOPIC]).endswith(TOPIC.encode() + b"\1")
    for bad in (
        lambda: mqtt.encode_publish("a/+", b""),
        lambda: mqtt.encode_publish("a", b"", qos=3, packet_id=1),
        lambda: mqtt.encode_publish("a", b"", packet_id=0),
        lambda: mqtt.encode_subscribe(1, []),
        lambda: mqtt.encode_connect("me", password="p"),
    ):
        with pytest.raises(errors.InvalidValueError):
            bad()
