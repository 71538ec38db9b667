"""The design document's facade: discover, subscribe, set.

::

    client = MysaClient(MysaAuth("ann@example.org", "..."))
    client.connect()
    print(client.devices, client.states)
    print(client.set_setpoint("a0b1c2d3e4f6", 20.5).text)
    client.close()

Differences from the document's sketch:

- ``devices`` and ``states`` are kept up to date in the background, and each access returns a new dict.
- ``set_setpoint`` and ``set_mode`` return the :class:`mysa.models.Verdict`.
- Tokens, credentials and URLs are renewed, and connections restored, without the caller.

It is the blocking client of :mod:`mysa.sync` under the document's names. For asyncio see :mod:`mysa.aio`.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from . import sync
from .auth import MysaAuth
from .errors import ClosedError, InvalidValueError
from .models import Device, Service, State, Verdict

__all__ = ["MysaClient"]


class MysaClient:
    """Client of one account. ``settings`` are those of :func:`mysa.aio.connect`, such as ``modes`` or ``command_deadline_s``."""

    def __init__(
        self,
        auth: MysaAuth,
        region: str = "us-east-1",
        *,
        rated_watts: Optional[Mapping[str, float]] = None,
        **settings: Any,
    ) -> None:
        if region != "us-east-1":
            raise InvalidValueError(f"invalid region '{region}': Mysa's cloud is in us-east-1")
        self.auth: MysaAuth = auth
        self.region: str = region
        self._rated = rated_watts
        self._settings = settings
        self._client: Optional[sync.Client] = None

    def __repr__(self) -> str:
        return f"MysaClient({self.auth!r})"

    def connect(self) -> None:
        """Sign in, list the thermostats and connect. Raises as :func:`mysa.sync.connect`."""
        if self._client is not None:
            raise InvalidValueError("the client is connected already")
        auth = self.auth
        self._client = sync.connect(
            auth.email,
            password=auth._password,
            store=auth.store,
            code=auth.code,
            ca=auth.ca,
            connect_to=auth.connect_to,
            rated_watts=self._rated,
            **self._settings,
        )

    @property
    def devices(self) -> Dict[str, Device]:
        """Thermostats by device id; empty before :meth:`connect`."""
        return {} if self._client is None else self._client.devices

    @property
    def states(self) -> Dict[str, State]:
        """Latest states by device id; empty before :meth:`connect`."""
        return {} if self._client is None else self._client.states

    @property
    def service(self) -> Service:
        """Service level, and the reason for it."""
        return self._connected().service

    def set_setpoint(self, device_id: str, temp_c: float) -> Verdict:
        """Request a setpoint in °C and wait for the outcome."""
        return self._connected().set_setpoint(device_id, temp_c)

    def set_mode(self, device_id: str, mode: str) -> Verdict:
        """Request a mode, such as ``heat`` or ``off``, and wait for the outcome."""
        return self._connected().set_mode(device_id, mode)

    def events(self, *, timeout_s: Optional[float] = None) -> sync.Events:
        """Return a stream of events; see :meth:`mysa.sync.Client.events`."""
        return self._connected().events(timeout_s=timeout_s)

    def close(self) -> None:
        """Close the client. May be repeated."""
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> MysaClient:
        if self._client is None:
            self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> sync.Client:
        if self._client is None:
            raise ClosedError("not connected: call connect() first")
        return self._client
