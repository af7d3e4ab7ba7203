"""Whether a face is good enough, and which way it looks. The limits are the operator's."""

from __future__ import annotations

from collections.abc import Callable

from face_server.dialects.enn.codes import BLURRED, BRIGHT, DARK, OTHER_DIRECTION, SUCCESS
from face_server.dialects.params import Refusal
from face_server.errors import ModelMissing
from face_server.model import Analysis, Face, Pose
from face_server.settings import Settings

LEAST_FACE = 100  # pixels of the shorter side
FRONT, LEFT, RIGHT, UP, DOWN = "0", "1", "2", "3", "4"

Judge = Callable[[Analysis], None]


class Judging:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def best(self, seen: Analysis) -> None:
        """The first face; others beside it do not matter."""
        code = self.quality(seen.faces[0])
        if code != SUCCESS:
            raise Refusal(code)

    def only(self, several: int, direction: str | None = None) -> Judge:
        """One face that looks this way; `several` is the code for more of them."""

        def judge(seen: Analysis) -> None:
            if len(seen.faces) > 1:
                raise Refusal(several)
            self.best(seen)
            if direction is not None and self.direction(seen.faces[0]) != direction:
                raise Refusal(OTHER_DIRECTION)

        return judge

    def quality(self, face: Face) -> int:
        limits, quality = self._settings, face.quality
        if quality is None:
            raise ModelMissing("quality")
        if min(face.box.width, face.box.height) < LEAST_FACE or quality.blur > limits.enn_largest_blur:
            return BLURRED
        if quality.illumination < limits.enn_darkest:
            return DARK
        return BRIGHT if quality.illumination > limits.enn_brightest else SUCCESS

    def direction(self, face: Face) -> str:
        if face.pose is None:
            raise ModelMissing("landmarks")
        return direction_of(face.pose, self._settings.enn_turned_degrees)


def direction_of(pose: Pose, turned: float) -> str:
    """The nose points to the left edge of the picture: left. Of two turns the larger one counts."""
    if max(abs(pose.yaw), abs(pose.pitch)) <= turned:
        return FRONT
    if abs(pose.yaw) >= abs(pose.pitch):
        return LEFT if pose.yaw < 0 else RIGHT
    return UP if pose.pitch < 0 else DOWN
