"""The door for pictures by address: what it refuses, and what a hostile server cannot do to it."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from face_server.errors import DownloadFailed
from face_server.faces import fetch
from face_server.faces.fetch import Address, Fetcher, is_public
from face_server.settings import Settings

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def settings(**changes: object) -> Settings:
    return Settings(picture_urls=True, **changes)  # type: ignore[arg-type]


def anybody(address: Address) -> bool:
    return True


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def answering(*pieces: bytes) -> Serve:
    async def serve(head: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return serve


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (OK + b"Content-Length: 7\r\n\r\npic", b"ture"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\npic\r\n4\r\nture\r\n0\r\n\r\n",),
        (OK + b"\r\npic", b"ture"),
        (b"HTTP/1.0 200 OK\r\n\r\npicture",),
    ],
)
async def test_a_picture_comes_however_it_is_framed(pieces: tuple[bytes, ...]) -> None:
    async with server(answering(*pieces)) as base:
        assert await Fetcher(settings(), anybody)(f"{base}/a.jpg?x=1") == b"picture"


async def test_request_is_plain() -> None:
    heads: list[bytes] = []

    async def serve(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK + b"Content-Length: 1\r\n\r\nx")

    async with server(serve) as base:
        await Fetcher(settings(), anybody)(f"{base}/a%20b.jpg?x=1&y=2#part")
    assert heads[0].startswith(b"GET /a%20b.jpg?x=1&y=2 HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx",),
        (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",),
        (OK + b"Content-Length: 9\r\n\r\npic",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\npic\r\n",),
        (b"nonsense\r\n\r\n",),
        (b"",),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 400_000,),
        (b"HTTP/1.1 302 Found\r\nLocation: \xff\xff\r\n\r\n",),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",),
        (b"HTTP/1.1 302 Found\r\nLocation: gopher://127.0.0.1:1/\r\n\r\n",),
    ],
    ids=lambda pieces: repr(pieces[0][:40]),
)
async def test_bad_answers(pieces: tuple[bytes, ...]) -> None:
    async with server(answering(*pieces)) as base:
        with pytest.raises(DownloadFailed):
            await Fetcher(settings(), anybody)(base)


async def test_size_is_limited_while_reading() -> None:
    sent = 0

    async def serve(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
            await writer.drain()
            sent += 1

    async with server(serve) as base:
        with pytest.raises(DownloadFailed, match="more than"):
            await Fetcher(settings(), anybody)(base)
    assert sent < 40


async def test_time_is_limited_against_a_dripping_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.3)

    async def serve(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    begun = time.monotonic()
    async with server(serve) as base:
        with pytest.raises(DownloadFailed, match="longer"):
            await Fetcher(settings(), anybody)(base)
    assert time.monotonic() - begun < 3


async def test_redirects_are_followed_three_times() -> None:
    async def serve(head: bytes, writer: asyncio.StreamWriter) -> None:
        left = int(head.split(b" ")[1].strip(b"/"))
        if left:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n" % (left - 1))
        else:
            writer.write(OK + b"Content-Length: 4\r\n\r\ndone")

    async with server(serve) as base:
        assert await Fetcher(settings(), anybody)(f"{base}/3") == b"done"
        with pytest.raises(DownloadFailed, match="redirects"):
            await Fetcher(settings(), anybody)(f"{base}/4")


async def test_redirect_to_a_forbidden_address_is_refused() -> None:
    """The first address is allowed, the one it points to is not."""
    asked: list[str] = []

    def only_the_first(address: Address) -> bool:
        asked.append(str(address))
        return len(asked) == 1

    async with server(answering(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\n\r\n")) as base:
        with pytest.raises(DownloadFailed, match="public"):
            await Fetcher(settings(), only_the_first)(base)
    assert asked == ["127.0.0.1", "169.254.169.254"]


async def test_local_server_is_out_of_reach_without_the_hook() -> None:
    async with server(answering(OK + b"\r\nsecret")) as base:
        for url in (base, base.replace("127.0.0.1", "localhost"), base.replace("127.0.0.1", "[::ffff:127.0.0.1]")):
            with pytest.raises(DownloadFailed, match="public"):
                await Fetcher(settings())(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.jpg",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "http://",
        "http:///a",
        "http://user:pass@example.com/a",
        "http://exa mple.com/",
        "http://example.com/a\r\nHost: other",
        "http://example.com:99999/",
        "http://[::1",
        "http://ex\u00e4mple.com/",
        "http://example.com/" + "a" * 3000,
    ],
)
async def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(DownloadFailed):
        await Fetcher(settings())(url)


async def test_off_by_default() -> None:
    with pytest.raises(DownloadFailed, match="switched off"):
        await Fetcher(Settings(), anybody)("http://example.com/")


async def test_allow_list() -> None:
    async with server(answering(OK + b"\r\nx")) as base:
        assert await Fetcher(settings(picture_url_hosts=["127.0.0.1"]), anybody)(base) == b"x"
        for hosts in (["example.com"], ["*.0.0.1.com"], ["27.0.0.1"]):
            with pytest.raises(DownloadFailed, match="list"):
                await Fetcher(settings(picture_url_hosts=hosts), anybody)(base)
        assert await Fetcher(settings(picture_url_hosts=["*.0.0.1"]), anybody)(base) == b"x"


PRIVATE = """
127.0.0.1 127.8.8.8 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 0.0.0.0 224.0.0.1 239.1.1.1
240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 :: ::1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2002:a00:1::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
