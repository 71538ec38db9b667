"""Small HTTPS client on the standard library, for :mod:`mysa.auth` and :mod:`mysa.rest`, which have no event loop."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from typing import Dict, Mapping, NamedTuple, Optional

from ._client import Ca, pem
from .errors import InvalidValueError, TransportError


class Answer(NamedTuple):
    """Answer to a request."""

    status: int
    headers: Dict[str, str]
    body: bytes


class Http:
    """Sends one request per connection. Redirects are not followed: the headers hold tokens."""

    def __init__(self, ca: Ca = None, connect_to: Optional[str] = None, timeout_s: float = 30.0) -> None:
        self._context = ssl.create_default_context()
        extra = pem(ca)
        if extra is not None:
            self._context.load_verify_locations(cadata=extra.decode("ascii"))
        self._connect_to = connect_to
        self._timeout_s = timeout_s

    def request(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes] = None) -> Answer:
        """Send a request and return the answer, whatever its status.

        Raises :class:`mysa.errors.TransportError` if there is no answer.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise InvalidValueError("invalid URL: expected https://HOST/...")
        target = parts.path or "/"
        if parts.query:
            target += "?" + parts.query
        connection = _Connection(parts.hostname, parts.port or 443, self._context, self._connect_to, self._timeout_s)
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            # As in the client in Rust: a larger body is not one of this service.
            content = response.read(4 * 1024 * 1024)
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        except (OSError, http.client.HTTPException) as error:
            # Not chained: the frames of the failed request hold tokens.
            reason = f"{parts.hostname} cannot be reached or broke off: {type(error).__name__}"
        finally:
            connection.close()
        raise TransportError(reason)


class _Connection(http.client.HTTPSConnection):
    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, connect_to: Optional[str], timeout_s: float
    ) -> None:
        super().__init__(host, port, context=context, timeout=timeout_s)
        self._tls = context
        self._connect_to = connect_to

    def connect(self) -> None:
        host, port = self.host, self.port
        if self._connect_to is not None:
            host, _, digits = self._connect_to.rpartition(":")
            if not digits.isdigit():
                raise InvalidValueError("invalid connect_to: expected ADDRESS:PORT")
            port = int(digits)
        raw = socket.create_connection((host.strip("[]"), port), self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


def retry_after(answer: Answer) -> Optional[float]:
    """Return the seconds in ``Retry-After``, at most an hour."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), 3600.0) if text.isdigit() else None
