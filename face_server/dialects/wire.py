"""What every vendor's wire shares: reading a body with a limit, finding its fields, answering in JSON.

A field stays undecoded until somebody asks for it, so a field nobody knows costs nothing and a picture is decoded once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, cast
from urllib.parse import unquote_plus, unquote_to_bytes

import msgspec
import orjson
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects.multipart import Broken, parts_of
from face_server.dialects.texts import LONG, FormText, JsonText
from face_server.errors import Busy, Cancelled, Stage
from face_server.request import current

DRAIN_BYTES = 64 << 20  # of a refused body are still read: many clients listen only after they have sent everything
MANY_FIELDS = 1000  # of a form or multipart body


class BodyTooLarge(Exception):
    pass


class Unreadable(Exception):
    """A body that is there and cannot be read, or has the wrong shape."""


ABSENT = Raw()


class Bodies:
    """Reads bodies. One may not be larger than `largest`, and all that are being read not than `together`: clients that
    send slowly must not fill the memory."""

    def __init__(self, largest: int, together: int) -> None:
        self._largest, self._together = largest, together
        self._held = 0

    async def read(self, request: Request) -> bytes:
        context = current.get()
        if context and int(request.headers.get("content-length", LONG + 1)) > LONG:
            await context.admit()  # a body so long brings a picture: better refused now than read, parsed and refused
        chunks: list[bytes] = []
        size = held = 0
        refusal: Exception | None = None
        try:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Cancelled
                chunk = message.get("body", b"")
                size += len(chunk)
                refusal = refusal or self._refusal(size, len(chunk))
                if refusal is None:
                    chunks.append(chunk)
                    held += len(chunk)
                    self._held += len(chunk)
                else:
                    chunks.clear()
                if not message.get("more_body", False) or size > DRAIN_BYTES:
                    break
        finally:
            self._held -= held
        if refusal is not None:
            raise refusal
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _refusal(self, size: int, more: int) -> Exception | None:
        if size > self._largest:
            return BodyTooLarge()
        return Busy(Stage.QUEUE) if self._held + more > self._together else None


class Kind(Enum):
    EMPTY = "empty"
    OBJECT = "JSON object"
    ARRAY = "JSON array"
    FORM = "form"
    MULTIPART = "multipart"


def sniff(body: bytes, content_type: str) -> Kind:
    """The Content-Type decides little: SDKs label JSON as a form, and browsers forget to label at all."""
    head = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n") or body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not head:
        return Kind.EMPTY
    if head[:1] == b"{":
        return Kind.OBJECT
    if head[:1] == b"[":
        return Kind.ARRAY
    return Kind.MULTIPART if content_type.lower().startswith("multipart/") else Kind.FORM


class Fields:
    """The fields of a request, or of an element of an array. `get` gives what JSON would: None for absent and null."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw

    def get(self, name: str) -> object:
        value = self._raw.get(name)
        if isinstance(value, Raw):
            return _json_value(value)
        if isinstance(value, bytes):
            return FormText(value) if len(value) > LONG else _unquoted(value)
        if isinstance(value, list):
            return [_unquoted(item) if isinstance(item, bytes) else item for item in value]
        return value


def _json_value(raw: Raw) -> object:
    view = memoryview(raw)
    if bytes(view[:5]) in (b"", b"null"):
        return None
    if len(view) > LONG:
        # Nothing but a text is ever so long here; decoding a huge array of nothing would only cost memory.
        return JsonText(raw) if view[0] == 0x22 else Long.WRONG
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


class Long(Enum):
    """A JSON number, array or object too long to be meant: of the wrong type for every reader."""

    WRONG = "wrong"


def _unquoted(value: bytes) -> str:
    try:
        return unquote_plus(value.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        # Browsers escape, but curl -d sends bytes as they are.
        return unquote_to_bytes(value.replace(b"+", b" ")).decode(errors="replace")


class Shape:
    """Decoders for the fields an interface knows: others are skipped without making an object of them."""

    def __init__(self, names: Sequence[str], most: int = 1) -> None:
        self._names = tuple(names)
        known: list[Any] = [(name, Raw, ABSENT) for name in names]
        entry = msgspec.defstruct("Entry", known, gc=False)
        places: list[Any] = [(f"place{index}", entry | None, None) for index in range(most + 1)]
        self._object = msgspec.json.Decoder(entry)
        self._array = msgspec.json.Decoder(msgspec.defstruct("Entries", places, array_like=True, gc=False))
        self._places = [place[0] for place in places]

    def fields(self, body: bytes) -> Fields:
        return self._fields(self._decode(self._object, body))

    def elements(self, body: bytes) -> list[Fields]:
        """The elements of an array; of one that is too long only the first `most + 1`."""
        array = self._decode(self._array, body)
        found = (getattr(array, place) for place in self._places)
        return [self._fields(element) for element in found if element is not None]

    def _fields(self, entry: object) -> Fields:
        values = ((name, getattr(entry, name)) for name in self._names)
        return Fields({name: value for name, value in values if value is not ABSENT})

    @staticmethod
    def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> object:
        try:
            return decoder.decode(body.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise Unreadable(str(error)) from None


def parse_form(body: bytes) -> Fields:
    """Splits at & and = and leaves the values as they are. `name[]` gathers a list; else the first of a name counts."""
    raw: dict[str, object] = {}
    if body.count(b"&") >= MANY_FIELDS or (body and b"=" not in body):
        raise Unreadable("not a form")
    for pair in body.strip().split(b"&"):
        key, _, value = pair.partition(b"=")
        if len(key) > 256:
            raise Unreadable("the name of a field is too long")
        _keep(raw, _unquoted(key), value)
    return Fields(raw)


def _keep(raw: dict[str, object], name: str, value: object) -> None:
    if name.endswith("[]"):
        cast("list[object]", raw.setdefault(name[:-2], [])).append(value)
    else:
        raw.setdefault(name, value)


def parse_query(query: bytes) -> Fields:
    return parse_form(query) if b"=" in query else Fields({})


def parse_multipart(body: bytes, content_type: str) -> Fields:
    raw: dict[str, object] = {}
    try:
        for name, value in parts_of(body, content_type, MANY_FIELDS):
            _keep(raw, name, value)
    except Broken as error:
        raise Unreadable(str(error)) from None
    return Fields(raw)


def log_id() -> int:
    """Thirteen digits that name the request in the logs."""
    request = current.get()
    return request.log_id if request else secrets.randbelow(9 * 10**12) + 10**12


def begin(dialect: str, interface: str) -> None:
    """Tells what is asked to those who write down who changed what."""
    request = current.get()
    if request:
        request.dialect, request.interface = dialect, interface


def note(dialect: str, interface: str, code: object) -> None:
    """Tells the metrics and the logs what was answered."""
    request = current.get()
    if request:
        request.dialect, request.interface, request.code = dialect, interface, str(code)


def answer(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def double(value: float) -> float:
    """A double as the contracts print it: at most 8 decimals."""
    return round(float(value), 8)
