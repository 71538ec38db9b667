"""Errors of the package: a small tree below :class:`MysaError`.

No error contains a password, a token or a signed URL, neither in its text nor in its attributes, so tracebacks and pickles of
errors can be shown and stored.

=========================  ============================================================================
class                      meaning
=========================  ============================================================================
:class:`AuthError`         Sign-in is needed or was refused.
:class:`ChallengeError`    Sign-in needs a code from a person.
:class:`RefusedError`      The request was refused: by the package, the cloud or the thermostat.
:class:`UnconfirmedError`  A command was sent, and it is unknown whether the thermostat holds the change.
:class:`TransportError`    The cloud cannot be reached, or its answer is not usable. Try again later.
:class:`ClosedError`       The client is closed.
:class:`DecodeError`       Bytes are not what the protocol prescribes.
:class:`StoreError`        The stored session cannot be read or written.
:class:`InvalidValueError` An argument is invalid; also a :class:`ValueError`.
=========================  ============================================================================
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple, Type

__all__ = [
    "AuthError",
    "ChallengeError",
    "ClosedError",
    "DecodeError",
    "InvalidValueError",
    "MysaError",
    "RefusedError",
    "StoreError",
    "TransportError",
    "UnconfirmedError",
]


class MysaError(Exception):
    """Base of all errors of this package."""

    needs_sign_in: bool
    """True if only a new sign-in by a person can help."""
    retry_after: Optional[float]
    """Seconds to wait before the next attempt, if the service gave a time."""

    def __init__(self, message: str = "", *, needs_sign_in: bool = False, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.needs_sign_in = needs_sign_in
        self.retry_after = retry_after

    def __reduce__(self) -> Tuple[Any, ...]:
        return _restore, (type(self), self.args, dict(self.__dict__))


def _restore(kind: Type[MysaError], args: Tuple[Any, ...], attributes: Dict[str, Any]) -> MysaError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class AuthError(MysaError):
    """Sign-in is needed, or the sign-in service refused a request."""

    recovery: Optional[str]
    """Next action after an error of a step: ``ask_for_password``, ``ask_for_code``, ``renew_tokens``, ``forget_identity``,
    ``retry``, ``retry_once``, ``wait`` or ``give_up``. None if the error is not one of a step."""

    def __init__(
        self,
        message: str = "",
        *,
        needs_sign_in: bool = True,
        retry_after: Optional[float] = None,
        recovery: Optional[str] = None,
    ) -> None:
        super().__init__(message, needs_sign_in=needs_sign_in, retry_after=retry_after)
        self.recovery = recovery


class ChallengeError(AuthError):
    """Sign-in needs an answer from a person, given by ``answer_challenge``."""

    kind: str
    """Cognito's name of the challenge, such as ``SMS_MFA``."""
    destination: Optional[str]
    """Address that the code was sent to, as the service masks it."""
    choices: Tuple[str, ...]
    """Answers to choose from, if the challenge is a choice."""

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "",
        destination: Optional[str] = None,
        choices: Sequence[str] = (),
    ) -> None:
        super().__init__(message, needs_sign_in=False)
        self.kind = kind
        self.destination = destination
        self.choices = tuple(choices)


class RefusedError(MysaError):
    """The request was refused; nothing was done."""

    status: Optional[int]
    """HTTP status, if the REST service refused it."""

    def __init__(
        self,
        message: str = "",
        *,
        needs_sign_in: bool = False,
        retry_after: Optional[float] = None,
        status: Optional[int] = None,
    ) -> None:
        super().__init__(message, needs_sign_in=needs_sign_in, retry_after=retry_after)
        self.status = status


class UnconfirmedError(MysaError):
    """A command was sent, and it is unknown whether the thermostat holds the change."""


class TransportError(MysaError):
    """The cloud cannot be reached, or it gave no usable answer. The same request may succeed later."""


class ClosedError(MysaError):
    """The client is closed."""


class DecodeError(MysaError, ValueError):
    """Bytes are not what the protocol prescribes."""


class StoreError(MysaError):
    """The stored session cannot be read or written."""


class InvalidValueError(MysaError, ValueError):
    """An argument is invalid. Nothing was sent."""
