"""Sign-in: Cognito user pool, identity pool, and presigned URLs.

The design document names the module and leaves its content open. :class:`MysaAuth` is what :class:`mysa.client.MysaClient` takes;
it also signs in by itself for :mod:`mysa.rest` and :mod:`mysa.mqtt_client`. The steps alone, without any HTTP, are in
:mod:`mysa.protocol` and repeated here.

Differences from the document's flow: the proof of the password is SRP, as in the vendor's app, so the password is never sent.
The session token is appended to the URL *after* signing, which AWS IoT requires. The broker's host is a constant of Mysa's cloud.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional, Tuple, Union

from ._client import Ca, PathLike
from ._http import Http
from ._native import (
    Challenge,
    Credentials,
    HttpRequest,
    Pool,
    Secret,
    Srp,
    Step,
    Tokens,
    get_credentials,
    get_id,
    inspect,
    refresh_tokens,
    revoke_token,
    start_sign_in,
)
from .errors import AuthError, ChallengeError
from .protocol import presign

__all__ = [
    "Challenge",
    "Credentials",
    "HttpRequest",
    "IOT_HOST",
    "MysaAuth",
    "Pool",
    "Secret",
    "Srp",
    "Step",
    "Tokens",
    "get_credentials",
    "get_id",
    "inspect",
    "presign",
    "refresh_tokens",
    "revoke_token",
    "start_sign_in",
]

IOT_HOST: str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com"
"""Host of Mysa's MQTT broker."""

_MARGIN_S = 300.0
"""Tokens and credentials are renewed this long before they expire."""


class MysaAuth:
    """Account, and what is needed to sign in to it.

    ``store`` is a folder for the session of a :class:`mysa.client.MysaClient`, with which the next start needs no password.
    ``code`` is called if sign-in needs a code, with a :class:`mysa.errors.ChallengeError`, and returns the code. ``ca`` and
    ``connect_to`` are for tests; see :func:`mysa.aio.connect`.

    The methods that sign in wait for the network, and renew what has expired.
    """

    def __init__(
        self,
        email: str,
        password: Union[str, Secret, None] = None,
        *,
        store: Optional[PathLike] = None,
        code: Optional[Callable[[ChallengeError], str]] = None,
        ca: Ca = None,
        connect_to: Optional[str] = None,
        pool: Optional[Pool] = None,
    ) -> None:
        self.email: str = email
        self.store = store
        self.code = code
        self.ca = ca
        self.connect_to = connect_to
        self._password = None if password is None else Secret(password)
        del password
        self._pool = pool or Pool()
        self._tokens: Optional[Tuple[Tokens, float]] = None
        self._refresh_token: Optional[Secret] = None
        self._identity: Optional[str] = None
        self._credentials: Optional[Tuple[Credentials, float]] = None

    def __repr__(self) -> str:
        return f"MysaAuth({self.email!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a MysaAuth cannot be pickled or copied: it holds secrets")

    def tokens(self) -> Tokens:
        """Return tokens that are valid for some minutes at least; sign in or renew them if necessary.

        Raises :class:`mysa.errors.AuthError` and :class:`mysa.errors.TransportError`.
        """
        if self._tokens is not None and time.monotonic() < self._tokens[1]:
            return self._tokens[0]
        http = self._http()
        tokens: Optional[Tokens] = None
        if self._refresh_token is not None:
            try:
                tokens = self._send(http, refresh_tokens(self._refresh_token, pool=self._pool))
            except AuthError as error:
                if not error.needs_sign_in or self._password is None:
                    raise
                self._refresh_token = None
        if tokens is None:
            tokens = self._sign_in(http)
        self._tokens = (tokens, time.monotonic() + max(tokens.expires_in_s - _MARGIN_S, 0.0))
        self._refresh_token = tokens.refresh_token or self._refresh_token
        return tokens

    def jwt(self) -> str:
        """Return the id token for :class:`mysa.rest.MysaRest`. It is a secret."""
        return self.tokens().id_token.expose()

    def credentials(self) -> Credentials:
        """Return AWS credentials that are valid for some minutes at least."""
        if self._credentials is not None and time.monotonic() < self._credentials[1]:
            return self._credentials[0]
        tokens, http = self.tokens(), self._http()
        identity = self._identity or str(self._send(http, get_id(tokens)))
        self._identity = identity
        credentials: Credentials = self._send(http, get_credentials(tokens, identity))
        left = credentials.expires_at - time.time()
        self._credentials = (credentials, time.monotonic() + max(min(left, 3600.0) - _MARGIN_S, 0.0))
        return credentials

    def presign(self, host: str = IOT_HOST) -> Tuple[str, str]:
        """Return the host, and the path with the signed query, for :class:`mysa.mqtt_client.MysaMqtt`. The path is a secret, and
        good for about five minutes."""
        url = presign(host, self.credentials()).expose()
        return host, url[len("wss://") + len(host) :]

    def _http(self) -> Http:
        return Http(self.ca, self.connect_to)

    def _sign_in(self, http: Http) -> Tokens:
        if self._password is None:
            raise AuthError("a password is required to sign in")
        step: Any = start_sign_in(self.email, self._password, pool=self._pool)
        while not isinstance(step, Tokens):
            if isinstance(step, Challenge):
                needed = ChallengeError(
                    "sign-in needs a code", kind=step.kind, destination=step.destination, choices=step.choices
                )
                if self.code is None:
                    raise needed
                step = step.answer(self.code(needed))
            step = self._send(http, step)
        return step

    @staticmethod
    def _send(http: Http, step: Step[Any]) -> Any:
        request = step.request
        answer = http.request(request.method, request.url, request.headers, request.body.expose().encode())
        return step.reply(answer.status, answer.body)
