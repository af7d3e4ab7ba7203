"""Bodies, fields and base64 as clients really send them."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from starlette.requests import Request

from face_server.dialects import params, wire
from face_server.dialects.params import Param, Refusal, Table
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, Upload, decode_base64
from face_server.errors import Busy, Cancelled, Stage
from face_server.request import RequestContext, current

# Begins and ends as a JPEG does: in a text that begins or ends with the spaces of lost pluses they could not be told
# from blanks around it.
PICTURE = b"\xff\xd8" + random.Random(1).randbytes(8998) + b"\xff\xd9"
TEXT = base64.b64encode(PICTURE).decode()


def request(*messages: dict[str, Any]) -> Request:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        return queue.pop(0)

    receiver: Callable[[], Awaitable[Any]] = receive
    return Request({"type": "http", "method": "POST", "headers": [], "query_string": b"", "path": "/"}, receiver)


def chunk(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_body_is_read_in_chunks() -> None:
    sent = request(chunk(b"ab", True), chunk(b"", True), chunk(b"cd"))
    assert await wire.Bodies(4, 100).read(sent) == b"abcd"


async def test_body_over_the_limit_is_drained() -> None:
    sent = request(chunk(b"ab", True), chunk(b"cde", True), chunk(b"fg"))
    with pytest.raises(wire.BodyTooLarge):
        await wire.Bodies(4, 100).read(sent)
    with pytest.raises(IndexError):
        await sent.receive()


async def test_endless_body_is_not_drained_for_ever() -> None:
    endless = request(*[chunk(b"x" * (1 << 20), True)] * 100)
    with pytest.raises(wire.BodyTooLarge):
        await wire.Bodies(1000, 100).read(endless)
    assert await endless.receive()


async def test_client_that_goes_while_sending() -> None:
    bodies = wire.Bodies(4, 5)
    for _ in range(3):
        with pytest.raises(Cancelled):
            await bodies.read(request(chunk(b"abcd", True), {"type": "http.disconnect"}))


async def test_a_picture_that_comes_too_late_is_refused_before_it_is_read() -> None:
    async def refuse() -> None:
        raise Busy(Stage.QUEUE)

    context = RequestContext(1, deadline=time.monotonic() + 5, admit=refuse)
    token = current.set(context)
    try:
        large = Request({**request().scope, "headers": [(b"content-length", b"100000")]}, request(chunk(b"x")).receive)
        with pytest.raises(Busy):
            await wire.Bodies(200_000, 200_000).read(large)
        assert await large.receive() == chunk(b"x")
        small = Request({**request().scope, "headers": [(b"content-length", b"1")]}, request(chunk(b"x")).receive)
        assert await wire.Bodies(10, 10).read(small) == b"x"
    finally:
        current.reset(token)


async def test_bodies_together_have_a_limit() -> None:
    bodies = wire.Bodies(10, 15)
    slow = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not slow.is_set():
            slow.set()
            return chunk(b"x" * 10, True)
        await asyncio.sleep(3600)
        raise AssertionError

    reading = asyncio.create_task(bodies.read(Request({"type": "http", "method": "POST", "headers": []}, receive)))
    await slow.wait()
    assert await bodies.read(request(chunk(b"y" * 5))) == b"y" * 5
    with pytest.raises(Busy):
        await bodies.read(request(chunk(b"y" * 6)))
    reading.cancel()
    await asyncio.wait([reading])
    assert await bodies.read(request(chunk(b"y" * 10))) == b"y" * 10


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"", "application/json", wire.Kind.EMPTY),
        (b" \n\t ", "", wire.Kind.EMPTY),
        (b" " * 100 + b"{}", "", wire.Kind.OBJECT),
        (b'{"a":1}', "application/x-www-form-urlencoded", wire.Kind.OBJECT),
        (b'\xef\xbb\xbf{"a":1}', "", wire.Kind.OBJECT),
        (b"\n[1]", "text/plain", wire.Kind.ARRAY),
        (b"a=b", "application/json", wire.Kind.FORM),
        (b"--x\r\n", "multipart/form-data; boundary=x", wire.Kind.MULTIPART),
    ],
)
def test_sniffing(body: bytes, content_type: str, kind: wire.Kind) -> None:
    assert wire.sniff(body, content_type) is kind


MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1 +%2B\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    + PICTURE
    + b"\r\n--B--\r\n"
)
SHAPE = wire.Shape(("a", "b", "c"), most=2)


def test_fields_of_an_object_are_decoded_one_by_one() -> None:
    fields = SHAPE.fields(b'{"a": "x\\u00e9", "b": null, "other": {"a": 1}, "c": [1, "2"], "a": 3.5}')
    assert fields.get("a") == 3.5
    assert fields.get("b") is None
    assert fields.get("c") == [1, "2"]
    assert fields.get("missing") is None


def test_elements_of_an_array_beyond_the_most_are_not_made() -> None:
    assert [element.get("a") for element in SHAPE.elements(b'[{"a":1},{"a":2},{"a":3},{"a":4},5]')] == [1, 2, 3]
    assert SHAPE.elements(b"[]") == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a":}',
        b'{"a":1}x',
        b'{"a":NaN}',
        b"{'a':1}",
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":' * 50_000,
        b'{"a":' + b"[" * 50_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_broken_json(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        SHAPE.fields(body).get("a")


@pytest.mark.parametrize("body", [b"[1]", b"[{}", b'["a"]', b"[" * 50_000, b"[[]]"], ids=lambda body: repr(body[:5]))
def test_broken_array(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        SHAPE.elements(body)


def test_huge_array_in_a_field_is_not_built() -> None:
    assert SHAPE.fields(b'{"a":[' + b"[]," * 100_000 + b"[]]}").get("a") is wire.Long.WRONG


def test_form_fields() -> None:
    body = f"a=1+%2B&b={quote(TEXT)}&c[]=x&c%5B%5D=y+z&a=2&empty=&=&raw=\xe4".encode()
    fields = wire.parse_form(body)
    assert fields.get("a") == "1 +"
    assert fields.get("c") == ["x", "y z"]
    assert fields.get("empty") == ""
    assert fields.get("raw") == "ä"
    picture = fields.get("b")
    assert isinstance(picture, FormText)
    assert decode_base64(picture) == PICTURE


@pytest.mark.parametrize("body", [b"hello", b"&" * 5000 + b"=", b"x" * 300 + b"=1", b"\xff\xfe"])
def test_broken_form(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        wire.parse_form(body)


def test_multipart_fields() -> None:
    fields = wire.parse_multipart(MULTIPART, "multipart/form-data; boundary=B")
    assert fields.get("a") == "1 +%2B"
    assert fields.get("file") == Upload(PICTURE, "x.jpg")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (MULTIPART, "multipart/form-data"),
        (MULTIPART, "multipart/form-data; boundary="),
        (MULTIPART, "multipart/form-data; boundary=" + "x" * 300),
        (MULTIPART[:200], "multipart/form-data; boundary=B"),
        (b"junk", "multipart/form-data; boundary=B"),
        (b"--B\r\n\r\n\r\n" * 2000, "multipart/form-data; boundary=B"),
    ],
)
def test_broken_multipart(body: bytes, content_type: str) -> None:
    with pytest.raises(wire.Unreadable):
        wire.parse_multipart(body, content_type)


def json_text(text: str) -> JsonText:
    value = wire.Shape(("a",)).fields(json.dumps({"a": text}).encode()).get("a")
    assert isinstance(value, JsonText)
    return value


LINES = "\r\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76))
SPOKEN = TEXT.replace("+", "-").replace("/", "_")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        LINES,
        SPOKEN,
        SPOKEN.rstrip("="),
        f"\n{TEXT} ",
        TEXT.replace("+", " "),
        quote_plus(TEXT),
        f"data:image/jpeg;base64,{TEXT}",
        f"data:;base64,{LINES}",
        f"Data:image/png;name=a;base64, {TEXT}",
    ],
)
def test_base64_in_every_spelling(text: str) -> None:
    escaped = json_text(text)
    assert decode_base64(escaped) == PICTURE
    assert decode_base64(text) == PICTURE
    assert decode_base64(FormText(quote(text, safe="").encode())) == PICTURE
    assert decode_base64(LongText(text.encode())) == PICTURE


def test_base64_with_slashes_escaped_as_php_does() -> None:
    raw = wire.Shape(("a",)).fields(('{"a":"' + TEXT.replace("/", "\\/") + '"}').encode()).get("a")
    assert isinstance(raw, JsonText)
    assert decode_base64(raw) == PICTURE


@pytest.mark.parametrize("text", ["", "=", "A", "*" * 8, "data:image/jpeg;base64,", "data:", "é" * 3000, "A" * 4097])
def test_not_base64(text: str) -> None:
    with pytest.raises(NotBase64):
        decode_base64(text)
    with pytest.raises(NotBase64):
        decode_base64(LongText(text.encode()))


@pytest.mark.serial
@pytest.mark.parametrize(("size", "limit"), [(150_000, 0.001), (4_000_000, 0.003)])
def test_a_picture_costs_little(size: int, limit: float) -> None:
    picture = random.Random(size).randbytes(size)
    body = json.dumps({"a": base64.b64encode(picture).decode(), "b": "BASE64", "c": "g1,g2"}).encode()
    times = []
    for _ in range(15):
        begun = time.thread_time()
        fields = SHAPE.fields(body)
        value = fields.get("a")
        assert isinstance(value, JsonText)
        decoded = decode_base64(value)
        times.append(time.thread_time() - begun)
    assert decoded == picture
    assert min(times) < limit


# Parameter tables

TABLE = Table(
    [
        Param(
            "id", params.matching("[a-z_]{1,8}", frozenset({"all"}), frozenset({"@ALL"})), 1, True, aliases={"uid": 2}
        ),
        Param("count", params.integer(1, 10), 3, default=1, blank=True),
        Param("level", params.word(("NONE", "LOW"), unknown=5), 4, default="NONE"),
        Param("share", params.number(0, 100), 6, default=0.0, blank=True),
        Param("names", params.listed(params.matching("[a-z]+"), 2, too_many=8), 7),
        Param("note", params.text(6), 9, blank=True),
    ],
    lambda name: Refusal(99, name),
)


def read(**sent: object) -> params.Values:
    return TABLE.read(wire.Shape(TABLE.names).fields(json.dumps(sent).encode()))


def test_defaults_and_absences() -> None:
    values = {"id": "a", "count": 1, "level": "NONE", "share": 0.0, "names": None, "note": None}
    assert read(id="a") == values
    assert read(id="a", count=None, level="", share=None, names="", note=None) == values
    assert read(uid="@ALL", note="", extra=1) == {**values, "id": "@ALL", "note": ""}


def test_readings() -> None:
    values = read(id="a", count="3", level=" low", share="80.5", names=" a , b,a", note="äöü")
    assert values == {"id": "a", "count": 3, "level": "LOW", "share": 80.5, "names": ["a", "b"], "note": "äöü"}
    assert read(id="a", names=["a", "b"], count=3.0)["names"] == ["a", "b"]


WRONG_COUNTS: tuple[Any, ...] = (0, 11, 1.5, True, "x", "", [], {}, "1e1", "٣", 10**30)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({}, 99),
        ({"id": ""}, 99),
        ({"id": None}, 99),
        ({"id": 1}, 1),
        ({"id": "all"}, 1),
        ({"id": "a\n"}, 1),
        ({"id": "a" * 9}, 1),
        ({"uid": "A"}, 2),
        ({"id": ["a"]}, 1),
        ({"id": "a" * 5000}, 1),
        *[({"id": "a", "count": wrong}, 3) for wrong in WRONG_COUNTS],
        ({"id": "a", "level": 1}, 4),
        ({"id": "a", "level": "HIGHER"}, 5),
        *[({"id": "a", "share": wrong}, 6) for wrong in (-1, 100.1, "nan", "inf", True, "", [1], 10**400)],
        *[({"id": "a", "names": wrong}, 7) for wrong in ("a,", ",", "A", [], [1], 1, {"a": 1}, "a,b,C")],
        ({"id": "a", "names": "a,b,c"}, 8),
        ({"id": "a", "note": "x" * 7}, 9),
        ({"id": "a", "note": "ä" * 4}, 9),
        ({"id": "a", "note": "a\0"}, 9),
        ({"id": "a", "note": 5}, 9),
        ({"id": "a", "level": 1, "count": 0}, 3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(sent: dict[str, object], code: int) -> None:
    with pytest.raises(Refusal) as refused:
        read(**sent)
    assert refused.value.code == code


def test_query_goes_before_body() -> None:
    table = Table([Param("app", params.text(), 1, True, in_query=True)], lambda name: Refusal(99, name))
    body = wire.Shape(table.names).fields(b'{"app":"body"}')
    assert table.read(body, wire.parse_query(b"app=query")) == {"app": "query"}
    assert table.read(body, wire.parse_query(b"app=&x")) == {"app": "body"}
