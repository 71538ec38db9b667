"""The protocol as pure functions, for programs with their own HTTP client, MQTT client or event loop.

Nothing here opens a connection. Time and random bytes are arguments (``now``, ``entropy``); without them, the clock and the
random numbers of the operating system are used. MQTT packets are in :mod:`mysa.mqtt`.

Sign-in is a chain of values. Each :class:`Step` has a request to send and reads its answer; the result is the next step:

>>> step = start_sign_in("user@example.com", "a password")
>>> step.request.method, step.request.url
('POST', 'https://cognito-idp.us-east-1.amazonaws.com/')
>>> sorted(step.request.headers)
['content-type', 'x-amz-target']
>>> step.request.body
Secret(..)

Send ``step.request.body.expose()`` with these headers, and pass the answer to ``step.reply(status, body)``::

    while not isinstance(step, Tokens):
        if isinstance(step, Challenge):
            step = step.answer(input(f"{step.kind}: "))
        response = http.post(step.request.url, headers=step.request.headers, data=step.request.body.expose())
        step = step.reply(response.status_code, response.content)
    tokens = step
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _native
from ._native import (
    Challenge,
    Credentials,
    HttpRequest,
    Pool,
    Secret,
    Srp,
    Step,
    Tokens,
    family_of,
    get_credentials,
    get_id,
    refresh_tokens,
    revoke_token,
    srp_timestamp,
    start_sign_in,
)
from .models import Payload

__all__ = [
    "Challenge",
    "Credentials",
    "HttpRequest",
    "Pool",
    "Secret",
    "Srp",
    "Step",
    "Tokens",
    "decode_batch",
    "decode_message",
    "encode_command",
    "entities",
    "explain",
    "family_of",
    "get_credentials",
    "get_id",
    "inspect",
    "power",
    "presign",
    "presign_with_keys",
    "refresh_tokens",
    "revoke_token",
    "srp_timestamp",
    "start_sign_in",
]


def decode_message(
    topic: str, payload: Payload, *, model: Optional[str] = None, modes: str = "observed"
) -> Dict[str, Any]:
    """Decode a message of a thermostat's topic without loss.

    The dict has ``device`` and ``topic`` (``in``, ``out`` or ``batch``) of the topic; ``kind``, such as ``status`` or ``ack``, or
    ``unknown``; ``form`` (``msg`` or ``MsgType``) and ``number``; ``time`` in seconds since the Unix epoch, by the sender's
    clock; ``id``, ``resp_id``, ``src_type``, ``src_ref``; ``is_about``, False if the message names another thermostat;
    ``danger``, what a message to a thermostat does to it, such as ``restarts``; ``state``, by the names of
    :class:`mysa.models.State`, or None; ``payload``, the whole message as :func:`json.loads` returns it; and ``unknown``, the
    members that this package does not know. An acknowledgement has ``success`` too.

    Raises :class:`mysa.errors.DecodeError` if the payload is not a message.
    """
    return _native.decode_message(topic, payload, model=model, modes=modes)


def explain(
    data: Payload, *, kind: Optional[str] = None, topic: Optional[str] = None, modes: str = "observed"
) -> List[Dict[str, Any]]:
    """Explain what was captured, as the command ``mysa decode`` does: one dict for each message or packet, in words and units.

    ``data`` is a payload, MQTT packets (bytes, hex or base64), readings of a batch, lines with topic and payload
    (``mosquitto_sub -v``), JSON lines with ``topic`` and ``payload``, or a HAR file of a browser. It is recognised, or ``kind``
    names it: ``payload``, ``packet``, ``batch`` or ``capture``. ``topic`` is that of a payload, if it is known.

    A part that cannot be decoded is a dict with ``error``. Programs that act on messages use :func:`decode_message`, which has
    numbers in place of words.

    Raises :class:`mysa.errors.DecodeError` if the input is empty, or not a capture where ``kind`` says so.

    >>> explain("20 02 00 00")
    [{'packet': 'CONNACK', 'accepted': True, 'session_present': False, 'packet_bytes': 4}]
    """
    return _native.explain(data, kind=kind, topic=topic, modes=modes)


def encode_command(
    device_id: str,
    model: str,
    settings: Mapping[str, Any],
    *,
    message_id: Optional[int] = None,
    time: Optional[float] = None,
    app_ref: str = "python-lib",
    modes: str = "observed",
    envelope: str = "observed",
    min_setpoint: Optional[float] = None,
    max_setpoint: Optional[float] = None,
) -> Tuple[str, bytes]:
    """Return the topic and the payload of a command, to be published with QoS 1 and not retained.

    ``settings`` are named as the arguments of :meth:`mysa.aio.Client.set`. They are checked against the model, and the setpoint
    is rounded to its step. ``message_id`` must be unique; without it, it is the time in milliseconds. ``app_ref`` names the
    sender: the vendor's app sends the id of the user. ``min_setpoint`` and ``max_setpoint`` in °C are the owner's own limits.

    Raises :class:`mysa.errors.RefusedError`, with the valid values, if the model does not take the settings. A model that is
    unknown takes none. Nothing that restarts, unpairs, updates or reprograms a thermostat can be encoded.

    >>> topic, payload = encode_command("a0b1c2d3e4f6", "BB-V2-0", {"setpoint": 20.3}, time=1712345688)
    >>> topic, payload[-30:]
    ('/v1/dev/a0b1c2d3e4f6/in', b',"cmd":[{"tm":-1,"sp":20.5}]}}')
    """
    return _native.encode_command(
        device_id,
        model,
        dict(settings),
        message_id=message_id,
        time=time,
        app_ref=app_ref,
        modes=modes,
        envelope=envelope,
        min_setpoint=min_setpoint,
        max_setpoint=max_setpoint,
    )


def decode_batch(readings: Payload) -> Dict[str, Any]:
    """Decode the readings that a thermostat stored: about one every 30 s.

    ``readings`` is the base64 text of the message, its bytes, or the whole payload of a message on ``/batch`` as bytes. The dict
    has ``records``, each with ``time`` in seconds since the Unix epoch and values with their units in the names; ``problems``,
    a text for each stretch that is damaged; and ``dropped_bytes``.

    >>> decode_batch("yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=")["records"][0]["temperature_c"]
    20.4
    """
    return _native.decode_batch(readings)


def power(
    model: str,
    *,
    duty_cycle: Optional[float] = None,
    heating: Optional[bool] = None,
    current_a: Optional[float] = None,
    current_is_live: bool = True,
    voltage_v: Optional[float] = None,
    rated_watts: Optional[float] = None,
) -> Tuple[Optional[float], str]:
    """Return the power in watts and its basis, ``measured``, ``estimated`` or ``unknown``, by the rule of the model.

    ``current_is_live`` is False for a current of the REST service, which is that of the last heating.

    >>> power("BB-V2-0", duty_cycle=0.42, rated_watts=1000)
    (420.0, 'estimated')
    """
    return _native.power(
        model,
        duty_cycle=duty_cycle,
        heating=heating,
        current_a=current_a,
        current_is_live=current_is_live,
        voltage_v=voltage_v,
        rated_watts=rated_watts,
    )


def entities(
    model: str,
    *,
    modes: str = "observed",
    humidity: bool = False,
    current: bool = False,
    voltage: bool = False,
    rated_power: bool = False,
    energy_history: bool = False,
) -> List[Dict[str, Any]]:
    """Return the entities of a thermostat in a home-automation system, in the terms of Home Assistant.

    The flags are facts about the thermostat: whether it has reported a humidity, a current, a voltage; whether the owner has
    entered the rated power; whether the cloud has an energy history. Each entity is a dict with ``id`` such as
    ``sensor.temperature``, ``name``, ``device_class``, ``unit``, ``state_class``, ``category``, ``range`` (lowest, highest,
    step), ``choices``, ``writable`` and ``enabled``.
    """
    return _native.entities(
        model,
        modes=modes,
        humidity=humidity,
        current=current,
        voltage=voltage,
        rated_power=rated_power,
        energy_history=energy_history,
    )


def presign(
    host: str,
    credentials: Credentials,
    *,
    region: str = "us-east-1",
    port: Optional[int] = None,
    path: str = "/mqtt",
    time: Optional[float] = None,
    expires_s: Optional[int] = None,
) -> Secret:
    """Sign the URL of a WebSocket to AWS IoT, ``wss://HOST/mqtt?X-Amz-...``.

    The URL is a secret, and good for about five minutes: sign a new one for every attempt to connect. Connect with exactly this
    host in the ``Host`` header, and the subprotocol ``mqtt``. For credentials from elsewhere see :func:`presign_with_keys`.
    """
    return _native.presign(
        host,
        credentials.access_key_id,
        credentials.secret_key,
        credentials.session_token,
        region=region,
        port=port,
        path=path,
        time=time,
        expires_s=expires_s,
    )


def presign_with_keys(
    host: str,
    access_key_id: str,
    secret_key: Union[str, Secret],
    session_token: Union[str, Secret, None] = None,
    *,
    region: str = "us-east-1",
    port: Optional[int] = None,
    path: str = "/mqtt",
    time: Optional[float] = None,
    expires_s: Optional[int] = None,
) -> Secret:
    """Sign as :func:`presign`, with keys that come from elsewhere.

    >>> presign_with_keys("a1-ats.iot.us-east-1.amazonaws.com", "ASIAEXAMPLE", "k3y", "t0ken")
    Secret(..)
    """
    return _native.presign(
        host,
        access_key_id,
        secret_key,
        session_token,
        region=region,
        port=port,
        path=path,
        time=time,
        expires_s=expires_s,
    )


def inspect(url: Union[str, Secret]) -> Dict[str, Any]:
    """Read the public parts of a presigned URL: ``host``, ``port``, ``host_header``, ``path``, ``access_key_id``, ``region``,
    ``service``, ``signed_at`` and ``expires_at`` in seconds since the Unix epoch, ``expires_s``, ``signed_headers``,
    ``has_session_token``. The signature is not checked: that requires the secret key."""
    return _native.inspect(url)
