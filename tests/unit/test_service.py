"""What FaceService asks of vision: only what the question needs, after the library has been asked, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from face_server.engine.lanes import Lanes
from face_server.errors import (
    BadPicture,
    Busy,
    FaceError,
    GroupMissing,
    ModelMissing,
    NoFace,
    NotLive,
    OtherModel,
    PictureGone,
    QualityRefused,
    TokenUnknown,
    UserMissing,
)
from face_server.faces.access import Access
from face_server.faces.asks import Ask, Mode, Place, Query
from face_server.faces.limits import AppLimits
from face_server.faces.service import FaceService
from face_server.index.registry import Registry
from face_server.index.snapshots import Snapshots
from face_server.model import (
    Analysis,
    Box,
    Cleaned,
    Face,
    Feature,
    Gates,
    Level,
    Picture,
    Quality,
    Task,
    Token,
    Want,
)
from face_server.settings import Settings
from face_server.store.blobs import Blobs
from face_server.store.store import Store
from face_server.store.tokens import TokenCache
from face_server.vision.protocol import VisionInfo

SIZE = 8
JPEG = cv2.imencode(".jpg", np.full((200, 300, 3), 90, np.uint8))[1].tobytes()


def vector(seed: int) -> Any:
    numbers = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return numbers / np.linalg.norm(numbers)


class Eyes:
    """A vision that sees what it is told to and notes what it was asked: the pictures are tails of a JPEG's bytes."""

    def __init__(self) -> None:
        self.info = VisionInfo("told", ~Want.NONE, "model-1", SIZE, ((-1.0, 0.0), (1.0, 100.0)))
        self.ready = True
        self.tasks: list[Task] = []
        self.sights: dict[bytes, Callable[[], tuple[Face, ...]]] = {}
        self.delays: dict[bytes, float] = {}

    def show(self, name: str, *faces: Face, error: FaceError | None = None, delay: float = 0.0) -> Picture:
        def seen() -> tuple[Face, ...]:
            if error:
                raise error
            return faces

        picture = JPEG + name.encode()
        self.sights[picture], self.delays[picture] = seen, delay
        return Picture(picture)

    async def clean(self, picture: bytes) -> Cleaned:
        raise ModelMissing("clean")

    async def analyze(self, picture: bytes, task: Task, then: object = None) -> Analysis:
        self.tasks.append(task)
        await asyncio.sleep(self.delays.get(picture, 0.0))
        if task.spot:  # the picture may be the stored part of another one
            faces: tuple[Face, ...] = (face(1, token=task.spot.token, box=task.spot.box),)
        else:
            faces = self.sights[picture]()[: task.max_faces]
        return Analysis(300, 200, tuple(_only(one, task.want) for one in faces))


def _only(one: Face, want: Want) -> Face:
    return replace(
        one,
        embedding=one.embedding if Want.EMBEDDING in want else None,
        liveness=one.liveness if Want.LIVENESS in want else None,
        quality=one.quality if Want.QUALITY in want else None,
    )


def face(seed: int, token: str = "", box: Box | None = None, live: float = 1.0, blur: float = 0.0) -> Face:
    return Face(
        box or Box(100 + seed, 80, 40, 50),
        0.9,
        np.full((5, 2), 100, np.float32),
        token or f"{seed:032x}",
        quality=Quality(blur, 128, 1),
        liveness=live,
        embedding=vector(seed),
    )


@pytest.fixture
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture
async def service(eyes: Eyes, tmp_path: Path) -> AsyncIterator[FaceService]:
    store, tokens = Store(tmp_path / "faces.db"), TokenCache(tmp_path, 60, 10)
    lanes = Lanes(1, queue_bytes=1 << 26)
    await store.open()
    tokens.open()
    lanes.start()

    async def run(work: Callable[[], Any]) -> Any:
        return work()

    registry = Registry(store.index_rows, run, SIZE, Snapshots(tmp_path / "galleries", "model-1", SIZE))
    blobs, settings = Blobs(tmp_path / "pictures"), Settings(data_dir=tmp_path)
    access = Access(store.access, enforced=False)
    yield FaceService(eyes, registry, store, tokens, blobs, lanes, settings, access, AppLimits(store.limits))
    await registry.close()
    lanes.close()
    tokens.close()
    await store.close()


PLACE = Place("g1", "u1", "info")
LIVE = Gates(liveness=Level.NORMAL)


async def test_search_asks_for_nothing_but_the_embedding(service: FaceService, eyes: Eyes) -> None:
    await service.enroll("a", Ask(eyes.show("one", face(1))), PLACE)
    eyes.tasks.clear()
    found = await service.search("a", Ask(eyes.show("one", face(1))), Query(["g1"]))
    assert [(match.user, match.info) for match in found.matches] == [("u1", "info")]
    assert [task.want for task in eyes.tasks] == [Want.EMBEDDING]
    await service.search("a", Ask(eyes.show("one", face(1)), gates=Gates(Level.LOW, Level.LOW)), Query(["g1"]))
    assert eyes.tasks[-1].want == Want.EMBEDDING | Want.QUALITY | Want.LIVENESS


async def test_a_known_token_costs_no_inference(service: FaceService, eyes: Eyes) -> None:
    await service.enroll("a", Ask(eyes.show("one", face(1))), PLACE)
    token = Token(face(1).token)
    eyes.tasks.clear()
    assert (await service.search("a", Ask(token), Query(["g1"]))).matches[0].score > 99
    assert (await service.compare("a", Ask(token), Ask(token))).score > 99
    assert eyes.tasks == []
    await service.compare("a", Ask(token), Ask(token, gates=Gates(quality=Level.LOW)))
    (task,) = eyes.tasks
    assert task.want == Want.QUALITY
    assert task.spot is not None


async def test_a_token_without_an_embedding_gets_it_from_its_picture(service: FaceService, eyes: Eyes) -> None:
    await service.detect("a", Ask(eyes.show("one", face(1))))
    await service.enroll("a", Ask(Token(face(1).token)), PLACE)
    assert eyes.tasks[-1].want == Want.EMBEDDING
    assert eyes.tasks[-1].spot is not None


async def test_library_is_asked_before_the_picture(service: FaceService, eyes: Eyes) -> None:
    picture = eyes.show("bad", error=BadPicture())
    with pytest.raises(GroupMissing):
        await service.search("a", Ask(picture), Query(["g1"]))
    with pytest.raises(GroupMissing):
        await service.enroll("a", Ask(picture), replace(PLACE, mode=Mode.UPDATE))
    await service.library.add_group("a", "g1")
    with pytest.raises(UserMissing):
        await service.search("a", Ask(picture), Query(["g1"], user="u1"))
    with pytest.raises(UserMissing):
        await service.enroll("a", Ask(picture), replace(PLACE, mode=Mode.UPDATE))
    assert eyes.tasks == []
    with pytest.raises(BadPicture):
        await service.search("a", Ask(picture), Query(["g1"]))


async def test_first_picture_in_order_decides_whichever_fails_first(service: FaceService, eyes: Eyes) -> None:
    slow = eyes.show("slow", delay=0.1)
    quick = eyes.show("quick", error=BadPicture())
    with pytest.raises(NoFace):
        await service.compare("a", Ask(slow), Ask(quick))
    with pytest.raises(BadPicture):
        await service.liveness("a", [Ask(quick), Ask(slow)])


async def test_quality_decides_before_liveness_and_both_before_the_library(service: FaceService, eyes: Eyes) -> None:
    await service.enroll("a", Ask(eyes.show("one", face(1))), PLACE)
    worst = eyes.show("worst", face(1, blur=1.0, live=0.0))
    with pytest.raises(QualityRefused):
        await service.enroll("a", Ask(worst, gates=Gates(Level.LOW, Level.LOW)), PLACE)
    with pytest.raises(NotLive):
        await service.enroll("a", Ask(worst, gates=Gates(liveness=Level.LOW)), PLACE)


async def test_detect_leaves_out_what_fails_and_tells_when_all_do(service: FaceService, eyes: Eyes) -> None:
    group = eyes.show("group", face(1, live=0.1), face(2), face(3, live=0.2))
    assert [one.token for one in await service.detect("a", Ask(group, gates=LIVE, max_faces=5))] == [face(2).token]
    with pytest.raises(NotLive) as failure:
        await service.detect("a", Ask(group, gates=LIVE))
    assert failure.value.score == 0.1
    with pytest.raises(TokenUnknown):  # a face that was not in an answer has no token
        await service.detect("a", Ask(Token(face(3).token)))
    assert await service.search_many("a", Ask(eyes.show("x", face(1, live=0.1)), gates=LIVE), Query([])) == []


async def test_a_refused_face_leaves_no_token(service: FaceService, eyes: Eyes) -> None:
    with pytest.raises(NotLive):
        await service.enroll("a", Ask(eyes.show("x", face(7, live=0.0)), gates=LIVE), PLACE)
    with pytest.raises(TokenUnknown):
        await service.detect("a", Ask(Token(face(7).token)))
    assert await service.library.groups("a", 0, 10) == []


async def test_liveness_without_a_model_is_refused_before_any_work(service: FaceService, eyes: Eyes) -> None:
    eyes.info = replace(eyes.info, capabilities=Want.EMBEDDING | Want.QUALITY)
    picture = eyes.show("one", face(1))
    for work in (
        service.liveness("a", [Ask(picture)]),
        service.enroll("a", Ask(picture, gates=LIVE), PLACE),
        service.video(b""),
    ):
        with pytest.raises(ModelMissing):
            await work
    assert eyes.tasks == []
    await service.enroll("a", Ask(picture, gates=Gates(quality=Level.HIGH)), PLACE)


async def test_without_an_embedder_only_comparing_fails(service: FaceService, eyes: Eyes) -> None:
    eyes.info = replace(eyes.info, capabilities=Want.QUALITY | Want.LIVENESS)
    picture = eyes.show("one", face(1))
    assert await service.detect("a", Ask(picture))
    with pytest.raises(ModelMissing):
        await service.compare("a", Ask(picture), Ask(picture))
    with pytest.raises(ModelMissing):
        await service.enroll("a", Ask(picture), PLACE)


async def test_features(service: FaceService, eyes: Eyes) -> None:
    await service.enroll("a", Ask(eyes.show("one", face(1))), PLACE)
    group = Ask(eyes.show("group", face(2), face(1), face(3)), max_faces=3)
    compared = await service.compare("a", Ask(Feature(vector(1))), group)
    assert [one.token for one in compared.others] == [face(n).token for n in (2, 1, 3)]
    assert compared.scores[1] == max(compared.scores) > 99
    assert (await service.search("a", Ask(Feature(vector(1))), Query(["g1"]))).matches[0].user == "u1"
    with pytest.raises(OtherModel):
        await service.search("a", Ask(Feature(np.ones(3, np.float32))), Query(["g1"]))


async def test_threshold_and_number_of_users(service: FaceService, eyes: Eyes) -> None:
    for seed in range(1, 6):
        await service.enroll("a", Ask(eyes.show(str(seed), face(seed))), replace(PLACE, user=f"u{seed}"))
    found = await service.search("a", Ask(Feature(vector(3))), Query(["g1"], most=10))
    scores = [match.score for match in found.matches]
    assert found.matches[0].user == "u3"
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
    at = scores[2]
    kept = await service.search("a", Ask(Feature(vector(3))), Query(["g1"], threshold=at, most=10))
    assert [match.score for match in kept.matches] == scores[:3]
    few = await service.search("a", Ask(Feature(vector(3))), Query(["g1"], threshold=at, most=2))
    assert [match.score for match in few.matches] == scores[:2]


async def test_stored_part_knows_where_it_was_cut(service: FaceService, eyes: Eyes, tmp_path: Path) -> None:
    """The face is asked again in the stored part, and answered in the coordinates of the whole picture."""
    sent = face(1, box=Box(10, 60, 40, 50))
    await service.enroll("a", Ask(eyes.show("one", sent)), PLACE)
    (stored,) = [path for path in (tmp_path / "pictures").rglob("*") if path.is_file()]
    kept = cv2.imdecode(np.frombuffer(stored.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert kept is not None
    assert kept.shape[:2] == (150, 105)  # three times the box around its centre, cut at the picture's left border
    empty = TokenCache(tmp_path / "empty", 60, 10)  # as if it had expired
    empty.open()
    service._looking._tokens = empty
    (again,) = await service.detect("a", Ask(Token(sent.token), Want.QUALITY))
    spot = eyes.tasks[-1].spot
    assert spot is not None
    assert (spot.box.left, spot.box.top) == (10, 50)
    assert (again.box.left, again.box.top, again.token) == (10, 60, sent.token)
    stored.unlink()
    with pytest.raises(PictureGone):
        await service.detect("a", Ask(Token(sent.token), Want.QUALITY))


async def test_a_full_cache_of_tokens_refuses_nothing_that_is_registered(service: FaceService, eyes: Eyes) -> None:
    service._looking._tokens._waiting_bytes = 1 << 40  # type: ignore[attr-defined]
    with pytest.raises(Busy):
        await service.detect("app", Ask(eyes.show("one", face(1))))
    registered = await service.enroll("app", Ask(eyes.show("one", face(1))), PLACE)
    face_id = await service.people.add("app", Ask(eyes.show("two", face(2))), "g1", "")
    await service.people.change("app", Ask(eyes.show("three", face(3))), "g1", face_id, None)
    face_id = await service.distinct.add("app", Ask(eyes.show("four", face(4))), PLACE, 0.99)
    await service.distinct.change("app", Ask(eyes.show("five", face(5))), "g1", face_id, 0.99)
    assert (await service.compare("app", Ask(Token(registered.token)), Ask(Token(face(5).token)))).scores
