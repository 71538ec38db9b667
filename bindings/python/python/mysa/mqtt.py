"""MQTT 3.1.1, the client's side, without a connection: encoders and a streaming decoder.

Use them under aiohttp, websockets or anything else that moves bytes:

>>> decoder = Decoder()
>>> wire = encode_publish("/v1/dev/a0b1c2d3e4f6/out", b"{}", packet_id=7)
>>> decoder.feed(wire[:5])
[]
>>> [packet] = decoder.feed(wire[5:])
>>> packet.topic, packet.payload, packet.qos, encode_puback(packet.packet_id)
('/v1/dev/a0b1c2d3e4f6/out', b'{}', 1, b'@\\x02\\x00\\x07')

A packet that breaks a rule of the standard raises :class:`mysa.errors.DecodeError`, which names the rule, at every further
call: close the connection.
"""

from __future__ import annotations

from ._native import (
    Decoder,
    Packet,
    encode_connect,
    encode_disconnect,
    encode_pingreq,
    encode_puback,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
)

__all__ = [
    "Decoder",
    "Packet",
    "encode_connect",
    "encode_disconnect",
    "encode_pingreq",
    "encode_puback",
    "encode_publish",
    "encode_subscribe",
    "encode_unsubscribe",
]
