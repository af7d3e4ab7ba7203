"""Pictures by address: fetched through this one guarded door.

A name is resolved once and the connection goes to the address that was checked, so a second answer of the name server
cannot lead somewhere else. Every redirect is checked like the first address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from urllib.parse import SplitResult, urljoin, urlsplit

import httptools

from face_server.errors import DownloadFailed
from face_server.settings import Settings

REDIRECTS = 3
SECONDS = 5.0  # for everything: name, connection, redirects, picture
MOST_BYTES = 10 << 20
LONGEST_URL = 2048
CHUNK = 64 << 10
MOVED = frozenset({301, 302, 303, 307, 308})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """No loopback, private, link-local (cloud metadata), shared, multicast or reserved address, wrapped or not."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class Fetcher:
    def __init__(self, settings: Settings, permitted: Callable[[Address], bool] = is_public) -> None:
        """`permitted` is for tests, whose servers are on this machine: no setting leads to it."""
        self._on = settings.picture_urls
        self._hosts = tuple(host.lower().lstrip("*") for host in settings.picture_url_hosts)
        self._permitted = permitted

    async def __call__(self, url: str) -> bytes:
        if not self._on:
            raise DownloadFailed("fetching pictures by address is switched off")
        try:
            async with asyncio.timeout(SECONDS):
                for _ in range(REDIRECTS + 1):
                    answer = await self._get(url)
                    if answer.location is None:
                        return bytes(answer.body)
                    url = urljoin(url, answer.location)
        except TimeoutError:
            raise DownloadFailed(f"took longer than {SECONDS:g} s") from None
        except (OSError, ValueError, httptools.HttpParserError) as error:
            raise DownloadFailed(f"{type(error).__name__}: {error}") from None
        raise DownloadFailed(f"more than {REDIRECTS} redirects")

    async def _get(self, url: str) -> _Answer:
        parts = self._checked(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        host = parts.hostname or ""
        reader, writer = await asyncio.open_connection(
            str(await self._resolve(host, port)),
            port,
            limit=CHUNK,
            ssl=ssl.create_default_context() if secure else None,
            server_hostname=host if secure else None,
        )
        try:
            writer.write(_request(parts))
            return await _Answer().read(reader)
        finally:
            writer.transport.abort()

    def _checked(self, url: str) -> SplitResult:
        if len(url) > LONGEST_URL or not url.isascii() or any(sign <= " " or sign == "\x7f" for sign in url):
            raise DownloadFailed("not a proper address")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise DownloadFailed("only http and https are fetched")
        if parts.username is not None or parts.password is not None:
            raise DownloadFailed("an address with a password is not fetched")
        if self._hosts and not any(_is_of(host, known) for known in self._hosts):
            raise DownloadFailed("this host is not on the operator's list")
        return parts

    async def _resolve(self, host: str, port: int) -> Address:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        # One bad address among good ones is somebody's trick.
        if not addresses or not all(self._permitted(address) for address in addresses):
            raise DownloadFailed("this address is not a public one")
        return addresses[0]


def _is_of(host: str, known: str) -> bool:
    """`known` is a host, or with a leading dot a domain."""
    return host == known or (known.startswith(".") and host.endswith(known))


def _request(parts: SplitResult) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "User-Agent: face-server",
        "Accept: image/*,*/*",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Answer:
    """Collects an HTTP answer, as the callbacks of httptools' parser."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.location: str | None = None
        self._measured = False  # the answer says how long it is
        self._complete = False

    async def read(self, reader: asyncio.StreamReader) -> _Answer:
        parser = httptools.HttpResponseParser(self)
        heads = 0
        while not self._complete:
            data = await reader.read(CHUNK)
            if not data:
                break
            parser.feed_data(data)
            heads += 0 if self.body else len(data)
            if len(self.body) > MOST_BYTES or heads > 4 * CHUNK:
                raise DownloadFailed(f"more than {MOST_BYTES} bytes")
            if parser.get_status_code() in MOVED and self.location is not None:
                return self
        self.location = None
        if parser.get_status_code() != 200:
            raise DownloadFailed(f"the server answered {parser.get_status_code()}")
        # An answer that does not say its length ends with its connection.
        if self._measured and not self._complete:
            raise DownloadFailed("the answer was cut off")
        return self

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"location":
                self.location = value.decode("ascii")
            case b"content-length" | b"transfer-encoding":
                self._measured = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self._complete = True
