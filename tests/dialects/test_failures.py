"""What no request can bring about at will: every dialect's answers while the core behind it fails."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import httpx
import pytest

from face_server import errors
from face_server.errors import Busy, Defect, ModelMissing, NotLive, QualityRefused, Stage
from face_server.settings import Settings
from tests.conformance.asking import USUAL, request_of
from tests.conformance.broken_core import BrokenCore, app
from tests.conformance.contract import Contract
from tests.conformance.plugin import Proves

MODULES = {"baidu_v3": "baidu", "cloudwalk": "cloudwalk", "facebox": "facebox", "sid": "sid", "enn": "enn"}
UNFORESEEN = ZeroDivisionError("unforeseen")

# What the core says, for each code that stands for a failure inside.
FAILURES: dict[str, dict[int, Exception]] = {
    "baidu_v3": {
        222300: errors.StoreFailed(),
        222301: errors.PictureGone(),
        222302: UNFORESEEN,
        222303: errors.FeatureGone(),
        222304: errors.PictureTooLarge(),
        222901: Busy(Stage.DETECT),
        222902: Busy(Stage.EMBED),
        222903: Busy(Stage.LIVENESS),
        222904: Busy(Stage.ATTRIBUTES),
        222905: Busy(Stage.INDEX),
        222906: Busy(Stage.DATABASE),
        222907: Busy(Stage.CACHE),
        222908: Busy(Stage.PICTURES),
        222909: Busy(Stage.VIDEO),
        222910: Busy(Stage.QUEUE),
        222911: Busy(Stage.DEADLINE),
        222912: Busy(Stage.RATE),
        222913: Busy(Stage.LOADING),
        222914: Busy(Stage.SHUTDOWN),
        223114: QualityRefused(Defect.BLUR, 0.9, 0.8),
        223115: QualityRefused(Defect.ILLUMINATION, 10, 40),
        223116: QualityRefused(Defect.COMPLETENESS, 0, 1),
        223120: NotLive(0.1, 0.3),
        223121: QualityRefused(Defect.LEFT_EYE, 0.9, 0.8),
        223122: QualityRefused(Defect.RIGHT_EYE, 0.9, 0.8),
        223123: QualityRefused(Defect.LEFT_CHEEK, 0.9, 0.8),
        223124: QualityRefused(Defect.RIGHT_CHEEK, 0.9, 0.8),
        223125: QualityRefused(Defect.CHIN_CONTOUR, 0.9, 0.8),
        223126: QualityRefused(Defect.NOSE, 0.9, 0.8),
        223127: QualityRefused(Defect.MOUTH, 0.9, 0.8),
        223128: errors.GroupDeleting(),
    },
    "cloudwalk": {
        4098: Busy(Stage.QUEUE),
        4105: Busy(Stage.DETECT),
        4112: UNFORESEEN,
        4115: Busy(Stage.DEADLINE),
        4117: Busy(Stage.RATE),
        8454: Busy(Stage.ATTRIBUTES),
        8512: Busy(Stage.ATTRIBUTES),
        8513: Busy(Stage.EMBED),
        8516: Busy(Stage.INDEX),
        8517: Busy(Stage.EMBED),
        12289: errors.StoreFailed(),
        12290: errors.StoreFailed(),
        12291: errors.StoreFailed(),
        12293: Busy(Stage.DATABASE),
        12352: errors.StoreFailed(),
        12354: errors.StoreFailed(),
        12356: errors.OtherModel(),
        12359: Busy(Stage.DATABASE),
    },
    "facebox": {104500: UNFORESEEN},
    "sid": {20010003: Busy(Stage.QUEUE), 20010099: UNFORESEEN},
    "enn": {40314: Busy(Stage.DETECT), 500: UNFORESEEN, 503: Busy(Stage.QUEUE)},
}
# Failures of one interface that stand for a code which other requests bring about elsewhere.
ONLY = {
    ("cloudwalk", "tool_remove_water"): {4100: ModelMissing("dewater")},
    ("cloudwalk", "tool_attribute"): {4100: ModelMissing("age_gender")},
    ("cloudwalk", "tool_keypt"): {4100: ModelMissing("landmarks")},
}


def served(dialect: str) -> ModuleType | None:
    name = f"face_server.dialects.{MODULES[dialect]}"
    module = importlib.import_module(name) if importlib.util.find_spec(name) else None
    return module if hasattr(module, "router") else None


@pytest.fixture(scope="module")
def contract(proves: Proves) -> Contract:
    return proves.contract


def features(core: BrokenCore) -> dict[str, str]:
    return dict.fromkeys(("featureA", "featureB"), core.feature())


def client(core: BrokenCore, name: str) -> httpx.AsyncClient:
    module = served(name)
    if module is None:
        pytest.skip(f"{name} is not served")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app(core, [module], Settings())), base_url="http://test")


@pytest.mark.parametrize("name", FAILURES)
async def test_the_code_of_every_failure_inside(contract: Contract, name: str) -> None:
    core, dialect = BrokenCore(), contract.dialects[name]
    async with client(core, name) as http:
        for interface in dialect.interfaces:
            sent = request_of(interface, {**USUAL, **features(core)})
            for code, error in {**FAILURES[name], **ONLY.get((name, interface.name), {})}.items():
                if code in (*interface.codes, *dialect.statuses):
                    core.error = error
                    answer = (await http.request(**sent)).json()
                    assert dialect.code_of(answer) == code, (interface.name, error, answer)


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_that_nobody_foresaw_is_logged(
    contract: Contract, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    core = BrokenCore()
    core.error = UNFORESEEN
    async with client(core, name) as http:
        await http.request(**request_of(contract.dialects[name].interfaces[0], USUAL))
    assert "unforeseen" in caplog.text


@pytest.mark.parametrize(("name", "code"), [("cloudwalk", 4096), ("sid", 20010002), ("enn", 401)])
async def test_nobody_comes_in_without_a_good_secret(contract: Contract, name: str, code: int) -> None:
    core, dialect = BrokenCore(enforced=True), contract.dialects[name]
    async with client(core, name) as http:
        for interface in dialect.interfaces:
            answer = await http.request(**request_of(interface, {**USUAL, **features(core)}))
            assert dialect.code_of(answer.json()) == code, interface.name
            assert answer.status_code == (401 if name == "enn" else 200)
