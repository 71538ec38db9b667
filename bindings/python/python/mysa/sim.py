"""The simulated cloud, in this process: for tests, and to try the package without an account.

It answers for every host of Mysa's cloud on one port of 127.0.0.1, over TLS: sign-in, REST, the MQTT broker, and thermostats in
rooms that warm up and cool down.

>>> import mysa
>>> with SimulatedCloud() as cloud:
...     with mysa.sync.connect(cloud.email, password=cloud.password, **cloud.options) as client:
...         verdict = client.set(client.find("Kitchen").id, setpoint=20.5)
...         print(verdict.outcome, cloud.truth(client.find("Kitchen").id)["setpoint_c"])
confirmed 20.5

In tests with pytest, the fixture ``mysa_cloud`` is one for each test.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import _native

__all__ = ["SimulatedCloud", "faults"]


def faults() -> Dict[str, str]:
    """Return the names of all faults, with a description of each."""
    return dict(_native.sim_faults())


class SimulatedCloud:
    """Cloud with one account and a home of thermostats. It runs from its creation until :meth:`stop`.

    ``devices`` are ids, models and names; without them, there is one thermostat of each family with MQTT: "Living room"
    (``BB-V1-1``), "Kitchen" (``BB-V2-0``), "Bedroom" (``BB-V2-0-L``), "Bathroom" (``INF-V1-0``), "Office" (``AC-V1-0``).
    ``faults`` are names of :func:`faults`, with times if wanted, as in ``offline@60-120``. ``seed`` decides everything random.
    ``speed`` is the number of virtual seconds per second.
    """

    def __init__(
        self,
        *,
        devices: Optional[Sequence[Tuple[str, str, str]]] = None,
        faults: Iterable[str] = (),
        seed: int = 1,
        speed: float = 1.0,
        port: int = 0,
    ) -> None:
        known = None if devices is None else [tuple(device) for device in devices]
        self._native = _native.SimServer.start(known, list(faults), seed, speed, port)  # type: ignore[arg-type]

    @property
    def email(self) -> str:
        """E-mail address of the account."""
        return self._native.email

    @property
    def password(self) -> str:
        """Password of the account, which is public."""
        return self._native.password

    @property
    def address(self) -> str:
        """Address of the listener, such as ``127.0.0.1:8443``."""
        return self._native.address

    @property
    def ca_pem(self) -> str:
        """Certificate of the authority that a client must trust, as PEM."""
        return self._native.ca_pem

    @property
    def options(self) -> Dict[str, Any]:
        """Arguments with which ``connect``, :class:`mysa.auth.MysaAuth`, :class:`mysa.rest.MysaRest` and
        :class:`mysa.mqtt_client.MysaMqtt` use this cloud."""
        return {"ca": self.ca_pem, "connect_to": self.address}

    @property
    def device_ids(self) -> List[str]:
        """Ids of the thermostats."""
        return self._native.device_ids()

    def truth(self, device_id: str) -> Dict[str, Any]:
        """Return the true state of a thermostat, which clients cannot see: ``setpoint_c``, ``mode``, ``heating``, ``power_w``,
        ``rated_watts``, ``temperature_c``, ``floor_temperature_c``, ``energy_kwh``, ``locked``, ``live`` (live reporting is
        active) and ``commands`` (number of commands and button presses)."""
        return self._native.truth(device_id)

    @property
    def counters(self) -> Dict[str, int]:
        """Counters since the start, such as ``sign_ins``, ``publishes`` and ``dangerous_requests``."""
        return self._native.counters()

    def set_room(self, device_id: str, temperature_c: float) -> None:
        """Set the temperature of a room in °C. Its thermostat notices when it next reads its sensor."""
        self._native.set_room(device_id, temperature_c)

    def turn(self, device_id: str, *, setpoint: Optional[float] = None, mode: Optional[str] = None) -> None:
        """Change the setpoint in °C, the mode, or both, like a person at the thermostat."""
        self._native.turn(device_id, setpoint, mode)

    def press(self, device_id: str, button: str) -> None:
        """Press the button ``up`` or ``down`` once."""
        if button not in ("up", "down"):
            raise ValueError(f"invalid button '{button}': expected up or down")
        self._native.press(device_id, button == "up")

    def fault(
        self,
        name: str,
        device_id: Optional[str] = None,
        *,
        delay_s: float = 0.0,
        lasts_s: Optional[float] = None,
    ) -> None:
        """Start a fault of :func:`faults`, for one thermostat or all, for a time or until :meth:`end_faults`."""
        self._native.start_fault(name, device_id, delay_s, lasts_s)

    def end_faults(self) -> None:
        """End all faults."""
        self._native.end_faults()

    def cut_connections(self) -> None:
        """Cut every connection, as a failure of the network does."""
        self._native.cut_connections()

    def advance(self, seconds: float) -> None:
        """Move the cloud's clock forward, and handle everything that falls due. Clocks of clients do not move."""
        self._native.advance(seconds)

    def freeze(self) -> None:
        """Stop the cloud's clock: thermostats stand still, requests are answered."""
        self._native.freeze(True)

    def resume(self) -> None:
        """Let the clock run again."""
        self._native.freeze(False)

    def stop(self) -> None:
        """Stop the cloud. May be repeated."""
        self._native.stop()

    def __enter__(self) -> SimulatedCloud:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"SimulatedCloud({self.address!r})"
