"""Pictures by address through the whole app, with a picture server on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from face_server.app import create_app
from face_server.faces import fetch
from face_server.settings import Settings
from tests.baidu_client import checked
from tests.unit.test_fetch import OK, answering, anybody, server


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    # The only way to reach a private address is to replace the rule in the code.
    monkeypatch.setattr(fetch.Fetcher.__init__, "__defaults__", (anybody,))
    app = create_app(Settings(data_dir=tmp_path, picture_urls=True))
    async with app.router.lifespan_context(app):
        yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=30)


async def test_picture_by_address(client: httpx.AsyncClient, astronaut: bytes) -> None:
    async with server(answering(OK + b"Content-Length: %d\r\n\r\n" % len(astronaut), astronaut)) as base:
        by_address = {"image": f"{base}/a.png", "image_type": "URL"}
        first = checked(await client.post("/v3/face/detect?appid=a", json=by_address)).result["face_list"][0]
        place = {"group_id": "g1", "user_id": "u1"}
        assert checked(await client.post("/v3/face/add?appid=a", json={**by_address, **place})).code == 0
    # The server is gone: from now on the token stands for the picture.
    token = {"image": first["face_token"], "image_type": "FACE_TOKEN"}
    match = checked(await client.post("/v3/face/match?appid=a", json=[token, token])).result
    assert match["score"] > 99
    assert checked(await client.post("/v3/face/detect?appid=a", json=by_address)).code == 222204


async def test_address_that_gives_no_picture(client: httpx.AsyncClient) -> None:
    async with server(answering(OK + b"Content-Length: 5\r\n\r\n<html")) as base:
        sent = {"image": base, "image_type": "url"}
        assert checked(await client.post("/v3/face/detect?appid=a", json=sent)).code == 222203
    async with server(answering(b"HTTP/1.1 500 Oops\r\n\r\n")) as base:
        sent = {"image": base, "image_type": "URL"}
        assert checked(await client.post("/v3/face/detect?appid=a", json=sent)).code == 222204


async def test_groups_are_checked_before_anything_is_fetched(client: httpx.AsyncClient) -> None:
    asked: list[bytes] = []

    async def serve(head: bytes, writer: object) -> None:
        asked.append(head)

    async with server(serve) as base:
        sent = {"image": base, "image_type": "URL", "group_id_list": "nobody"}
        assert checked(await client.post("/v3/face/identify?appid=a", json=sent)).code == 223100
    assert not asked
