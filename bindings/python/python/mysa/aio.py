"""Client for asyncio.

::

    async with mysa.connect("ann@example.org", password="...") as client:
        print(client.thermostats)
        verdict = await client.set(client.find("Bedroom").id, setpoint=20.5)
        print(verdict.text)
        async for event in client.events():
            print(event)

Network and timers run in two threads of Rust; no thread of Python is blocked. Every ``await`` may be cancelled at any time. A
command that was already handed over continues without its caller, and its verdict still arrives as an event.

A client belongs to the process that made it: connect after a fork, not before.
"""

from __future__ import annotations

import inspect
import json
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Generator, List, Mapping, Optional, Sequence, Union

from . import _native
from ._client import BaseClient, Ca, PathLike, options, requested
from .errors import ChallengeError, TransportError
from .events import Event, _event
from .models import Verdict

__all__ = ["Client", "Connecting", "Events", "connect"]

CodeSource = Callable[[ChallengeError], Union[str, Awaitable[str]]]


def connect(
    account: Optional[str] = None,
    *,
    password: Union[str, _native.Secret, None] = None,
    store: Optional[PathLike] = None,
    code: Optional[CodeSource] = None,
    rated_watts: Optional[Mapping[str, float]] = None,
    read_only: bool = False,
    wait_until_ready: bool = True,
    environment: str = "mysa",
    ca: Ca = None,
    connect_to: Optional[str] = None,
    modes: str = "observed",
    envelope: str = "observed",
    authorization: str = "raw",
    channel: str = "auto",
    confirm_by: str = "ack",
    command_deadline_s: float = 30.0,
    live_reports: bool = True,
    wildcard: bool = False,
    batch: bool = False,
    raw_messages: bool = False,
    lookup_endpoint: bool = False,
    user_agent: Optional[str] = None,
) -> Connecting:
    """Sign in, list the thermostats and keep them up to date: use it with ``async with``, or await it.

    ``account`` is the e-mail address. ``store`` is a folder for the session (a file that only its owner can read), with which
    the next start needs no password; sign-ins by password should be rare, because the service locks accounts. ``code`` is called
    if sign-in needs a code, with a :class:`mysa.errors.ChallengeError`, and returns the code. ``rated_watts`` are the heaters'
    powers by device id, which the cloud does not know. ``read_only`` refuses all commands. With ``wait_until_ready=False``, the
    client is returned at once and goes on trying by itself.

    For tests: ``environment`` is ``mysa``, ``mysa_modern`` (the app client of the 4.x apps, which neither publishes nor
    receives) or ``HOST:PORT``; ``ca`` is a further certificate authority, as PEM or the path of a file; ``connect_to`` is the
    address of every socket, such as ``127.0.0.1:8443``.

    Where the witnesses of the protocol disagree: ``modes`` and ``envelope`` are ``observed`` or ``design_document``,
    ``authorization`` is ``raw`` or ``bearer``. The document's modes are for MQTT: use them with ``channel="mqtt"``. ``channel`` for commands is ``auto``, ``mqtt`` or ``structured`` (the REST
    service). ``confirm_by`` is ``ack`` or ``status``: whether an acknowledgement with the values confirms a command.
    ``command_deadline_s`` is the time limit of a command. ``live_reports=False`` leaves the thermostats' rate of reports alone.
    ``wildcard`` subscribes to all thermostats at once. ``batch`` subscribes to stored readings too. ``raw_messages`` adds a
    :class:`mysa.events.MessageEvent` for each message. ``lookup_endpoint`` asks AWS for the broker's host.

    Raises :class:`mysa.errors.AuthError`, :class:`mysa.errors.ChallengeError` if there is no ``code``,
    :class:`mysa.errors.TransportError` if the cloud cannot be reached, :class:`mysa.errors.StoreError`, and
    :class:`mysa.errors.InvalidValueError`.
    """
    native = options(
        account,
        # From here on, no frame of a traceback holds the password as text.
        None if password is None else _native.Secret(password),
        store,
        ca,
        {
            "read_only": read_only,
            "environment": environment,
            "connect_to": connect_to,
            "modes": modes,
            "envelope": envelope,
            "authorization": authorization,
            "channel": channel,
            "confirm_by": confirm_by,
            "command_deadline_s": command_deadline_s,
            "live_reports": live_reports,
            "wildcard": wildcard,
            "batch": batch,
            "raw_messages": raw_messages,
            "lookup_endpoint": lookup_endpoint,
            "user_agent": user_agent,
        },
    )
    del password
    return Connecting(native, code, rated_watts, wait_until_ready)


class Connecting:
    """Result of :func:`connect`: a context manager, and an awaitable of a :class:`Client`."""

    def __init__(
        self,
        native_options: Dict[str, Any],
        code: Optional[CodeSource],
        rated_watts: Optional[Mapping[str, float]],
        wait_until_ready: bool,
    ) -> None:
        self._options = native_options
        self._code = code
        self._rated = rated_watts
        self._wait = wait_until_ready
        self._client: Optional[Client] = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def _connect(self) -> Client:
        client = Client(_native.Client.start(dict(self._options)), self._rated)
        try:
            while self._wait:
                try:
                    await client.ready()
                    break
                except ChallengeError as challenge:
                    if self._code is None:
                        raise
                    answer = self._code(challenge)
                    await client.answer_challenge(await answer if inspect.isawaitable(answer) else answer)
        except BaseException:
            # The connection ends with the last handle, and a cancelled caller must not wait for that.
            client._close_now()
            raise
        return client

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    def __repr__(self) -> str:
        return "<mysa.aio.Connecting>"


class Client(BaseClient):
    """Client of one account. Made by :func:`connect`."""

    async def ready(self) -> None:
        """Wait until the client is signed in and has listed the thermostats.

        Raises :class:`mysa.errors.ChallengeError`, :class:`mysa.errors.AuthError`, :class:`mysa.errors.ClosedError`, and
        :class:`mysa.errors.TransportError` while the cloud cannot be reached; the client keeps trying, so wait again.
        """
        await self._native.ready(False)

    async def answer_challenge(self, answer: Union[str, _native.Secret]) -> None:
        """Answer a challenge with a code or with one of its choices, then wait until :meth:`ready` again."""
        await self._native.answer_challenge(answer, False)

    async def wait_for_states(self, timeout_s: float = 10.0) -> bool:
        """Wait until the state of every thermostat is known, which takes a moment after the list is read. False if that took
        longer than ``timeout_s`` seconds, for example because one has never reported."""
        events = self._native.events()
        deadline = time.monotonic() + timeout_s
        while any(one.age_s is None for one in self.thermostats.values()):
            left = deadline - time.monotonic()
            if left <= 0 or not await events.wait(False, left):
                return False
            events.take()
        return True

    async def set(
        self,
        device_id: str,
        *,
        setpoint: Optional[float] = None,
        mode: Optional[str] = None,
        hold: Any = None,
        lock: Optional[bool] = None,
        brightness: Union[int, Mapping[str, Any], None] = None,
        proximity: Optional[bool] = None,
        fan: Union[str, int, None] = None,
        swing: Union[str, int, None] = None,
        horizontal_swing: Union[str, int, None] = None,
        climate_plus: Optional[bool] = None,
        tracked_sensor: Optional[str] = None,
        auto_setpoints: Optional[Sequence[float]] = None,
        temperature_offset: Optional[float] = None,
        deadline_s: Optional[float] = None,
    ) -> Verdict:
        """Request settings of a thermostat as one command, and return the verdict.

        ``setpoint`` is in °C and moved to the nearest step of the model; ``mode`` is a name such as ``heat`` or ``off``; ``hold``
        is ``permanent``, ``follow_schedule``, or the end of a hold as a datetime with a time zone or in seconds since the Unix
        epoch; ``lock`` locks the buttons; ``brightness`` is in percent while in use, or a dict with ``active``, ``idle``,
        ``auto``, ``active_seconds``, ``idle_seconds``; ``proximity`` wakes the display when somebody approaches; ``fan`` is a
        name or a number, ``swing`` and ``horizontal_swing`` numbers of positions; ``climate_plus`` lets the thermostat's own
        sensor drive the air conditioner; ``tracked_sensor`` is ``floor`` or ``ambient``; ``auto_setpoints`` are heat and cool
        in °C; ``temperature_offset`` is in °C, -5 to 5. ``deadline_s`` is the time limit; without it, that of the client.

        A refusal is a verdict too, not an exception: use :meth:`mysa.models.Verdict.check` to raise it. Commands to one
        thermostat leave at least 2 s apart, and of several waiting for the same setting only the newest leaves.

        Raises :class:`mysa.errors.InvalidValueError` for a value that is none, :class:`mysa.errors.ClosedError`, and
        :class:`mysa.errors.TransportError` if too many commands are open.
        """
        settings = requested(
            {
                "setpoint": setpoint,
                "mode": mode,
                "hold": hold,
                "lock": lock,
                "brightness": brightness if brightness is None or isinstance(brightness, int) else dict(brightness),
                "proximity": proximity,
                "fan": fan,
                "swing": swing,
                "horizontal_swing": horizontal_swing,
                "climate_plus": climate_plus,
                "tracked_sensor": tracked_sensor,
                "auto_setpoints": None if auto_setpoints is None else tuple(auto_setpoints),
                "temperature_offset": temperature_offset,
            }
        )
        return Verdict(**await self._native.set(device_id, settings, deadline_s, False))

    async def set_setpoint(self, device_id: str, temp_c: float) -> Verdict:
        """Request a setpoint in °C. See :meth:`set`."""
        return await self.set(device_id, setpoint=temp_c)

    async def set_mode(self, device_id: str, mode: str) -> Verdict:
        """Request a mode. See :meth:`set`."""
        return await self.set(device_id, mode=mode)

    async def preview(self, device_id: str, **settings: Any) -> Dict[str, Any]:
        """Return what :meth:`set` would send now, and send nothing: ``channel``, ``settings`` rounded to the thermostat's steps,
        ``before`` (what it holds now) and ``payload``.

        Raises :class:`mysa.errors.RefusedError` with the reason that the verdict would have.
        """
        return await self._native.preview(device_id, requested(settings), False)

    def events(self) -> Events:
        """Return a new stream of events, from now on; see :mod:`mysa.events`. The stream ends with the client."""
        return Events(self, self._native.events())

    async def get(self, path: str, *, backend: bool = False) -> Any:
        """Read a path of the REST service, such as ``/homes``, and return the decoded JSON. ``backend`` selects the newer host.

        Raises :class:`mysa.errors.RefusedError` with ``status``, :class:`mysa.errors.TransportError`, and
        :class:`mysa.errors.AuthError`.
        """
        body = await self._native.get(path, backend, False)
        try:
            return json.loads(body)
        except ValueError:
            raise TransportError("the answer of the REST service is not JSON") from None

    async def energy(self, device_id: str, start: float, end: float, *, time_zone: str = "UTC") -> List[Dict[str, Any]]:
        """Read the energy history between two times in seconds since the Unix epoch: a dict for each local day with ``start``,
        ``energy_kwh`` and ``heating_s``, each None if unknown."""
        return await self._native.energy(device_id, start, end, time_zone, False)

    async def presign(self) -> _native.Secret:
        """Return a presigned URL with which another MQTT client can connect, for about five minutes. It is a secret."""
        return await self._native.presign(False)

    async def sign_out(self) -> str:
        """Revoke the refresh token, delete the stored session and close the client. Returns ``revoked``, ``not_reached``
        (the token may still work; repeat), ``refused`` or ``nothing_to_revoke``."""
        return await self._native.sign_out(False)

    async def close(self) -> None:
        """Decide open commands, say goodbye to the broker and close the connections. May be repeated."""
        await self._native.shutdown(False)

    def _close_now(self) -> None:
        """Let go of the client: its connection ends, and every other call fails."""
        self._native = _Closed()  # type: ignore[assignment]

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Closed:
    """Stands in for the Rust part of a client that was never ready."""

    def __getattr__(self, name: str) -> Any:
        from .errors import ClosedError

        raise ClosedError("the client is closed")


class Events(AsyncIterator[Event]):
    """Stream of events. Cancelling the wait for an event loses none."""

    def __init__(self, client: Client, native: _native.Events) -> None:
        self._client = client
        self._native = native

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while True:
            # Taking is not part of the wait: an event that arrives while the wait is cancelled stays.
            values = self._native.take()
            if values is not None:
                return _event(values, self._client.thermostat)
            if await self._native.wait(False) is False:
                raise StopAsyncIteration
