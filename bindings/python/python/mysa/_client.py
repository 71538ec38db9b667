"""What the asynchronous and the blocking client share."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _native
from .errors import ClosedError, InvalidValueError
from .models import Device, Service, State, Thermostat, _thermostat

PathLike = Union[str, "os.PathLike[str]"]
Ca = Union[str, bytes, "os.PathLike[str]", None]


def pem(ca: Ca) -> Optional[bytes]:
    """Return certificates that are given as PEM or as the path of a file."""
    if ca is None:
        return None
    if isinstance(ca, bytes):
        return ca
    text = os.fspath(ca)
    if "-----BEGIN" in text:
        return text.encode()
    with open(text, "rb") as file:
        return file.read()


def options(
    account: Optional[str],
    password: Union[str, _native.Secret, None],
    store: Optional[PathLike],
    ca: Ca,
    settings: Mapping[str, Any],
) -> Dict[str, Any]:
    """Return the options of the client in Rust."""
    known: Dict[str, Any] = {"account": account, "password": password, "ca_pem": pem(ca), **settings}
    known["store"] = None if store is None else os.fspath(store)
    return known


class BaseClient:
    """Getters of a client, which never wait."""

    def __init__(self, native: _native.Client, rated_watts: Optional[Mapping[str, float]]) -> None:
        self._native = native
        self._rated = dict(rated_watts or {})

    @property
    def thermostats(self) -> Dict[str, Thermostat]:
        """Snapshots of the thermostats by device id."""
        found = [_thermostat(values, self._rated) for values in self._native.devices(self._rated)]
        return {thermostat.id: thermostat for thermostat in found}

    @property
    def devices(self) -> Dict[str, Device]:
        """Thermostats by device id."""
        return {id: thermostat.device for id, thermostat in self.thermostats.items()}

    @property
    def states(self) -> Dict[str, State]:
        """States of the thermostats by device id."""
        return {id: thermostat.state for id, thermostat in self.thermostats.items()}

    def thermostat(self, device_id: str) -> Optional[Thermostat]:
        """Return the snapshot of a thermostat. None if the account has no such thermostat."""
        values = self._native.device(device_id, self._rated.get(device_id))
        return None if values is None else _thermostat(values, self._rated)

    def find(self, name: str) -> Thermostat:
        """Return the thermostat with this device id or name. Case makes no difference.

        Raises :class:`mysa.errors.InvalidValueError` if there is none, or if several have the name.
        """
        wanted = name.strip().casefold()
        all_known = self.thermostats
        if wanted in all_known:
            return all_known[wanted]
        found = [one for one in all_known.values() if one.name.strip().casefold() == wanted]
        if len(found) == 1:
            return found[0]
        known = ", ".join(sorted(one.name for one in all_known.values())) or "none"
        if found:
            raise InvalidValueError(f"several thermostats are named '{name}': use the device id")
        raise InvalidValueError(f"no thermostat is named '{name}'; known: {known}")

    @property
    def service(self) -> Service:
        """Service level, and the reason for it."""
        return Service(**self._native.service())

    @property
    def is_live(self) -> bool:
        """True while states are pushed and commands use MQTT."""
        return self._native.is_live

    @property
    def resources(self) -> Dict[str, int]:
        """Sockets, tasks and bytes that the client holds now."""
        return self._native.resources()

    def __repr__(self) -> str:
        try:
            level = self.service.level
        except ClosedError:
            level = "closed"
        return f"<{type(self).__module__}.{type(self).__name__} {level}>"

    def __reduce__(self) -> Any:
        raise TypeError("a client cannot be pickled or copied: it is a connection")


def requested(settings: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the settings that are given."""
    return {name: value for name, value in settings.items() if value is not None}


def pairs(devices: Mapping[str, str]) -> List[Tuple[str, str]]:
    """Return ids and models as a list."""
    return list(devices.items())
