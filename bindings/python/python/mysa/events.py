"""Events of a client.

A program reads them from ``client.events()``. The stream is bounded. For a slow reader, the events of one thermostat are merged
into one, and the snapshot in it is the latest, so intermediate states are lost and the latest never. Verdicts and the service
level are kept longest; a :class:`DroppedEvent` counts what was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Tuple

from .models import Service, Thermostat, Verdict

__all__ = [
    "ChallengeEvent",
    "DeviceAddedEvent",
    "DeviceEvent",
    "DeviceRemovedEvent",
    "DroppedEvent",
    "Event",
    "MessageEvent",
    "OtherEvent",
    "ServiceEvent",
    "VerdictEvent",
]


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class DeviceEvent(Event):
    """A thermostat changed."""

    device_id: str
    """Device id."""
    thermostat: Optional[Thermostat]
    """Latest snapshot. None if the thermostat has left the account since."""
    changes: FrozenSet[str]
    """Names of the values that changed, such as ``temperature``, ``setpoint`` or ``duty``. Empty if only the link or the name
    changed."""
    skipped: int
    """Number of further changes that this event includes, because the reader was slow."""


@dataclass(frozen=True)
class DeviceAddedEvent(Event):
    """A thermostat was added to the account."""

    device_id: str
    """Device id."""


@dataclass(frozen=True)
class DeviceRemovedEvent(Event):
    """A thermostat was removed from the account."""

    device_id: str
    """Device id."""


@dataclass(frozen=True)
class VerdictEvent(Event):
    """A command was decided, also one whose caller did not wait for it."""

    device_id: str
    """Thermostat that the command was for."""
    verdict: Verdict
    """Outcome."""


@dataclass(frozen=True)
class ServiceEvent(Event):
    """The service level or its reason changed."""

    service: Service
    """The new level."""


@dataclass(frozen=True)
class ChallengeEvent(Event):
    """Sign-in needs an answer from a person, given by ``answer_challenge``."""

    challenge: str
    """Cognito's name of the challenge, such as ``SMS_MFA``."""
    destination: Optional[str]
    """Address that the code was sent to, as the service masks it."""
    choices: Tuple[str, ...]
    """Answers to choose from, if the challenge is a choice."""
    again: bool
    """True if the last answer was wrong or too late."""


@dataclass(frozen=True)
class MessageEvent(Event):
    """Raw message, with ``raw_messages=True``."""

    device_id: str
    """Thermostat of the topic."""
    topic: str
    """Topic."""
    payload: bytes
    """Whole payload."""


@dataclass(frozen=True)
class DroppedEvent(Event):
    """Events were dropped because the reader was slow."""

    count: int
    """Number of dropped events."""


@dataclass(frozen=True)
class OtherEvent(Event):
    """Any other event: ``contradiction`` (heats although its mode is off), ``unreadable`` (a message that cannot be decoded),
    ``clock_off`` (the host's clock is wrong), ``signed_out``."""

    kind: str
    """Name of the event."""
    details: Mapping[str, Any]
    """Values of the event."""


def _event(values: Dict[str, Any], snapshot: Callable[[str], Optional[Thermostat]]) -> Event:
    kind = values.pop("kind")
    if kind == "device":
        device_id = values["device_id"]
        return DeviceEvent(device_id, snapshot(device_id), frozenset(values["changes"]), values["skipped"])
    if kind == "verdict":
        return VerdictEvent(values["device_id"], Verdict(**values["verdict"]))
    if kind == "service":
        return ServiceEvent(Service(**values["service"]))
    if kind == "device_added":
        return DeviceAddedEvent(values["device_id"])
    if kind == "device_removed":
        return DeviceRemovedEvent(values["device_id"])
    if kind == "challenge":
        return ChallengeEvent(
            values["challenge"], values["destination"], tuple(values["choices"]), values["again"]
        )
    if kind == "message":
        return MessageEvent(values["device_id"], values["topic"], values["payload"])
    if kind == "dropped":
        return DroppedEvent(values["count"])
    return OtherEvent(kind, values)
