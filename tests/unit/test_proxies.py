"""Whose request it is: what X-Forwarded-For says counts only as far as trusted proxies have written it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from face_server.ops.proxies import Proxies
from face_server.settings import Settings

PROXY, INNER = "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize(
    ("trusted", "peer", "headers", "client"),
    [
        ([], PROXY, ["1.2.3.4"], PROXY),
        ([PROXY], "9.9.9.9", ["1.2.3.4"], "9.9.9.9"),  # not a proxy: it may say what it wants
        ([PROXY], PROXY, [], PROXY),
        ([PROXY], PROXY, ["1.2.3.4"], "1.2.3.4"),
        ([PROXY], PROXY, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the client sent a header of its own
        ([PROXY], PROXY, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ([PROXY], PROXY, [f"1.2.3.4, {INNER}"], INNER),
        ([PROXY, INNER], PROXY, [f"6.6.6.6, 1.2.3.4, {INNER}"], "1.2.3.4"),
        (["10.0.0.0/8"], PROXY, [f"1.2.3.4,{INNER}"], "1.2.3.4"),
        (["10.0.0.0/8"], PROXY, [f"10.9.9.9, {INNER}"], "10.9.9.9"),  # somebody inside
        ([PROXY], PROXY, ["unknown"], PROXY),
        ([PROXY], PROXY, ["1.2.3.4, "], "1.2.3.4"),
        ([PROXY], PROXY, ["1.2.3.4:5678"], "1.2.3.4"),
        ([PROXY], PROXY, ["[2001:db8::1]:5678"], "2001:db8::1"),
        ([PROXY], PROXY, ["2001:DB8::1"], "2001:db8::1"),
        ([PROXY], f"::ffff:{PROXY}", ["1.2.3.4"], "1.2.3.4"),
        (["::1"], "::1", ["1.2.3.4"], "1.2.3.4"),
        ([PROXY], PROXY, ["<script>"], PROXY),
        ([PROXY], "", ["1.2.3.4"], ""),
    ],
)
def test_the_client(trusted: list[str], peer: str, headers: list[str], client: str) -> None:
    sent = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in headers)]
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1234), "headers": sent}
    Proxies(trusted).look_behind(scope)
    assert scope["client"][0] == client


def test_a_server_without_addresses_is_left_alone() -> None:
    scope: dict[str, Any] = {"type": "http", "client": None, "headers": [(b"x-forwarded-for", b"1.2.3.4")]}
    Proxies([PROXY]).look_behind(scope)
    assert scope["client"] is None


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", ""])
def test_only_addresses_and_networks(wrong: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings(trusted_proxies=[wrong])
