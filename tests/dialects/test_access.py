"""Apps with secrets: each dialect at the wire, and the checks behind them."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.requests import Request

from face_server.dialects.credentials import app_of_header
from face_server.errors import GroupMissing
from face_server.faces import access as access_module
from face_server.faces.access import Access
from face_server.faces.apps import Apps, Issued
from face_server.store.access import AppMissing
from face_server.store.blobs import Blobs
from face_server.store.rows import NewFace
from face_server.store.store import Store
from scripts.load.server import ServerProcess, serving

T = TypeVar("T")
SECONDS_TO_FOLLOW = 20  # a server looks every second; the rest is for a machine with much to do


def apps_beside(data_dir: Path, work: Callable[[Apps], Awaitable[T]]) -> T:
    """What the command line does: in another process than the server's."""

    async def run() -> T:
        store = Store(data_dir / "faces.db")
        await store.open()
        try:
            return await work(Apps(store, Blobs(data_dir / "pictures"), data_dir))
        finally:
            await store.close()

    with asyncio.Runner() as runner:
        return runner.run(run())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("guarded"), auth="apps") as running:
        yield running


@dataclass(frozen=True)
class Shown:
    """What a caller says it is."""

    app: str
    key: str = ""
    secret: str = ""

    @property
    def token(self) -> str:
        return f"{self.key}.{self.secret}" if self.key else ""


def shown(issued: Issued) -> Shown:
    return Shown(issued.app, issued.key, issued.secret)


def baidu_by_token(url: str, who: Shown) -> int:
    query = {"appid": who.app} | ({"access_token": who.token} if who.token else {})
    return baidu_code(httpx.get(f"{url}/face-api/v3/group/list", params=query))


def baidu_by_pair(url: str, who: Shown) -> int:
    query = {"appid": who.app} | ({"ak": who.key, "sk": who.secret} if who.key else {})
    return baidu_code(httpx.post(f"{url}/v3/group/list", params=query, json={}))


def baidu_by_header(url: str, who: Shown) -> int:
    auth = (who.key, who.secret) if who.key else None
    return baidu_code(httpx.post(f"{url}/v3/group/list", json={"appid": who.app}, auth=auth))


def baidu_array(url: str, who: Shown) -> int:
    """Admitted callers learn that there are too few pictures."""
    headers = {"authorization": f"Bearer {who.token}"} if who.token else {}
    code = baidu_code(httpx.post(f"{url}/v3/face/match?appid={who.app}", json=[], headers=headers))
    return 0 if code == 222208 else code


def baidu_code(response: httpx.Response) -> int:
    assert response.status_code == 200
    return int(response.json()["error_code"])


def cloudwalk_by_form(url: str, who: Shown) -> int:
    return cloudwalk(url, {"app_id": who.app, "app_secret": who.secret}, {})


def cloudwalk_by_header(url: str, who: Shown) -> int:
    return cloudwalk(url, {}, {"app_id": who.app, "app_secret": who.secret})


def cloudwalk(url: str, form: dict[str, str], headers: dict[str, str]) -> int:
    page = {"type": "queryByPage", "pageNumber": "1", "pageSize": "10"}
    answer = httpx.post(f"{url}/face/clustering/group/query", data=page | form, headers=headers)
    assert answer.status_code == 200
    return int(answer.json()["result"])


def sid(url: str, who: Shown) -> int:
    """Admitted callers learn that there is nobody of this name."""
    sent = {"app_id": who.app, "app_secret": who.secret, "userId": "nobody", "groupId": "g"}
    code = int(httpx.post(f"{url}/face/get", json=sent).json()["result"])
    return code if code == 20010002 else 0


def enn(url: str, who: Shown) -> int:
    """Admitted callers learn that there is nobody of this name, or no such app."""
    headers = {"X-GW-Authorization": who.token} if who.token else {}
    answer = httpx.post(f"{url}/cv/face/face_search", data={"app_id": who.app, "user_id": "nobody"}, headers=headers)
    if answer.status_code == 401:
        assert answer.json() == {"code": 401, "message": "Unauthorized"}
        return 401
    assert answer.status_code == 200
    return 0


def facebox_by_pair(url: str, who: Shown) -> int:
    """Its contract has no app id: the key tells whose box it is."""
    return facebox(httpx.get(f"{url}/api/faceGroups", auth=(who.key, who.secret) if who.key else None))


def facebox_by_token(url: str, who: Shown) -> int:
    headers = {"authorization": f"Bearer {who.token}"} if who.token else {}
    return facebox(httpx.get(f"{url}/api/faceGroups", headers=headers))


def facebox(answer: httpx.Response) -> int:
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert answer.json() == {"code": 104400, "msg": "PARAM_ERROR:Authorization", "data": {}}
        return 401
    assert answer.status_code == 200, answer.text
    return int(answer.json()["code"])


# The call, the code of a refusal, and the code where the credential is good but another app's.
DIALECTS = [
    (baidu_by_token, 110, 6),
    (baidu_by_pair, 110, 6),
    (baidu_by_header, 110, 6),
    (baidu_array, 110, 6),
    (cloudwalk_by_form, 4096, 4096),
    (cloudwalk_by_header, 4096, 4096),
    (sid, 20010002, 20010002),
    (enn, 401, 401),
    (facebox_by_pair, 401, 0),
    (facebox_by_token, 401, 0),
]
Call = Callable[[str, Shown], int]


def becomes(expected: int, call: Call, url: str, who: Shown) -> None:
    """A running server follows within seconds."""
    end = time.monotonic() + SECONDS_TO_FOLLOW
    while (code := call(url, who)) != expected:
        assert time.monotonic() < end, code
        time.sleep(0.1)


@pytest.mark.parametrize("call", [row[0] for row in DIALECTS])
def test_open_accepts_anything(server: ServerProcess, call: Call) -> None:
    assert call(server.url, Shown("anybody", "any", "thing")) == 0
    if call is not sid:  # whose contract wants both to be there
        assert call(server.url, Shown("anybody")) == 0


def test_secrets(guarded: ServerProcess) -> None:
    """One story for all dialects, because a server looks only every second at what has changed."""
    url = guarded.url
    mine = shown(apps_beside(guarded.data_dir, lambda apps: apps.create("a")))
    theirs = shown(apps_beside(guarded.data_dir, lambda apps: apps.create("b")))
    becomes(0, sid, url, theirs)
    wrong = {
        "wrong secret": Shown("a", mine.key, mine.secret[:-1] + ("a" if mine.secret[-1] != "a" else "b")),
        "empty secret": Shown("a", mine.key),
        "nothing": Shown("a"),
        "unknown app": Shown("nobody", "no-key", mine.secret),
        "secret of another": Shown("a", mine.key, theirs.secret),
    }
    for call, refused, other in DIALECTS:
        assert call(url, mine) == call(url, theirs) == 0, call
        for name, who in wrong.items():
            assert call(url, who) == refused, (call, name)
        assert call(url, Shown("b", mine.key, mine.secret)) == other, call

    fresh = shown(apps_beside(guarded.data_dir, lambda apps: apps.rotate("a", 3600)))
    becomes(0, sid, url, fresh)
    for call, _, _ in DIALECTS:
        assert call(url, fresh) == call(url, mine) == 0, (call, "both work while they overlap")

    last = shown(apps_beside(guarded.data_dir, lambda apps: apps.rotate("a", 0)))
    becomes(0, sid, url, last)
    for call, refused, _ in DIALECTS:
        assert call(url, last) == 0, call
        assert call(url, mine) == call(url, fresh) == refused, call

    apps_beside(guarded.data_dir, lambda apps: apps.delete("a"))
    becomes(20010002, sid, url, last)
    for call, refused, _ in DIALECTS:
        assert call(url, last) == refused, call
        assert call(url, theirs) == 0, call


def test_no_ascii(guarded: ServerProcess) -> None:
    who = Shown("钥匙", "钥匙", "密码")
    assert baidu_by_token(guarded.url, Shown("a", "钥匙", "密码")) == 110
    assert baidu_by_pair(guarded.url, Shown("a", "钥匙", "密码")) == 110
    assert cloudwalk_by_form(guarded.url, who) == 4096
    assert sid(guarded.url, who) == 20010002


def test_open_pages_stay_open(guarded: ServerProcess) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert httpx.get(guarded.url + path).status_code == 200, path


def test_refused_with_a_large_body(guarded: ServerProcess) -> None:
    """Many clients listen only when all is sent."""
    picture = base64.b64encode(bytes(6 << 20)).decode()
    answer = httpx.post(f"{guarded.url}/v3/face/detect?appid=x", json={"image": picture, "image_type": "BASE64"})
    assert answer.json()["error_code"] == 110
    answer = httpx.post(f"{guarded.url}/cv/face/face_check", files={"image": bytes(6 << 20)})
    assert answer.status_code == 401


def test_a_number_names_an_app_too(guarded: ServerProcess) -> None:
    """JSON clients send 7 and mean "7": that must not pass by the check."""
    mine = apps_beside(guarded.data_dir, lambda apps: apps.create("numbers"))
    apps_beside(guarded.data_dir, lambda apps: apps.create("7"))
    becomes(0, enn, guarded.url, shown(mine))
    headers = {"X-GW-Authorization": mine.token}
    answer = httpx.post(f"{guarded.url}/cv/face/face_search", json={"app_id": 7, "user_id": "u"}, headers=headers)
    assert answer.status_code == 401


def test_nobody_sees_what_is_anothers(guarded: ServerProcess, astronaut: bytes) -> None:
    url, image = guarded.url, base64.b64encode(astronaut).decode()
    mine = apps_beside(guarded.data_dir, lambda apps: apps.create("seen"))
    theirs = apps_beside(guarded.data_dir, lambda apps: apps.create("unseen"))
    for issued in (mine, theirs):
        becomes(0, cloudwalk_by_form, url, shown(issued))

    def baidu(issued: Issued, path: str, **sent: str) -> dict[str, Any]:
        query = {"appid": issued.app, "access_token": issued.token}
        found: dict[str, Any] = httpx.post(f"{url}/face-api/v3/{path}", params=query, json=sent, timeout=60).json()
        return found

    sent = {"image": image, "image_type": "BASE64", "group_id": "g", "user_id": "u"}
    token = baidu(mine, "face/add", **sent)["result"]["face_token"]
    assert baidu(mine, "face/list", group_id="g", user_id="u")["error_code"] == 0
    assert baidu(mine, "app/list")["result"] == {"app_id_list": ["seen"]}
    assert baidu(mine, "face/detect", image=token, image_type="FACE_TOKEN")["error_code"] == 0

    assert baidu(theirs, "face/list", group_id="g", user_id="u")["error_code"] == 223100
    assert baidu(theirs, "group/list")["result"] == {"group_id_list": []}
    assert baidu(theirs, "face/detect", image=token, image_type="FACE_TOKEN")["error_code"] == 222209
    assert baidu(theirs, "face/identify", image=image, image_type="BASE64", group_id_list="g")["error_code"] == 223100
    statistics = f"{url}/face-api/facehub/"
    query = {"access_token": theirs.token}
    of_groups = {"op_app_id": "seen", "group_id_list": "g"}
    for path, asked in (("statapp", {"op_app_id_list": "seen"}), ("statgroup", of_groups)):
        assert httpx.post(statistics + path, params=query, json=asked).json()["error_code"] == 6, path

    form = {"app_id": theirs.app, "app_secret": theirs.secret}
    query_groups = {"type": "queryByPage", "pageNumber": "1", "pageSize": "10"}
    listed = httpx.post(f"{url}/face/clustering/group/query", data=form | query_groups).json()
    assert listed["result"] == 0
    assert listed["rows"] == []
    probe = form | {"groupId": "g", "img": image}
    found = httpx.post(f"{url}/face/recog/group/identify", data=probe, timeout=60).json()
    assert found["result"] == 12357
    got = httpx.post(f"{url}/face/get", json=form | {"userId": "u", "groupId": "g"}).json()
    assert got["result"] not in (0, 20010002)
    headers = {"X-GW-Authorization": theirs.token}
    who = httpx.post(f"{url}/cv/face/face_search", data={"app_id": theirs.app, "user_id": "u"}, headers=headers).json()
    assert who["code"] == 40317


# The checks behind them


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = Store(place / "faces.db" if isinstance(place, Path) else place)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def issued(store: Store, tmp_path: Path) -> Issued:
    return await Apps(store, Blobs(tmp_path / "pictures"), tmp_path).create("mine")


@pytest.fixture
async def access(store: Store, issued: Issued) -> AsyncIterator[Access]:
    access = Access(store.access, enforced=True)
    await access.open()
    yield access
    await access.close()


async def test_every_check_compares_one_hash(
    access: Access, store: Store, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constant time: whatever is sent, one keyed hash is made and compared with one other by `compare_digest`, and
    nothing asks the database."""
    compared: list[tuple[int, int]] = []
    hashed: list[int] = []

    class Watched:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return hmac.compare_digest(one, other)

        @staticmethod
        def digest(key: bytes, text: bytes, how: Any) -> bytes:
            hashed.append(len(key))
            return hmac.digest(key, text, how)

    async def not_asked(*_: object) -> None:
        raise AssertionError("a check asked the database")

    monkeypatch.setattr(access_module, "hmac", Watched)
    monkeypatch.setattr(store.access._database, "read", not_asked)
    checks: list[tuple[Callable[[], Awaitable[object]], object]] = [
        (lambda: access.by_pair(issued.key, issued.secret), "mine"),
        (lambda: access.by_pair(issued.key, "wrong"), None),
        (lambda: access.by_pair(issued.key, ""), None),
        (lambda: access.by_pair("unknown", issued.secret), None),
        (lambda: access.by_pair("", ""), None),
        (lambda: access.by_token(issued.token), "mine"),
        (lambda: access.by_token("unknown"), None),
        (lambda: access.by_token(f"{issued.token}x"), None),
        (lambda: access.app_secret("mine", issued.secret), True),
        (lambda: access.app_secret("mine", "wrong"), False),
        (lambda: access.app_secret("unknown", issued.secret), False),
        (lambda: access.app_secret("", ""), False),
    ]
    for number, (check, expected) in enumerate(checks, 1):
        assert await check() == expected, number
        assert len(compared) == len(hashed) == number
    assert set(compared) == {(32, 32)}


async def test_a_key_ends_when_its_overlap_does(
    access: Access, store: Store, issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Apps(store, Blobs(tmp_path), tmp_path).rotate("mine", 60)
    await access.read()
    assert await access.by_token(issued.token) == await access.by_key(issued.key) == "mine"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert await access.by_token(issued.token) is None
    assert await access.by_key(issued.key) is None
    assert not await access.app_secret("mine", issued.secret)


def test_secrets_are_not_stored(tmp_path: Path) -> None:
    issued = apps_beside(tmp_path, lambda apps: apps.create("mine"))
    kept = (tmp_path / "faces.db").read_bytes()
    assert issued.key.encode() in kept
    assert issued.secret.encode() not in kept


async def test_deleting_leaves_nothing(access: Access, store: Store, issued: Issued, tmp_path: Path) -> None:
    apps = Apps(store, Blobs(tmp_path / "pictures"), tmp_path)
    await apps.create("other")
    for app in ("mine", "other"):
        for number in range(3):
            picture = await Blobs(tmp_path / "pictures").save(app.encode())
            face = NewFace(f"{number:032x}", bytes(8), b"", picture)
            await store.enroll(app, f"g{number}", "u", face, "model")
    app_id, _ = await store.seq("mine") or (0, 0)
    await apps.delete("mine")
    assert [count.app for count, _ in await apps.list()] == ["default", "other"]
    assert len(await store.list_groups("other")) == len(await store.picture_keys()) == 3
    assert {path.read_bytes() for path in (tmp_path / "pictures").glob("*/*")} == {b"other"}
    assert await store.seq("mine") is None
    assert await store.upkeep.deleting_groups() == []
    with pytest.raises(AppMissing):
        await apps.delete("mine")
    await apps.create("mine")
    again, _ = await store.seq("mine") or (0, 0)
    assert again > app_id, "what a server remembers about an app must not be taken for another one's"


async def test_a_server_with_secrets_makes_no_apps(store: Store) -> None:
    store.creates_apps = False
    with pytest.raises(GroupMissing):
        await store.add_group("nobody", "g")
    assert await store.apps() == ["default"]


async def test_last_use_is_written_later(access: Access, store: Store, issued: Issued) -> None:
    async def used() -> float:
        _, _, (credential,) = await store.access.all()
        return credential.used

    await access.by_token(issued.token)
    assert await used() == 0
    await access.close()
    assert await used() > time.time() - 60


async def test_open_access(store: Store) -> None:
    access = Access(store.access, enforced=False)
    await access.open()
    assert await access.by_pair("any", "") == await access.by_token("any.thing") == await access.by_key("any") == "any"
    assert await access.app_secret("any", "")
    assert await access.known("any")
    assert len(access.signing_key) == 32
    other = Access(store.access, enforced=True)
    await other.open()
    assert other.signing_key == access.signing_key
    assert not await other.known("any")
    assert await other.known("default")
    await other.close()


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("Bearer {token}", True),
        ("bearer {token}", True),
        ("Basic {basic}", True),
        ("Basic {token}", False),
        ("Basic !", False),
        ("Digest {token}", False),
        ("{token}", False),
        ("", False),
    ],
)
async def test_authorization_header(access: Access, issued: Issued, header: str, good: bool) -> None:
    basic = base64.b64encode(f"{issued.key}:{issued.secret}".encode()).decode()
    value = header.format(token=issued.token, basic=basic).encode()
    request = Request({"type": "http", "headers": [(b"authorization", value)]})
    assert await app_of_header(access, request) == ("mine" if good else None)
