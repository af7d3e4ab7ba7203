"""What an app's own limits mean, which are refused, and how servers hear of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from face_server.faces import following, limits
from face_server.faces.access import Access
from face_server.faces.apps import Apps
from face_server.faces.following import followed
from face_server.faces.gates import CONTRACT
from face_server.faces.limits import RANGES, AppLimits, BadLimit, checked, limits_of, named
from face_server.store.access import AppMissing
from face_server.store.blobs import Blobs
from tests.small_library import open_store

CHANGED = 0.5  # within every range but that of completeness, and none of the contract's


@pytest.mark.parametrize("name", RANGES)
def test_each_limit_changes_itself_alone(name: str) -> None:
    value = 1 if name.endswith("completeness") else CHANGED
    usual = named(CONTRACT)
    assert named(limits_of({name: value})) == usual | {name: value}
    assert list(usual) == list(RANGES)


def test_the_contract_s_limits_where_nothing_is_set() -> None:
    assert limits_of({}) == CONTRACT
    assert limits_of({"normal.of_a_later_version": 1, "low.": 1}) == CONTRACT
    assert isinstance(asdict(limits_of({"low.completeness": 1.0}).quality[limits.LEVELS[0]])["completeness"], int)
    assert CONTRACT.false_rejects == {"frr_1e-4": 0.05, "frr_1e-3": 0.3, "frr_1e-2": 0.9}


@pytest.mark.parametrize(
    ("own", "blamed"),
    [
        ({"low.blur": 1.0, "normal.blur": 1.0, "high.blur": 1.0}, None),
        ({"low.blur": 0.0, "normal.blur": 0.0, "high.blur": 0.0}, None),
        ({"low.completeness": 1, "normal.completeness": 1}, None),
        ({"high.liveness": 1, "threshold.search": 0, "threshold.compare": 100}, None),
        ({"low.illumination": 41}, "low.illumination"),
        ({"normal.illumination": 19}, "normal.illumination"),
        ({"normal.illumination": 101}, "normal.illumination"),
        ({"normal.illumination": 101, "high.illumination": 100.5}, "high.illumination"),
        ({"high.illumination": 255.5}, "high.illumination"),
        ({"high.occlusion": 0.61}, "high.occlusion"),
        ({"low.occlusion": 0.59}, "low.occlusion"),
        ({"low.completeness": 1}, "low.completeness"),
        ({"low.liveness": float("nan")}, "low.liveness"),
        ({"threshold.search": -0.1}, "threshold.search"),
        ({"threshold.match": 50}, "threshold.match"),
    ],
    ids=str,
)
def test_values_within_their_range_and_levels_in_their_order(own: Mapping[str, float], blamed: str | None) -> None:
    if blamed is None:
        assert checked(own) == own
        return
    with pytest.raises(BadLimit) as caught:
        checked(own)
    assert caught.value.name == blamed
    assert blamed in str(caught.value)


async def test_other_servers_follow(place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_EVERY", 0.01)
    first, second = await open_store(place), await open_store(place)
    here, there = AppLimits(first.limits), AppLimits(second.limits)
    async with followed(first.access.version, [here]), followed(second.access.version, [there]):
        await first.add_group("a", "g")
        await here.change("a", lambda _: {"low.blur": 0.7, "high.blur": 0.1})
        await here.change("a", lambda own: {**own, "high.blur": 0.15})
        assert here.of("a") == limits_of({"low.blur": 0.7, "high.blur": 0.15})
        assert here.of("b") is CONTRACT
        await _until(lambda: there.of("a") == here.of("a"))
        assert await there.own("a") == {"low.blur": 0.7, "high.blur": 0.15}

        with pytest.raises(BadLimit):
            await there.change("a", lambda own: {**own, "low.blur": 0.5})
        with pytest.raises(AppMissing):
            await there.change("b", lambda _: {})
        assert await here.own("a") == {"low.blur": 0.7, "high.blur": 0.15}

        await asyncio.gather(  # neither takes back what the other one sets
            here.change("a", lambda own: {**own, "threshold.search": 90}),
            there.change("a", lambda own: {**own, "threshold.compare": 90}),
        )
        assert {"threshold.search", "threshold.compare"} <= set(await here.own("a"))

        (group,) = await second.access.close_app("a")
        while not (await second.upkeep.purge("a", group))[0]:
            pass
        await second.access.drop_app("a")
        await first.add_group("a", "g")
        assert await here.own("a") == {}
        await _until(lambda: here.of("a") is there.of("a") is CONTRACT)
    await first.close()
    await second.close()


async def test_one_look_serves_all_who_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_EVERY", 0.01)
    store = await open_store(tmp_path)
    access, own, looks = Access(store.access, enforced=True), AppLimits(store.limits), [0]

    async def newest() -> int:
        looks.append(await store.access.version())
        return looks[-1]

    async with followed(newest, [access, own]):
        await _until(lambda: access.version == own.version == looks[-1])
        assert not await access.known("new")
        count = len(looks)
        await Apps(store, Blobs(tmp_path), tmp_path).create("new")
        await own.change("new", lambda _: {"low.blur": 0.7})
        newer = await store.access.version()
        await _until(lambda: access.version == own.version == newer)
        assert len(looks) > count, "a look that begins after the change finds it"
        assert await access.known("new")
        assert own.of("new") == limits_of({"low.blur": 0.7})
    count = len(looks)
    await asyncio.sleep(0.05)
    assert len(looks) == count, "nobody follows any more"
    await store.close()


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the other server does not follow")
