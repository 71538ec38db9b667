"""Checked by mypy and pyright, not run: what a user writes has the types that it seems to have."""

from __future__ import annotations

from typing import Dict, Optional

import mysa
import mysa.mqtt
import mysa.protocol
import mysa.sync
from mysa.events import DeviceEvent


async def asynchronous() -> Optional[float]:
    async with mysa.connect("ann@example.org", password="p") as client:
        verdict: mysa.Verdict = await client.set("a0b1c2d3e4f6", setpoint=20.5, mode="heat")
        if not verdict:
            verdict.check()
        async for event in client.events():
            if isinstance(event, DeviceEvent) and event.thermostat is not None:
                return event.thermostat.state.temperature_c
    return None


def blocking() -> Dict[str, mysa.State]:
    with mysa.sync.connect("ann@example.org", store="/var/lib/mysa") as client:
        text: str = client.set_mode("a0b1c2d3e4f6", "off").text
        print(text)
        return client.states


def pure(body: bytes) -> mysa.Secret:
    tokens = mysa.protocol.refresh_tokens("a token").reply(200, body)
    identity: str = mysa.protocol.get_id(tokens).reply(200, body)
    credentials = mysa.protocol.get_credentials(tokens, identity).reply(200, body)
    for packet in mysa.mqtt.Decoder().feed(body):
        if packet.topic is not None and packet.payload is not None:
            mysa.parse_out_message(packet.topic, packet.payload)
    return mysa.protocol.presign("example.org", credentials)
