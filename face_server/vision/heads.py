"""Heads: the names under which networks give what they read off a face, and which wish needs which."""

from __future__ import annotations

from functools import lru_cache

from face_server.model import Want

# Which readings each wish needs.
HEADS: dict[Want, str] = {
    Want.POSE: "pose",
    Want.QUALITY: "occlusion",
    Want.LIVENESS: "live",
    Want.AGE: "age",
    Want.GENDER: "gender",
    Want.EXPRESSION: "expression",
    Want.EMOTION: "emotion",
    Want.GLASSES: "glasses",
    Want.MASK: "mask",
    Want.EYES: "eyes",
    Want.MOUTH: "mouth_open",
    Want.FACE_SHAPE: "face_shape",
    Want.FACE_TYPE: "face_type",
    Want.BEAUTY: "beauty",
    Want.RACE: "race",
}
# Made of another reading and the landmarks, where no network gives them.
FROM_EMOTION = {"expression": "emotion"}
FROM_LANDMARKS = frozenset({"pose", "eyes", "mouth_open", "face_shape"})


@lru_cache(maxsize=256)
def heads_of(want: Want) -> frozenset[str]:
    return frozenset(head for flag, head in HEADS.items() if flag & want)
