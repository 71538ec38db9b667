"""The Rust part of the package."""

from typing import Any, Awaitable, Dict, Final, Generic, List, Literal, Optional, Sequence, Tuple, TypeVar, Union, overload

from .models import State

_Payload = Union[str, bytes, bytearray, memoryview]
_T = TypeVar("_T", covariant=True)

__version__: Final[str]

class Secret:
    """Password, token, key or signed URL: prints as ``Secret(..)``, is compared in constant time, cannot be pickled, and is
    wiped when it is freed."""

    def __init__(self, text: Union[str, Secret]) -> None: ...
    def expose(self) -> str:
        """Return the text."""
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

def parse_out_message(
    topic: str, payload: _Payload, *, model: Optional[str] = None, modes: Optional[str] = None
) -> State: ...
def decode_message(
    topic: str, payload: _Payload, *, model: Optional[str] = None, modes: Optional[str] = None
) -> Dict[str, Any]: ...
def encode_command(
    device_id: str,
    model: str,
    settings: Dict[str, Any],
    *,
    message_id: Optional[int] = None,
    time: Optional[float] = None,
    app_ref: str = "python-lib",
    modes: str = "observed",
    envelope: str = "observed",
    min_setpoint: Optional[float] = None,
    max_setpoint: Optional[float] = None,
) -> Tuple[str, bytes]: ...
def explain(
    data: _Payload, *, kind: Optional[str] = None, topic: Optional[str] = None, modes: Optional[str] = None
) -> List[Dict[str, Any]]: ...
def decode_batch(readings: _Payload) -> Dict[str, Any]: ...
def power(
    model: str,
    *,
    duty_cycle: Optional[float] = None,
    heating: Optional[bool] = None,
    current_a: Optional[float] = None,
    current_is_live: bool = True,
    voltage_v: Optional[float] = None,
    rated_watts: Optional[float] = None,
) -> Tuple[Optional[float], str]: ...
def entities(
    model: str,
    *,
    modes: str = "observed",
    humidity: bool = False,
    current: bool = False,
    voltage: bool = False,
    rated_power: bool = False,
    energy_history: bool = False,
) -> List[Dict[str, Any]]: ...
def family_of(model: str) -> Optional[str]:
    """Return the family of a model, such as ``baseboard V2``. None if the model is unknown."""

def presign(
    host: str,
    access_key_id: str,
    secret_key: Union[str, Secret],
    session_token: Union[str, Secret, None] = None,
    *,
    region: str = "us-east-1",
    port: Optional[int] = None,
    path: str = "/mqtt",
    time: Optional[float] = None,
    expires_s: Optional[int] = None,
) -> Secret: ...
def inspect(url: Union[str, Secret]) -> Dict[str, Any]: ...

class Pool:
    """User pool of Cognito, with the app client that signs in to it. The default is Mysa's."""

    def __init__(
        self,
        region: str = "us-east-1",
        pool_id: str = "us-east-1_GUFWfhI7g",
        client_id: str = "19efs8tgqe942atbqmot5m36t3",
        client_secret: Union[str, Secret, None] = None,
    ) -> None: ...
    @property
    def region(self) -> str: ...
    @property
    def pool_id(self) -> str: ...
    @property
    def client_id(self) -> str: ...

class HttpRequest:
    """Request to send over TLS."""

    @property
    def method(self) -> str:
        """``POST``."""
    @property
    def service(self) -> str:
        """``user_pool`` or ``identity_pool``."""
    @property
    def url(self) -> str:
        """AWS's own URL of the service."""
    @property
    def headers(self) -> Dict[str, str]:
        """Headers to send."""
    @property
    def body(self) -> Secret:
        """Body to send; it contains secrets."""

class Step(Generic[_T]):
    """Step of a sign-in: a request to send, and the reader of its answer."""

    @property
    def request(self) -> HttpRequest: ...
    def reply(self, status: int, body: _Payload, *, now: Optional[float] = None) -> _T:
        """Read the answer: its HTTP status and its body. ``now`` is the wall clock in seconds since the Unix epoch.

        Raises :class:`mysa.errors.AuthError` if the service refused, with ``recovery``, and
        :class:`mysa.errors.TransportError` if this is not an answer of the service. An answer can be read once."""

class Challenge:
    """Challenge that a person must answer."""

    @property
    def kind(self) -> str:
        """Cognito's name, such as ``SMS_MFA``."""
    @property
    def destination(self) -> Optional[str]:
        """Address that the code was sent to, as the service masks it."""
    @property
    def choices(self) -> List[str]:
        """Answers to choose from, if the challenge is a choice."""
    def answer(self, answer: Union[str, Secret]) -> Step[Union[Step[Any], Challenge, Tokens]]:
        """Answer with a code or with one of the choices."""

class Tokens:
    """Tokens of a user."""

    @property
    def id_token(self) -> Secret:
        """Token for the REST service and the identity pool."""
    @property
    def access_token(self) -> Secret:
        """Token for the user pool."""
    @property
    def refresh_token(self) -> Optional[Secret]:
        """Token to renew the others. None if the old one stays valid."""
    @property
    def expires_in_s(self) -> float:
        """Lifetime of the id token in seconds."""
    @property
    def user_id(self) -> str: ...
    @property
    def claims(self) -> Dict[str, Any]:
        """Claims of the id token: sub, iss, email, aud, exp, iat."""

class Credentials:
    """Temporary AWS credentials."""

    @property
    def identity_id(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def secret_key(self) -> Secret: ...
    @property
    def session_token(self) -> Secret: ...
    @property
    def expires_at(self) -> float:
        """Time of expiry in seconds since the Unix epoch, by the server's clock."""

class Srp:
    """Client side of an exchange by Secure Remote Password, for callers with their own requests."""

    def __init__(self, entropy: Optional[bytes] = None) -> None: ...
    @property
    def public_hex(self) -> str:
        """``SRP_A`` of the first request."""
    def sign(
        self,
        pool_id: str,
        user_id: str,
        password: Union[str, Secret],
        *,
        salt: str,
        srp_b: str,
        secret_block: str,
        timestamp: str,
    ) -> str:
        """Return ``PASSWORD_CLAIM_SIGNATURE`` for the values of the challenge; ``user_id`` is ``USER_ID_FOR_SRP``."""

def start_sign_in(
    username: str,
    password: Union[str, Secret],
    *,
    pool: Optional[Pool] = None,
    entropy: Optional[bytes] = None,
) -> Step[Union[Step[Any], Challenge, Tokens]]:
    """Start a sign-in. ``entropy`` is 32 random bytes that are used only once."""

def refresh_tokens(
    refresh_token: Union[str, Secret],
    *,
    pool: Optional[Pool] = None,
    flow: Literal["initiate_auth", "get_tokens_from_refresh_token"] = "initiate_auth",
) -> Step[Tokens]:
    """Renew the tokens."""

def revoke_token(refresh_token: Union[str, Secret], *, pool: Optional[Pool] = None) -> Step[None]:
    """Revoke a refresh token, to sign out."""

def get_id(tokens: Tokens, identity_pool_id: str = "us-east-1:ebd95d52-9995-45da-b059-56b865a18379") -> Step[str]:
    """Ask for the user's id in the identity pool. It never changes: store it."""

def get_credentials(tokens: Tokens, identity_id: str) -> Step[Credentials]:
    """Ask for AWS credentials."""

def srp_timestamp(now: Optional[float] = None) -> str:
    """Return the time as the password claim contains it, such as ``Fri Jan 2 03:04:05 UTC 2026``."""

class Packet:
    """Packet that a server sends."""

    @property
    def kind(self) -> str:
        """``connack``, ``publish``, ``puback``, ``pubrec``, ``pubrel``, ``pubcomp``, ``suback``, ``unsuback`` or
        ``pingresp``."""
    @property
    def topic(self) -> Optional[str]: ...
    @property
    def payload(self) -> Optional[bytes]: ...
    @property
    def qos(self) -> int: ...
    @property
    def packet_id(self) -> Optional[int]: ...
    @property
    def dup(self) -> bool: ...
    @property
    def retain(self) -> bool: ...
    @property
    def session_present(self) -> bool: ...
    @property
    def return_codes(self) -> bytes:
        """Return code of a CONNACK, 0 for success; return code of each filter of a SUBACK, 128 for failure."""

class Decoder:
    """Decoder of the bytes of a connection, in pieces of any size."""

    def __init__(self, max_packet: int = 160_000) -> None: ...
    def feed(self, data: _Payload) -> List[Packet]:
        """Take bytes and return the packets that they complete.

        Raises :class:`mysa.errors.DecodeError` once a packet breaks a rule: close the connection."""

def encode_connect(
    client_id: str,
    *,
    keep_alive_s: int = 60,
    clean_session: bool = True,
    username: Optional[str] = None,
    password: Union[str, Secret, None] = None,
) -> bytes:
    """Return a CONNECT."""

def encode_subscribe(packet_id: int, filters: Sequence[str], *, qos: int = 1) -> bytes:
    """Return a SUBSCRIBE."""

def encode_unsubscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    """Return an UNSUBSCRIBE."""

def encode_publish(
    topic: str,
    payload: _Payload,
    *,
    qos: int = 1,
    packet_id: Optional[int] = None,
    dup: bool = False,
    retain: bool = False,
) -> bytes:
    """Return a PUBLISH. QoS 1 and 2 need a packet id."""

def encode_puback(packet_id: int) -> bytes:
    """Return a PUBACK, the answer to a PUBLISH with QoS 1."""

def encode_pingreq() -> bytes:
    """Return a PINGREQ."""

def encode_disconnect() -> bytes:
    """Return a DISCONNECT."""

class Client:
    """See :class:`mysa.aio.Client`. With ``blocking``, a method returns its result instead of an awaitable."""

    @staticmethod
    def start(options: Dict[str, Any]) -> Client: ...
    @overload
    def ready(self, blocking: Literal[False]) -> Awaitable[None]: ...
    @overload
    def ready(self, blocking: Literal[True]) -> None: ...
    @overload
    def answer_challenge(self, answer: Union[str, Secret], blocking: Literal[False]) -> Awaitable[None]: ...
    @overload
    def answer_challenge(self, answer: Union[str, Secret], blocking: Literal[True]) -> None: ...
    def devices(self, rated: Optional[Dict[str, float]] = None) -> List[Dict[str, Any]]: ...
    def device(self, id: str, rated: Optional[float] = None) -> Optional[Dict[str, Any]]: ...
    def service(self) -> Dict[str, Any]: ...
    @property
    def is_live(self) -> bool: ...
    @overload
    def set(self, id: str, settings: Dict[str, Any], deadline_s: Optional[float], blocking: Literal[False]) -> Awaitable[Dict[str, Any]]: ...
    @overload
    def set(self, id: str, settings: Dict[str, Any], deadline_s: Optional[float], blocking: Literal[True]) -> Dict[str, Any]: ...
    @overload
    def preview(self, id: str, settings: Dict[str, Any], blocking: Literal[False]) -> Awaitable[Dict[str, Any]]: ...
    @overload
    def preview(self, id: str, settings: Dict[str, Any], blocking: Literal[True]) -> Dict[str, Any]: ...
    @overload
    def assume_devices(self, devices: List[Tuple[str, str]], blocking: Literal[False]) -> Awaitable[None]: ...
    @overload
    def assume_devices(self, devices: List[Tuple[str, str]], blocking: Literal[True]) -> None: ...
    @overload
    def get(self, path: str, backend: bool, blocking: Literal[False]) -> Awaitable[bytes]: ...
    @overload
    def get(self, path: str, backend: bool, blocking: Literal[True]) -> bytes: ...
    @overload
    def energy(self, id: str, start: float, end: float, time_zone: str, blocking: Literal[False]) -> Awaitable[List[Dict[str, Any]]]: ...
    @overload
    def energy(self, id: str, start: float, end: float, time_zone: str, blocking: Literal[True]) -> List[Dict[str, Any]]: ...
    @overload
    def presign(self, blocking: Literal[False]) -> Awaitable[Secret]: ...
    @overload
    def presign(self, blocking: Literal[True]) -> Secret: ...
    @overload
    def sign_out(self, blocking: Literal[False]) -> Awaitable[str]: ...
    @overload
    def sign_out(self, blocking: Literal[True]) -> str: ...
    @overload
    def shutdown(self, blocking: Literal[False]) -> Awaitable[None]: ...
    @overload
    def shutdown(self, blocking: Literal[True]) -> None: ...
    def events(self) -> Events: ...
    def resources(self) -> Dict[str, int]: ...

class Events:
    """Stream of events. Waiting and taking are separate, so that a wait which is cancelled loses no event."""

    @overload
    def wait(self, blocking: Literal[False], timeout_s: Optional[float] = None) -> Awaitable[Optional[bool]]: ...
    @overload
    def wait(self, blocking: Literal[True], timeout_s: Optional[float] = None) -> Optional[bool]: ...
    def take(self) -> Optional[Dict[str, Any]]: ...

def run_command(arguments: List[str]) -> int: ...
def decode_device_list(body: _Payload) -> List[Dict[str, Any]]: ...
def decode_device_states(body: _Payload, models: Dict[str, str], modes: str) -> Dict[str, State]: ...
def sim_faults() -> List[Tuple[str, str]]: ...

class SimServer:
    """See :class:`mysa.sim.SimulatedCloud`."""

    @staticmethod
    def start(
        devices: Optional[List[Tuple[str, str, str]]], faults: List[str], seed: int, speed: float, port: int
    ) -> SimServer: ...
    email: str
    password: str
    @property
    def address(self) -> str: ...
    @property
    def ca_pem(self) -> str: ...
    def device_ids(self) -> List[str]: ...
    def truth(self, id: str) -> Dict[str, Any]: ...
    def counters(self) -> Dict[str, int]: ...
    def set_room(self, id: str, temperature: float) -> None: ...
    def turn(self, id: str, setpoint: Optional[float] = None, mode: Optional[str] = None) -> None: ...
    def press(self, id: str, up: bool) -> None: ...
    def start_fault(self, name: str, id: Optional[str], delay_s: float, lasts_s: Optional[float]) -> None: ...
    def end_faults(self) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def freeze(self, frozen: bool) -> None: ...
    def cut_connections(self) -> None: ...
    def stop(self) -> None: ...
