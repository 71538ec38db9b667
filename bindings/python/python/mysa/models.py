"""Values of the package: thermostats, their states, commands and acknowledgements.

Units are in the names: ``_c`` degrees Celsius, ``_pct`` percent, ``_w`` watts, ``_a`` amperes, ``_v`` volts, ``_dbm`` dBm,
``_s`` seconds. A value that is unknown is None.

Differences from the design document's sketch:

- :data:`MODE_MAP_NUM2STR` is the *observed* table, 1 off and 3 heat. The document has them the other way round (1 heat, 3
  off); five public clients contradict it, and a client with the wrong table turns heaters on when it should turn them off. The
  document's table is :data:`DESIGN_DOCUMENT_NUM2STR`; every function that needs a table takes ``modes="design_document"``.
- :class:`State` has more fields, after those of the sketch.
- :func:`parse_out_message` checks that the payload is about the thermostat of its topic, ignores values outside their physical
  range (thermostats send -1 and NaN for missing ones), and decodes all known messages, not only ``msg`` 40 and 44.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from . import _native
from .errors import InvalidValueError, MysaError, RefusedError, UnconfirmedError

__all__ = [
    "Ack",
    "Command",
    "DESIGN_DOCUMENT_NUM2STR",
    "DESIGN_DOCUMENT_STR2NUM",
    "Device",
    "MODE_MAP_NUM2STR",
    "MODE_MAP_STR2NUM",
    "Service",
    "State",
    "Thermostat",
    "Verdict",
    "compute_power",
    "parse_ack",
    "parse_out_message",
]

MODE_MAP_NUM2STR: Dict[int, str] = {1: "off", 2: "auto", 3: "heat", 4: "cool", 5: "fan_only", 6: "dry"}
"""Modes by their number in MQTT messages, as observed. On in-floor thermostats 5 is heat by the room sensor; functions that
are given the model know that."""

MODE_MAP_STR2NUM: Dict[str, int] = {name: number for number, name in MODE_MAP_NUM2STR.items()}
"""Numbers of the modes in MQTT messages, as observed."""

DESIGN_DOCUMENT_NUM2STR: Dict[int, str] = {1: "heat", 3: "off"}
"""The design document's table, which every other source contradicts."""

DESIGN_DOCUMENT_STR2NUM: Dict[str, int] = {name: number for number, name in DESIGN_DOCUMENT_NUM2STR.items()}
"""Numbers of the modes in the design document's table."""

Payload = Union[str, bytes, bytearray, memoryview]
"""Content of a message."""


@dataclass
class Device:
    """A thermostat of the account."""

    id: str
    """Device id: the Wi-Fi MAC address in lower case without separators."""
    name: str
    """Name that the owner gave, or the id if there is none."""
    model: str
    """Model, such as ``BB-V2-0``."""
    rated_watts: Optional[int] = None
    """Rated power of the heater in watts, as entered by its owner. The cloud does not know it."""
    family: Optional[str] = None
    """Family of the model. None if the model is unknown: then the thermostat is never commanded."""
    home: Optional[str] = None
    """Id of the home."""


@dataclass
class State:
    """State of a thermostat. The first six fields are those of the design document."""

    temperature_c: Optional[float] = None
    """Room temperature in °C."""
    humidity_pct: Optional[float] = None
    """Relative humidity of the room, 0 to 100 %."""
    setpoint_c: Optional[float] = None
    """Target temperature in °C."""
    duty_cycle: Optional[float] = None
    """Fraction of the time for which the heater is on, 0.0 to 1.0."""
    mode: Optional[str] = None
    """Mode, such as ``heat`` or ``off``; the number as text if it has no known name."""
    power_w: Optional[int] = None
    """Power in whole watts; see :attr:`power_basis`."""
    floor_temperature_c: Optional[float] = None
    """Temperature of the floor probe in °C; in-floor heating."""
    heating: Optional[bool] = None
    """True if the relay conducts; in-floor heating."""
    current_a: Optional[float] = None
    """Current in amperes, on models that measure it."""
    voltage_v: Optional[float] = None
    """Line voltage in volts, on models that measure it."""
    locked: Optional[bool] = None
    """True if the buttons are locked."""
    hold: Optional[str] = None
    """Hold against the schedule: ``follow_schedule``, ``permanent``, ``until``, or ``follow_or_until`` if the report leaves
    open which of the two it is."""
    hold_until: Optional[float] = None
    """End of the hold in seconds since the Unix epoch."""
    fan: Optional[str] = None
    """Fan speed; air conditioners."""
    swing: Optional[str] = None
    """Vertical direction of the louvres; air conditioners."""
    horizontal_swing: Optional[str] = None
    """Horizontal direction of the louvres; air conditioners."""
    tracked_sensor: Optional[str] = None
    """Sensor that in-floor heating follows: ``floor`` or ``ambient``."""
    connected: Optional[bool] = None
    """True if the thermostat is connected to the cloud."""
    signal_dbm: Optional[int] = None
    """Strength of the Wi-Fi signal in dBm."""
    power_basis: Optional[str] = None
    """Basis of :attr:`power_w`: ``measured`` or ``estimated``."""


def parse_out_message(
    topic: str, payload: Payload, *, model: Optional[str] = None, modes: str = "observed"
) -> State:
    """Decode the state in a message of a thermostat. Fields that the message does not have are None.

    ``topic`` is the topic that it arrived on, ``/v1/dev/ID/out``. ``model`` decides about values whose meaning depends on the
    model; without it, all fields are taken as they are. ``modes`` is ``observed`` or ``design_document``.

    A message without a state, and one that names another thermostat than its topic, give an empty state.

    Raises :class:`mysa.errors.DecodeError` if the payload is not a message (thermostats send a truncated one every few days) or
    the topic is not one of a thermostat.

    >>> parse_out_message("/v1/dev/a0b1c2d3e4f6/out", '{"msg": 40, "body": {"ambTemp": 19.1, "stpt": 20.0}}').setpoint_c
    20.0
    """
    return _native.parse_out_message(topic, payload, model=model, modes=modes)


def compute_power(state: State, rated_watts: Optional[int]) -> None:
    """Set ``state.power_w`` to the duty cycle × ``rated_watts``, rounded to whole watts with halves to even.

    As in the design document, nothing happens if the duty cycle or the rated power is unknown. In-floor heating reports a
    relay instead of a duty cycle; it counts as 0 or 1. The result is an estimate; thermostats that measure their current are
    better served by :attr:`State.power_w` of a client.

    >>> state = State(duty_cycle=0.42)
    >>> compute_power(state, 1000)
    >>> state.power_w
    420
    """
    if rated_watts is not None and not 0 <= rated_watts <= 1_000_000:
        raise InvalidValueError(f"invalid rated power {rated_watts}: expected watts, 0 to 1000000")
    duty = state.duty_cycle
    if duty is None and state.heating is not None:
        duty = 1.0 if state.heating else 0.0
    if duty is not None and rated_watts:
        state.power_w = round(duty * rated_watts)
        state.power_basis = "estimated"


@dataclass
class Command:
    """Requested settings of a thermostat. The design document names the class and no fields."""

    device_id: str
    """Thermostat that it is for."""
    setpoint_c: Optional[float] = None
    """Target temperature in °C, moved to the nearest step of the model."""
    mode: Optional[str] = None
    """Mode, such as ``heat`` or ``off``."""
    hold: Union[str, float, None] = None
    """``permanent``, ``follow_schedule``, or the end of a hold in seconds since the Unix epoch."""
    lock: Optional[bool] = None
    """True to lock the buttons."""
    fan: Union[str, int, None] = None
    """Fan speed: a name such as ``auto``, or a number; air conditioners."""

    def settings(self) -> Dict[str, Any]:
        """Return the requested settings by the names of the arguments of :meth:`mysa.aio.Client.set`."""
        named = {
            "setpoint": self.setpoint_c,
            "mode": self.mode,
            "hold": self.hold,
            "lock": self.lock,
            "fan": self.fan,
        }
        return {name: value for name, value in named.items() if value is not None}

    def encode(
        self,
        model: str,
        *,
        message_id: Optional[int] = None,
        time: Optional[float] = None,
        app_ref: str = "python-lib",
        modes: str = "observed",
        envelope: str = "observed",
    ) -> Tuple[str, bytes]:
        """Return the topic and the payload; see :func:`mysa.protocol.encode_command`.

        >>> Command("a0b1c2d3e4f6", setpoint_c=20).encode("BB-V2-0", envelope="design_document", time=1712345688)[0]
        '/v1/dev/a0b1c2d3e4f6/in'
        """
        return _native.encode_command(
            self.device_id,
            model,
            self.settings(),
            message_id=message_id,
            time=time,
            app_ref=app_ref,
            modes=modes,
            envelope=envelope,
        )


@dataclass
class Ack:
    """Acknowledgement of a command by a thermostat. The design document names the class and no fields."""

    device_id: str
    """Thermostat that sent it."""
    success: Optional[bool]
    """True if the thermostat took the command."""
    state: State
    """State in the acknowledgement: the settings that the thermostat holds now."""
    resp_id: Optional[int] = None
    """Id of the command that it answers."""


def parse_ack(
    topic: str, payload: Payload, *, model: Optional[str] = None, modes: str = "observed"
) -> Optional[Ack]:
    """Decode an acknowledgement. None if the message is another one, or about another thermostat than its topic.

    An acknowledgement with ``success`` is no proof that the thermostat holds the requested values: compare ``state``, or leave
    that to a client, whose verdict does.

    >>> parse_ack("/v1/dev/a0b1c2d3e4f6/out", '{"msg": 44, "body": {"success": 1, "state": {"sp": 20.0}}}').success
    True
    """
    message = _native.decode_message(topic, payload, model=model, modes=modes)
    if message["kind"] != "ack" or not message["is_about"]:
        return None
    return Ack(message["device"], message["success"], State(**(message["state"] or {})), message["resp_id"])


@dataclass(frozen=True)
class Verdict:
    """Outcome of a command. Every command gets exactly one. It is true if the command is confirmed."""

    outcome: str
    """``confirmed``: a state observed after sending shows the requested values. ``unconfirmed``: it was sent, and it is unknown
    whether the thermostat holds the change. ``refused``: nothing was done. ``superseded``: a newer command requests the same.
    ``expired``: it was never sent."""
    text: str
    """Description for people, such as ``confirmed by the thermostat after 1.2 s``."""
    after_s: Optional[float] = None
    """Seconds from the request to the verdict; confirmed and unconfirmed."""
    by: Optional[str] = None
    """Evidence, if confirmed: ``ack``, ``status``, ``rest`` or ``reported``."""
    changed: Optional[bool] = None
    """If confirmed: False if the thermostat held the values before."""
    reached: Optional[str] = None
    """Furthest stage that it is known to have reached: ``wire``, ``service`` or ``thermostat``."""
    seen: Optional[Mapping[str, Any]] = None
    """If unconfirmed: the settings that the thermostat has shown since sending."""
    reason: Optional[str] = None
    """If refused or expired: the reason."""
    refused_by: Optional[str] = None
    """If refused: ``client``, ``service`` or ``thermostat``."""
    status: Optional[int] = None
    """HTTP status, if the REST service refused it."""
    retry_after: Optional[float] = None
    """Seconds to wait, if the REST service gave a time."""

    @property
    def is_confirmed(self) -> bool:
        """True if the thermostat is known to hold the requested values."""
        return self.outcome == "confirmed"

    def __bool__(self) -> bool:
        return self.is_confirmed

    def check(self) -> "Verdict":
        """Return the verdict if it is confirmed; otherwise raise it.

        Raises :class:`mysa.errors.RefusedError` if nothing was done (refused, superseded or expired without having been sent),
        and :class:`mysa.errors.UnconfirmedError` if the command may have taken effect.
        """
        if self.is_confirmed:
            return self
        error: MysaError
        if self.outcome == "unconfirmed" or self.reached is not None:
            error = UnconfirmedError(self.text)
        else:
            error = RefusedError(self.text, status=self.status, retry_after=self.retry_after)
        raise error


@dataclass(frozen=True)
class Service:
    """Service level of a client, the reason for it, and the time it began."""

    level: str
    """``live``: states are pushed and commands use MQTT. ``partial``: states of some thermostats are pushed. ``read_only``: MQTT
    accepts no commands. ``rest_only``: states are polled. ``offline``: there is no source. ``sign_in_needed``: a person has to
    act."""
    reason: str
    """Reason why the level is not higher, for people."""
    is_healthy: bool
    """True if nothing is wrong."""
    since: float
    """Start of the level in seconds since the Unix epoch."""
    for_s: float
    """Seconds since the start of the level."""


@dataclass(frozen=True)
class Thermostat:
    """Snapshot of a thermostat: what it is, its state, and how current that is."""

    device: Device
    """What it is."""
    state: State
    """Its state, merged from all sources; of each value the latest."""
    link: str
    """Source of the state: ``live`` (MQTT), ``rest``, ``silent``, ``offline``, ``unseen`` or ``unreachable``."""
    stale: bool
    """True if it has not reported for longer than expected."""
    age_s: Optional[float]
    """Seconds since its latest sign of life. None if there was none."""
    pending: Mapping[str, Any]
    """Requested settings that have no verdict yet."""
    setpoint_range_c: Optional[Tuple[float, float, float]]
    """Lowest setpoint, highest setpoint and step in °C, in the present mode."""

    @property
    def id(self) -> str:
        """Device id."""
        return self.device.id

    @property
    def name(self) -> str:
        """Name that the owner gave, or the id."""
        return self.device.name


def _thermostat(values: Dict[str, Any], rated_watts: Mapping[str, float]) -> Thermostat:
    rated = rated_watts.get(values["id"])
    device = Device(
        id=values["id"],
        name=values["name"],
        model=values["model"],
        rated_watts=None if rated is None else round(rated),
        family=values["family"],
        home=values["home"],
    )
    return Thermostat(
        device=device,
        state=values["state"],
        link=values["link"],
        stale=values["stale"],
        age_s=values["age_s"],
        pending=values["pending"] or {},
        setpoint_range_c=values["setpoint_range_c"],
    )
