"""Whose request it is when proxies stand between: what they say of it is believed of those that the operator names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HEADER = b"x-forwarded-for"  # each proxy adds, at the end, the address that spoke to it


class Proxies:
    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted = [ipaddress.ip_network(text) for text in trusted]

    def look_behind(self, scope: Scope) -> None:
        """From here on the client of this request is the last one in the row that is none of these proxies. Anybody can
        write into the header, but only what a trusted one has added counts."""
        if not self._trusted or not scope.get("client"):
            return
        client = _address(scope["client"][0])
        for before in _passed_on(scope):
            if client is None or not self._trusts(client):
                break
            if (known := _address(before)) is None:
                break
            client = known
        if client is not None and str(client) != scope["client"][0]:
            scope["client"] = (str(client), 0)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _passed_on(scope: Scope) -> Iterator[str]:
    """The nearest first."""
    said = b",".join(value for name, value in scope["headers"] if name == HEADER)
    return reversed([part.strip() for part in said.decode("latin-1").split(",") if part.strip()])


def _address(text: str) -> Address | None:
    """Without a port, and IPv4 as such also where a socket of IPv6 took it."""
    host, _, port = text.rpartition(":")
    if port.isdecimal() and (host.startswith("[") or host.count(":") == 0 < len(host)):
        text = host.strip("[]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
