"""Mysa thermostats from Python. Unofficial, and not affiliated with Mysa.

::

    import asyncio
    import mysa

    async def main():
        async with mysa.connect("ann@example.org", password="...") as client:
            for thermostat in client.thermostats.values():
                print(thermostat.name, thermostat.state.temperature_c)
            verdict = await client.set(client.find("Bedroom").id, setpoint=20.5)
            print(verdict.text)
            async for event in client.events():
                print(event)

    asyncio.run(main())

====================  =================================================================================
module                content
====================  =================================================================================
:mod:`mysa.aio`       the client for asyncio, also as :func:`mysa.connect`
:mod:`mysa.sync`      the same for scripts
:mod:`mysa.client`    the design document's facade :class:`~mysa.client.MysaClient`
:mod:`mysa.auth`      sign-in, step by step or as a whole
:mod:`mysa.rest`      the REST service
:mod:`mysa.mqtt_client`  MQTT over a presigned URL
:mod:`mysa.models`    thermostats, states, commands, acknowledgements, verdicts
:mod:`mysa.events`    events of a client
:mod:`mysa.errors`    errors
:mod:`mysa.protocol`  the protocol as pure functions
:mod:`mysa.mqtt`      MQTT packets without a connection
:mod:`mysa.sim`       the simulated cloud
====================  =================================================================================
"""

from __future__ import annotations

from . import aio, auth, client, errors, events, models, mqtt, mqtt_client, protocol, rest, sim, sync
from ._native import Secret, __version__
from .aio import Client, connect
from .auth import MysaAuth
from .client import MysaClient
from .errors import (
    AuthError,
    ChallengeError,
    ClosedError,
    DecodeError,
    InvalidValueError,
    MysaError,
    RefusedError,
    StoreError,
    TransportError,
    UnconfirmedError,
)
from .models import (
    MODE_MAP_NUM2STR,
    MODE_MAP_STR2NUM,
    Ack,
    Command,
    Device,
    Service,
    State,
    Thermostat,
    Verdict,
    compute_power,
    parse_ack,
    parse_out_message,
)
from .mqtt_client import MysaMqtt
from .rest import MysaRest

__all__ = [
    "Ack",
    "AuthError",
    "ChallengeError",
    "Client",
    "ClosedError",
    "Command",
    "DecodeError",
    "Device",
    "InvalidValueError",
    "MODE_MAP_NUM2STR",
    "MODE_MAP_STR2NUM",
    "MysaAuth",
    "MysaClient",
    "MysaError",
    "MysaMqtt",
    "MysaRest",
    "RefusedError",
    "Secret",
    "Service",
    "State",
    "StoreError",
    "Thermostat",
    "TransportError",
    "UnconfirmedError",
    "Verdict",
    "__version__",
    "aio",
    "auth",
    "client",
    "compute_power",
    "connect",
    "errors",
    "events",
    "models",
    "mqtt",
    "mqtt_client",
    "parse_ack",
    "parse_out_message",
    "protocol",
    "rest",
    "sim",
    "sync",
]
