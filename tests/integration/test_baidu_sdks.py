"""The vendor's own SDKs, as they come from the registries: every method of each, with nothing changed but the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.load.server import ServerProcess, serving
from tests.baidu_client import text, variant
from tests.conftest import ROOT
from tests.dialects.test_baidu_h5 import moving, mp4

# One worker installs the SDKs for all.
pytestmark = pytest.mark.xdist_group("baidu-sdks")

HOME = ROOT / ".ref"
PYTHON_SDK = ("baidu-aip==4.16.13", "chardet==5.2.0")  # the second it needs and does not name
NODE_SDK = ("baidu-aip-sdk@4.16.16",)
CLIENTS = ROOT / "tests" / "clients"
PERSON = ("110101199001011234", "Somebody")
Json = Any


class Sdk:
    """An SDK in a process of its own. Every call is noted, so that none is forgotten."""

    def __init__(self, command: list[str]) -> None:
        quiet = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet)
        self.called: set[str] = set()

    def __call__(self, method: str, *arguments: Json) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the SDK died in {method}"
        told = json.loads(line)
        assert told is None or "failed" not in told, told
        self.called.add(method)
        return told

    def result(self, method: str, *arguments: Json) -> Json:
        answer = self(method, *arguments)
        assert (answer["error_code"], answer["error_msg"].lower()) == (0, "success"), (method, answer)
        return answer["result"]

    def refused(self, code: int, method: str, *arguments: Json) -> None:
        assert self(method, *arguments)["error_code"] == code, method

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)


def installed(folder: Path, wanted: tuple[str, ...], command: list[str]) -> Path:
    """Installed once and kept between runs."""
    note = folder / "installed.txt"
    if not (note.exists() and note.read_text() == "\n".join(wanted)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        done = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            pytest.skip(f"{wanted[0]} cannot be installed from its registry: {reason}")
        note.write_text("\n".join(wanted))
    return folder


def python_sdk(url: str, key: str) -> list[str]:
    folder = HOME / "baidu-python-sdk"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    installed(folder, PYTHON_SDK, [*pip, "--target", str(folder)])
    return [sys.executable, "-I", "-S", str(CLIENTS / "baidu_python_sdk.py"), str(folder), url, key, "secret"]


def node_sdk(url: str, key: str) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the npm SDK needs node and npm, which this machine has not")
    folder = HOME / "baidu-node-sdk"
    quietly = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--fetch-retries=1"]
    installed(folder, NODE_SDK, [npm, "install", *quietly, "--prefix", str(folder)])
    return [node, "--no-deprecation", str(CLIENTS / "baidu_node_sdk.js"), str(folder), url, key, "secret"]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("cloud"), deadline_ms=30000) as running:
        yield running


@pytest.fixture(scope="module")
def video(astronaut: bytes) -> str:
    return text(mp4(moving(astronaut, 20)))


@pytest.fixture
def sdk(cloud: ServerProcess) -> Iterator[Callable[[list[str]], Sdk]]:
    started: list[Sdk] = []

    def start(command: list[str]) -> Sdk:
        started.append(Sdk(command))
        return started[-1]

    yield start
    for one in started:
        one.end()


def drive_pictures(sdk: Sdk, image: str) -> None:
    found = sdk.result("detect", image, "BASE64", {"max_face_num": "2", "face_field": "age,gender,quality"})
    assert found["face_num"] == 1
    face = found["face_list"][0]
    assert face["location"]["width"] > 50
    assert face["age"] > 0
    token = face["face_token"]
    sent = {"image": image, "image_type": "BASE64", "face_type": "LIVE", "quality_control": "LOW"}
    match = sdk.result("match", [sent, {"image": token, "image_type": "FACE_TOKEN"}])
    assert match["score"] > 99
    assert [one["face_token"] for one in match["face_list"]] == [token, token]
    live = sdk.result("faceverify", [{"image": image, "image_type": "BASE64", "face_field": "age"}])
    assert 0 <= live["face_liveness"] <= 1
    assert live["face_list"][0]["face_token"] == token
    sdk.refused(222203, "detect", text(b"no picture"), "BASE64")


def drive_library(sdk: Sdk, image: str, other: str, list_groups: str, multi_search: tuple[str, ...]) -> None:
    sdk.result("groupAdd", "g1")
    sdk.result("groupAdd", "g2")
    assert sdk.result(list_groups, {"start": "0", "length": "10"})["group_id_list"] == ["g1", "g2"]
    first = sdk.result("addUser", image, "BASE64", "g1", "u1", {"user_info": "信息"})["face_token"]
    second = sdk.result("addUser", other, "BASE64", "g1", "u1")["face_token"]
    assert {one["face_token"] for one in sdk.result("faceGetlist", "u1", "g1")["face_list"]} == {first, second}
    assert sdk.result("getUser", "u1", "g1")["user_list"] == [{"user_info": "信息", "group_id": "g1"}]
    assert sdk.result("getGroupUsers", "g1")["user_id_list"] == ["u1"]
    match = sdk.result("search", other, "BASE64", "g1,g2", {"max_user_num": "2"})["user_list"]
    assert [(one["group_id"], one["user_id"]) for one in match] == [("g1", "u1")]
    assert match[0]["score"] > 99
    for method in multi_search:
        faces = sdk.result(method, image, "BASE64", "g1", {"max_face_num": "3"})["face_list"]
        assert [user["user_id"] for face in faces for user in face["user_list"]] == ["u1"]
    sdk.result("userCopy", "u1", {"src_group_id": "g1", "dst_group_id": "g2"})
    assert sdk.result("getGroupUsers", "g2")["user_id_list"] == ["u1"]
    assert sdk.result("updateUser", other, "BASE64", "g1", "u1", {"user_info": "new"})["face_token"] == second
    sdk.result("addUser", image, "BASE64", "g1", "u1")
    sdk.result("faceDelete", "u1", "g1", first)
    assert [one["face_token"] for one in sdk.result("faceGetlist", "u1", "g1")["face_list"]] == [second]
    sdk.result("deleteUser", "g1", "u1")
    assert sdk.result("getGroupUsers", "g1")["user_id_list"] == []
    sdk.result("groupDelete", "g2")
    sdk.refused(223100, "getGroupUsers", "g2")


def drive_scenes(sdk: Sdk, image: str) -> None:
    sdk.result("faceSceneFacesetGroupAdd", "cameras", "MONITOR")
    sdk.result("faceSceneFacesetUserAdd", image, "BASE64", "cameras", "u1", "MONITOR")
    sdk.result("faceSceneFacesetUserUpdate", image, "BASE64", "cameras", "u1", "MONITOR")
    assert sdk.result("faceCaptureSearch", image, "BASE64", "cameras")["user_list"][0]["user_id"] == "u1"


def drive_video(sdk: Sdk, verify: Callable[[str], Json]) -> None:
    session = sdk.result("videoSessioncode")
    told = sdk.result(*verify(session["session_id"]))
    assert told["code"]["create"] == session["code"]
    assert told["pic_list"]
    assert 0 <= told["score"] <= 1


def drive_what_is_not_granted(sdk: Sdk, image: str) -> None:
    for method, arguments in {
        "personVerify": (image, "BASE64", *PERSON),
        "facePersonIdmatchV3": PERSON,
        "faceIdmatchDateV4": (*PERSON, "20200101", "20300101"),
        "faceVerifyDateV4": (*PERSON, "20200101", "20300101", image, "BASE64"),
        "faceMingJingVerify": (*PERSON, image),
        "faceMingJingMatch": (image, "BASE64", image, "BASE64"),
        "onlinePictureLiveV4": ("1.0",),
        "faceMergeV1": ({"image": image, "image_type": "BASE64"}, {"image": image, "image_type": "BASE64"}),
        "faceSkinSmoothV1": (image, "BASE64", "TO_OLD"),
        "faceLandmarkV1": (image, "BASE64"),
    }.items():
        sdk.refused(6, method, *arguments)


def test_python_sdk(cloud: ServerProcess, sdk: Callable[[list[str]], Sdk], astronaut: bytes, video: str) -> None:
    aip = sdk(python_sdk(cloud.url, "pythonApp"))
    image, other = text(astronaut), text(variant(astronaut, 2))
    drive_pictures(aip, image)
    drive_library(aip, image, other, "getGroupList", ("multiSearch",))
    drive_scenes(aip, image)
    drive_video(aip, lambda session: ("facelivenessVerifyV1", video, {"session_id": session}))
    drive_what_is_not_granted(aip, image)

    assert aip("getVersion")
    for method, value in (
        ("setConnectionTimeoutInMillis", 9000),
        ("setSocketTimeoutInMillis", 9000),
        ("setProxies", {}),
    ):
        assert aip(method, value) is None
    groups = f"{cloud.url}/rest/2.0/face/v3/faceset/group/getlist"
    assert aip.result("post", groups, "{}")["group_id_list"] == ["g1", "cameras"]
    aip.refused(3, "report", [{"api_url": groups, "image_logid": 1, "level": 1, "correct": 1}])
    assert sorted(aip.called) == aip("list of methods")

    aip("spoil token")  # error 110 makes the SDK fetch another
    assert aip.result("getGroupList")["group_id_list"] == ["g1", "cameras"]


def test_npm_sdk(cloud: ServerProcess, sdk: Callable[[list[str]], Sdk], astronaut: bytes, video: str) -> None:
    aip = sdk(node_sdk(cloud.url, "nodeApp"))
    image, other = text(astronaut), text(variant(astronaut, 2))
    drive_pictures(aip, image)
    drive_library(aip, image, other, "getGrouplist", ("mutilSearch", "faceMultiSearchV3"))
    drive_scenes(aip, image)
    drive_video(aip, lambda session: ("videoFaceliveness", session, video))
    drive_what_is_not_granted(aip, image)
    assert sorted(aip.called) == aip("list of methods")


def test_apps_of_two_keys_do_not_see_each_other(cloud: ServerProcess, sdk: Callable[[list[str]], Sdk]) -> None:
    here, there = (sdk(python_sdk(cloud.url, key)) for key in ("hereApp", "thereApp"))
    here.result("groupAdd", "mine")
    assert there.result("getGroupList")["group_id_list"] == []
    there.refused(223100, "getGroupUsers", "mine")
