"""CloudWalk: pictures by address, in every interface that takes one, with a picture server on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from face_server.app import create_app
from face_server.faces import fetch
from face_server.settings import Settings
from tests.unit.test_fetch import OK, answering, anybody, server


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    # The only way to reach a private address is to replace the rule in the code.
    monkeypatch.setattr(fetch.Fetcher.__init__, "__defaults__", (anybody,))
    app = create_app(Settings(data_dir=tmp_path, picture_urls=True))
    async with app.router.lifespan_context(app):
        yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=60)


async def test_every_picture_may_be_an_address(client: httpx.AsyncClient, astronaut: bytes) -> None:
    async def call(path: str, **fields: Any) -> dict[str, Any]:
        posted = (await client.post(f"/face/{path}", data=fields)).json()
        if "create" in path or path.startswith("clustering/face/edit"):
            return dict(posted)
        asked: dict[str, Any] = (await client.get(f"/face/{path}", params=fields)).json()
        assert {**asked, "imageLog": "", "seq": ""} == {**posted, "imageLog": "", "seq": ""}
        return asked

    async with server(answering(OK + b"Content-Length: %d\r\n\r\n" % len(astronaut), astronaut)) as base:
        url = f"{base}/a.png?b=c&d=e"
        await call("clustering/group/create", groupId="g")
        face = (await call("clustering/face/create", groupId="g", url=url))["faceId"]
        assert (await call("clustering/face/edit", groupId="g", faceId=face, url=url))["result"] == 0
        for tool in ("detect", "attribute", "keypt", "feature"):
            assert (await call(f"tool/{tool}", url=url))["result"] == 0, tool
        assert (await call("tool/detect", url=url, mode="true"))["faces"][0]["img"] != "null"
        assert (await call("tool/removeWater", url=url))["result"] in (0, 4100)
        for tool in ("compare", "compare/ext1"):
            assert (await call(f"tool/{tool}", urlA=url, urlB=url))["score"] > 0.99, tool
        for search in ("identify", "identify/ext1"):
            assert (await call(f"recog/group/{search}", groupId="g", url=url))["faces"][0]["faceId"] == face
        assert (await call("recog/group/compare", groupId="g", faceId=face, url=url))["score"] > 0.99
    # The server is gone.
    assert (await call("tool/detect", url=url))["result"] == 4102


async def test_address_that_gives_no_picture(client: httpx.AsyncClient) -> None:
    for body, code in ((OK + b"Content-Length: 5\r\n\r\n<html", 8497), (b"HTTP/1.1 404 No\r\n\r\n", 4102)):
        async with server(answering(body)) as base:
            assert (await client.post("/face/tool/detect", data={"url": base})).json()["result"] == code


async def test_a_body_over_the_limit(client: httpx.AsyncClient) -> None:
    body = b"groupId=g&img=" + b"A" * (25 << 20)
    for path, code in (("tool/detect", 8498), ("clustering/face/create", 8498), ("clustering/group/create", 4101)):
        assert (await client.post(f"/face/{path}", content=body)).json()["result"] == code, path
