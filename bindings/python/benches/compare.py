#!/usr/bin/env python3
"""Compares the package with what Python programs for Mysa use now: benches/compare.py

Requires a release build of the package, and from PyPI paho-mqtt, gmqtt and pycognito (benches/requirements.txt). Prints a table in
Markdown. Each number is the best of several rounds of CPU time, so a busy machine changes little.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from typing import Any, Callable, List, Optional, Tuple

import mysa
from mysa import mqtt, protocol

TOPIC = "/v1/dev/a0b1c2d3e4f6/out"
STATUS = (
    b'{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1712345678,"msg":40,"id":8724654694500694114,'
    b'"body":{"ambTemp":19.1,"hum":41.5,"stpt":20.0,"dtyCycle":0.42}}'
)
PACKETS = 100


def best(work: Callable[[], Any], per_round: int = 1, seconds: float = 2.0) -> float:
    """Return the least CPU time of one call in seconds."""
    work()
    least, end = float("inf"), time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.process_time_ns()
        for _ in range(per_round):
            work()
        least = min(least, (time.process_time_ns() - start) / per_round)
    return least / 1e9


def sketch_parse(payload: bytes) -> mysa.State:
    """The design document's ``parse_out_message``."""
    js = json.loads(payload)
    body = js.get("body") or {}
    st = mysa.State()
    if "ambTemp" in body:
        st.temperature_c = body["ambTemp"]
    if "hum" in body:
        st.humidity_pct = body["hum"]
    if "stpt" in body:
        st.setpoint_c = body["stpt"]
    if "dtyCycle" in body:
        st.duty_cycle = body["dtyCycle"]
    if "state" in body and isinstance(body["state"], dict):
        s = body["state"]
        if "sp" in s:
            st.setpoint_c = s["sp"]
        if "md" in s:
            st.mode = mysa.MODE_MAP_NUM2STR.get(s["md"], str(s["md"]))
    return st


class Wire:
    """Socket that returns given bytes, for paho."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def recv(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        self.at += len(piece)
        if not piece:
            raise BlockingIOError
        return piece

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return -1


def paho(wire: bytes) -> Callable[[], Any]:
    from paho.mqtt import client as paho_client
    from paho.mqtt.enums import CallbackAPIVersion

    got: List[int] = []
    client = paho_client.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, userdata, message: got.append(len(message.topic) + len(message.payload))

    def work() -> None:
        got.clear()
        client._sock = Wire(wire)
        while client._packet_read() == 0:
            pass
        assert len(got) == PACKETS, len(got)

    return work


def gmqtt(wire: bytes) -> Callable[[], Any]:
    import gmqtt as gmqtt_module
    from gmqtt.mqtt.constants import MQTTv311
    from gmqtt.mqtt.protocol import MQTTProtocol

    got: List[int] = []

    class Connection:
        @staticmethod
        def put_package(package: Any) -> None:
            handler._handle_packet(package.cmd, package.data)

    handler: Any = gmqtt_module.Client("bench")
    handler = handler._package_handler
    handler._connection_state.protocol_version = MQTTv311
    handler.on_message = lambda topic, payload, qos, properties: got.append(len(topic) + len(payload))
    reader = MQTTProtocol.__new__(MQTTProtocol)
    reader._connection = Connection()

    def work() -> None:
        got.clear()
        reader._read_packet(wire)
        assert len(got) == PACKETS, len(got)

    return work


def ours(wire: bytes) -> Callable[[], Any]:
    def work() -> None:
        packets = mqtt.Decoder().feed(wire)
        assert sum(len(packet.topic or "") + len(packet.payload or b"") > 0 for packet in packets) == PACKETS

    return work


def srp() -> Tuple[Callable[[], Any], Callable[[], Any]]:
    from pycognito.aws_srp import AWSSRP

    challenge = {
        "USERNAME": "ann",
        "USER_ID_FOR_SRP": "ann",
        "SALT": "a1b2c3d4e5f60718293a4b5c6d7e8f90",
        # Any element of the group.
        "SRP_B": "7" * 768,
        "SECRET_BLOCK": "c2VjcmV0IGJsb2Nr",
    }

    def theirs() -> None:
        client = AWSSRP("ann", "a password", "us-east-1_GUFWfhI7g", "client", client=object())
        client.process_challenge(challenge, {"USERNAME": "ann"})

    def mine() -> None:
        exchange = protocol.Srp()
        exchange.public_hex
        exchange.sign(
            "us-east-1_GUFWfhI7g",
            "ann",
            "a password",
            salt=challenge["SALT"],
            srp_b=challenge["SRP_B"],
            secret_block=challenge["SECRET_BLOCK"],
            timestamp=protocol.srp_timestamp(),
        )

    return mine, theirs


def micro(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def row(what: str, mine: float, other: str, theirs: Optional[float]) -> None:
    if theirs is None:
        print(f"| {what} | {micro(mine)} | {other} | could not be run | |")
    else:
        print(f"| {what} | {micro(mine)} | {other} | {micro(theirs)} | {theirs / mine:.1f} |")


def main() -> None:
    assert sketch_parse(STATUS).setpoint_c == mysa.parse_out_message(TOPIC, STATUS).setpoint_c
    print(f"CPython {platform.python_version()}, {platform.machine()}\n")
    print("| task | mysa | beside | time | factor |\n| --- | --- | --- | --- | --- |")
    mine = best(lambda: mysa.parse_out_message(TOPIC, STATUS), 1000)
    row("status to `State`", mine, "`json.loads` and dict access", best(lambda: sketch_parse(STATUS), 1000))
    mine = best(lambda: protocol.decode_message(TOPIC, STATUS), 1000)
    row("status to a dict, without loss", mine, "`json.loads`", best(lambda: json.loads(STATUS), 1000))
    wire = mqtt.encode_publish(TOPIC, STATUS, qos=0) * PACKETS
    mine = best(ours(wire), 10) / PACKETS
    for name, other in (("paho-mqtt", paho), ("gmqtt", gmqtt)):
        try:
            theirs: Optional[float] = best(other(wire), 10) / PACKETS
        except Exception as error:  # A later version may have other internals.
            print(f"{name}: {error!r}", file=sys.stderr)
            theirs = None
        row("MQTT PUBLISH, parsed", mine, name, theirs)
    first, second = srp()
    row("SRP, both steps of a sign-in", best(first, 5), "pycognito", best(second, 5))


if __name__ == "__main__":
    main()
