"""Every failure of the core has a code of its own in the dialect; only the unforeseen is a system error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from face_server import errors
from face_server.dialects.baidu import codes
from face_server.dialects.baidu.endpoint import failure
from face_server.dialects.params import Refusal
from face_server.dialects.wire import Unreadable
from face_server.errors import Busy, Defect, FaceError, ModelMissing, NotLive, QualityRefused, Stage

MADE: dict[type[FaceError], FaceError] = {
    QualityRefused: QualityRefused(Defect.NOSE, 0.9, 0.8),
    NotLive: NotLive(0.1, 0.3),
    ModelMissing: ModelMissing("liveness"),
    Busy: Busy(Stage.QUEUE),
}


def leaves(kind: type[FaceError]) -> Iterator[type[FaceError]]:
    below = [inner for inner in kind.__subclasses__() if inner.__module__ == errors.__name__]
    if not below:
        yield kind
    for inner in below:
        yield from leaves(inner)


@pytest.mark.parametrize("kind", sorted(set(leaves(FaceError)), key=str))
def test_every_error_of_the_core_has_a_code(kind: type[FaceError]) -> None:
    code = codes.code_of(MADE.get(kind) or kind())
    assert code != codes.SYSTEM_ERROR
    assert codes.message(code)


def test_every_stage_and_every_defect_has_a_code_of_its_own() -> None:
    assert len({codes.code_of(Busy(stage)) for stage in Stage}) == len(Stage)
    assert codes.code_of(Busy(Stage.LICENCE)) == 222361
    assert all(222901 <= codes.code_of(Busy(stage)) <= 222916 for stage in Stage if stage is not Stage.LICENCE)
    assert len({codes.code_of(QualityRefused(defect, 1, 0)) for defect in Defect}) == len(Defect)
    assert codes.code_of(QualityRefused(Defect.NOSE, 1, 0)) == 223126
    assert codes.code_of(QualityRefused(Defect.BLUR, 1, 0)) == 223114


def test_table_is_complete() -> None:
    assert len(codes.MESSAGES) == 84
    assert codes.message(222001, "image") == "param[image] is null"
    assert codes.message(222001) == "param[] is null"
    assert codes.message(222205) == "network not availablel"


def test_failures(caplog: pytest.LogCaptureFixture) -> None:
    assert failure(Refusal(222005, "group_id_list")) == (222005, "param[group_id_list] format error")
    assert failure(Unreadable()) == (222001, "param[] is null")
    assert failure(errors.NoFace()) == (222202, "pic not has face")
    assert not caplog.records
    assert failure(ZeroDivisionError("boom")) == (222302, "system error")
    assert "unexpected failure" in caplog.text
    assert "boom" in caplog.text
