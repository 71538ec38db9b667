"""MQTT over a presigned URL: the design document's ``MysaMqtt``.

Differences from the document's sketch:

- It runs on the package's own core instead of paho-mqtt: nothing to install, and retries, keep-alives and the rate limit of
  commands (at least 2 s between two to one thermostat) are those of the tested client.
- Publishing waits for the outcome and returns a :class:`mysa.models.Verdict`. The sketch returns nothing, although a publish
  proves nothing: brokers accept commands that no thermostat executes.
- Setpoints and modes are checked against the model. Give the model to ``subscribe_device`` if it is not a baseboard thermostat of
  the second generation (``BB-V2-0``), whose ``type`` 4 the sketch has in every command. A thermostat ignores commands of another
  type.
- ``publish_mode`` sends the observed numbers, heat 3 and off 1; the document's, which would switch a heater on for "off", are sent
  with ``modes="design_document"``.
- The presigned URL is good for about five minutes. A connection outlives it, but a lost one cannot be restored: then
  :attr:`MysaMqtt.service` says so, and :class:`mysa.client.MysaClient`, which renews its URLs, is the better choice.
- ``connect`` returns at once, and ``on_message`` is called in a thread, as with paho's ``loop_start``. The connection opens with the
  first subscription. A later subscription to a further thermostat replaces the connection, and needs a URL that is still good: name
  all thermostats in one ``subscribe_devices`` instead.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from . import _native
from ._client import Ca, options, pairs
from .errors import ClosedError, InvalidValueError
from .events import MessageEvent
from .models import Service, Verdict
from .sync import Client, Events

__all__ = ["Message", "MysaMqtt"]


class Message(NamedTuple):
    """Message that arrived, with the names of paho-mqtt."""

    topic: str
    """Topic."""
    payload: bytes
    """Payload."""
    qos: int = 1
    """Quality of service of the subscription."""


OnMessage = Callable[["MysaMqtt", None, Message], Any]
"""Callback with the arguments of paho-mqtt: the client, user data (None), the message."""


class MysaMqtt:
    """MQTT client of one presigned URL, as of :meth:`mysa.auth.MysaAuth.presign`.

    ``host`` is the broker's, ``presigned_path_qs`` is ``/mqtt?...X-Amz-...`` without the host, ``keepalive`` is in seconds.
    """

    def __init__(
        self,
        host: str,
        presigned_path_qs: str,
        port: int = 443,
        keepalive: int = 60,
        *,
        modes: str = "observed",
        envelope: str = "observed",
        ca: Ca = None,
        connect_to: Optional[str] = None,
    ) -> None:
        place = host if port == 443 else f"{host}:{port}"
        self.host: str = host
        self.port: int = port
        self.keepalive: int = keepalive
        url = _native.Secret(f"wss://{place}{presigned_path_qs}")
        del presigned_path_qs
        # Reports an unusable URL now and not in the thread.
        _native.inspect(url)
        settings = {
            "url": url,
            "connect_to": connect_to,
            "modes": modes,
            "envelope": envelope,
            "keep_alive_s": keepalive,
            "raw_messages": True,
        }
        self._options = options(None, None, None, ca, settings)
        self._is_connected = False
        self._on_message: Optional[OnMessage] = None
        self._client: Optional[Client] = None
        self._threads: List[threading.Thread] = []
        self._models: Dict[str, str] = {}
        # Held while the connection is replaced.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"MysaMqtt({self.host!r}, port={self.port})"

    def connect(self, on_message: Optional[OnMessage] = None) -> None:
        """Allow subscriptions; the connection opens with the first.

        An exception of ``on_message`` goes to :func:`threading.excepthook`, and the next message is delivered all the same.
        """
        if self._is_connected:
            raise InvalidValueError("the client is connected already")
        self._on_message = on_message
        self._is_connected = True

    def _deliver(self, events: Events) -> None:
        for event in events:
            if self._on_message is not None and isinstance(event, MessageEvent):
                try:
                    self._on_message(self, None, Message(event.topic, event.payload))
                except Exception as error:
                    arguments = (type(error), error, error.__traceback__, threading.current_thread())
                    threading.excepthook(threading.ExceptHookArgs(arguments))

    def subscribe_device(self, device_id: str, model: str = "BB-V2-0") -> None:
        """Subscribe to the messages of a thermostat, ``/v1/dev/ID/out``."""
        self.subscribe_devices({device_id: model})

    def subscribe_devices(self, models: Mapping[str, str]) -> None:
        """Subscribe to the messages of thermostats, given by their ids and models."""
        self._check()
        with self._lock:
            wanted = {**self._models, **models}
            if wanted == self._models:
                return
            # An invalid id is reported here, and the old connection stays.
            client = Client(_native.Client.start({**self._options, "devices": pairs(wanted)}), None)
            # Before any message can arrive.
            events = client.events()
            if self._client is not None:
                self._client.close()
            self._client, self._models = client, wanted
            thread = threading.Thread(target=self._deliver, args=(events,), name="mysa-mqtt", daemon=True)
            self._threads = [old for old in self._threads if old.is_alive()] + [thread]
            thread.start()

    def publish_setpoint(self, device_id: str, temp_c: float) -> Verdict:
        """Request a setpoint in °C and wait for the outcome. Subscribes to the thermostat if necessary."""
        return self._set(device_id, setpoint=float(temp_c))

    def publish_mode(self, device_id: str, mode: str) -> Verdict:
        """Request a mode, such as ``heat`` or ``off``, and wait for the outcome."""
        return self._set(device_id, mode=mode)

    def _set(self, device_id: str, **settings: Any) -> Verdict:
        self._check()
        with self._lock:
            if device_id not in self._models:
                self.subscribe_device(device_id)
            client = self._client
        assert client is not None
        return client.set(device_id, **settings)

    @property
    def service(self) -> Optional[Service]:
        """Service level, and the reason for it. None before the first subscription."""
        return None if self._client is None else self._client.service

    def disconnect(self) -> None:
        """Close the connection. May be repeated."""
        with self._lock:
            self._is_connected = False
            if self._client is not None:
                self._client.close()
            threads, self._threads = self._threads, []
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> MysaMqtt:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def _check(self) -> None:
        if not self._is_connected:
            raise ClosedError("not connected: call connect() first")
