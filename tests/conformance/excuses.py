"""What the contract names and no test can bring about here, each with the reason. An excuse for something that a test
does bring about is an error, too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.conformance.contract import Interface


@dataclass(frozen=True)
class Excuse:
    reason: str
    dialect: str
    pattern: str  # of `code 222201`, `field result.face_list[].race`, `example`, `answered`
    interfaces: str = ".*"

    def covers(self, dialect: str, interface: str, what: str) -> bool:
        return (
            dialect == self.dialect
            and re.fullmatch(self.interfaces, interface) is not None
            and re.fullmatch(self.pattern, what) is not None
        )


def _codes(*numbers: int) -> str:
    return "code (" + "|".join(map(str, numbers)) + ")"


EXCUSES: tuple[Excuse, ...] = (
    Excuse(
        "one licence stands before all interfaces: proven for detect, by the tests of the licence",
        "baidu_v3",
        _codes(222361),
    ),
    Excuse("kept in reserve by the contract", "baidu_v3", _codes(222915, 222916)),
    Excuse("models and index are in the server's own process", "baidu_v3", _codes(222201, 222205, 222206)),
    Excuse("our models name the part that is covered: 223121 to 223127", "baidu_v3", _codes(223113)),
    Excuse("no model tells it; test_baidu_render.py prints it", "baidu_v3", r"field .*\.(race|face_type)\b.*"),
    Excuse("nothing is called over the network within the server", "cloudwalk", _codes(4099)),
    Excuse("an app with a good secret may use every interface", "cloudwalk", _codes(4104)),
    Excuse("one licence stands before all interfaces; quotas have 12295, 12361 and 12368", "cloudwalk", _codes(4113)),
    Excuse("it needs none of its parameters", "cloudwalk", _codes(4097), "group_query_by_page"),
    Excuse("the index follows the database: what fails is storing, 12289 and 12291", "cloudwalk", _codes(12370, 12371)),
)


# Codes beside the list of an interface: of parameters that later editions added (baidu_extensions.md), of a limit that
# the list forgot (the pixels of a video), and of parameters under their beside names (baidu_v3.md, section 6).
_BESIDE: dict[tuple[str, str], set[int]] = {
    ("baidu_v3", "face_detect"): {222019, 222020, 223118, 223119, 223120},
    ("baidu_v3", "h5_video_liveness"): {222304},
}
_CLOUD = set(range(1, 200))  # what the vendor's public cloud says of tokens and limits; the contract has no code for it
_LEGACY = {222018: 222007, 222025: 222008}


def allowed(interface: Interface) -> set[int]:
    beside: set[int] = set()
    if interface.dialect == "baidu_v3":
        beside = _CLOUD | {old for new, old in _LEGACY.items() if new in interface.codes}
    return beside | _BESIDE.get((interface.dialect, interface.name), set())


def excuse(dialect: str, interface: str, what: str) -> Excuse | None:
    return next((one for one in EXCUSES if one.covers(dialect, interface, what)), None)


def superfluous(proven: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for dialect, interface, what in proven:
        if found := excuse(dialect, interface, what):
            yield f"{dialect} {interface}: {what} is proven, but excused with: {found.reason}"
