"""REST service: the list of thermostats, their states and the energy history.

Differences from the design document's sketch:

- ``list_devices`` reads ``/devices``, which has names and models; ``/devices/state``, which the document names, has neither. The
  states are read by :meth:`MysaRest.states`.
- The ``Authorization`` header is the bare token: five clients send it so, and one found that ``Bearer`` is refused.
  ``authorization="bearer"`` sends the document's form.
- It uses the standard library instead of httpx, so that the package has no dependencies.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from . import _native
from ._client import Ca
from ._http import Http, retry_after
from .errors import AuthError, InvalidValueError, RefusedError, TransportError
from .models import Device, State

__all__ = ["BASE_URL", "MysaRest"]

BASE_URL: str = "https://app-prod.mysa.cloud"
"""Address of the service."""


class MysaRest:
    """Reader of the REST service. ``jwt`` is the id token, as of :meth:`mysa.auth.MysaAuth.jwt`.

    The methods wait for the network. They raise :class:`mysa.errors.AuthError` if the token is not accepted,
    :class:`mysa.errors.RefusedError` with ``status`` and ``retry_after``, and :class:`mysa.errors.TransportError`.
    """

    def __init__(
        self,
        base_url: str,
        jwt: str,
        *,
        authorization: str = "raw",
        timeout_s: float = 30.0,
        ca: Ca = None,
        connect_to: Optional[str] = None,
    ) -> None:
        if authorization not in ("raw", "bearer"):
            raise InvalidValueError(f"invalid authorization '{authorization}': expected raw or bearer")
        self.base: str = base_url.rstrip("/")
        self._token = _native.Secret(jwt if authorization == "raw" else f"Bearer {jwt}")
        del jwt
        self._http = Http(ca, connect_to, timeout_s)

    def __repr__(self) -> str:
        return f"MysaRest({self.base!r})"

    def list_devices(self) -> Dict[str, Device]:
        """Return the thermostats of the account by device id."""
        found = _native.decode_device_list(self._read("/devices"))
        return {
            values["id"]: Device(
                values["id"], values["name"], values["model"], family=values["family"], home=values["home"]
            )
            for values in found
        }

    def states(self, devices: Optional[Dict[str, Device]] = None, *, modes: str = "observed") -> Dict[str, State]:
        """Return the last states by device id. ``devices`` are those of :meth:`list_devices`: some values have a meaning only for
        some models."""
        models = {id: device.model for id, device in (devices or {}).items()}
        return _native.decode_device_states(self._read("/devices/state"), models, modes)

    def energy_of_device(self, device_id: str) -> Any:
        """Return the answer to ``GET /energy/v3/device/{id}``, as in the design document. No public client uses this route: see
        :meth:`mysa.aio.Client.energy` for one that is known."""
        return self.get(f"/energy/v3/device/{device_id}")

    def energy_of_home(self, home_id: str) -> Any:
        """Return the answer to ``GET /energy/v3/home/{id}``, as in the design document."""
        return self.get(f"/energy/v3/home/{home_id}")

    def get(self, path: str) -> Any:
        """Read a path, such as ``/homes``, and return the decoded JSON."""
        try:
            return json.loads(self._read(path))
        except ValueError:
            raise TransportError("the answer of the REST service is not JSON") from None

    def _read(self, path: str) -> bytes:
        if not path.startswith("/") or any(not "!" <= char <= "~" for char in path):
            raise InvalidValueError("invalid path: expected an absolute path of ASCII characters")
        # No variable of this frame holds the token: tracebacks may show variables.
        answer = self._http.request(
            "GET", self.base + path, {"accept": "application/json", "authorization": self._token.expose()}
        )
        if 200 <= answer.status < 300:
            return answer.body
        if answer.status == 401:
            raise AuthError("the REST service does not accept the token (HTTP 401): renew it", recovery="renew_tokens")
        if answer.status >= 500:
            raise TransportError(f"the REST service failed (HTTP {answer.status})", retry_after=retry_after(answer))
        raise RefusedError(
            f"the REST service refused the request (HTTP {answer.status})",
            status=answer.status,
            retry_after=retry_after(answer),
        )
