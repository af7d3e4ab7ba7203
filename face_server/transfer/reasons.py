"""Why a picture was refused: a word for programs and a sentence for people."""

from __future__ import annotations

import re

from face_server import errors
from face_server.errors import FaceError

_SENTENCES: dict[type[FaceError], str] = {
    errors.BadPicture: "the file is not a picture that can be decoded",
    errors.PictureTooLarge: "the picture is larger than the settings allow",
    errors.NoFace: "the picture shows no face",
    errors.QualityRefused: "the face fails the asked quality",
    errors.NotLive: "the face fails the asked liveness",
    errors.FaceExists: "another user of the group has this face",
    errors.OtherModel: "the template was made by another model, and there is no picture to make a new one of",
    errors.GroupDeleting: "the group is being deleted",
    errors.TooManyFaces: "the user has as many faces as the settings allow",
    errors.TooManyGroups: "the app has as many groups as the settings allow",
    errors.GroupFull: "the group has as many faces as the settings allow",
    errors.LibraryFull: "the app has as many faces as the settings allow",
    errors.PictureGone: "there is neither a picture nor a template of this face",
}


def reason(error: FaceError) -> tuple[str, str]:
    """no_face, 'the picture shows no face'"""
    name = type(error).__name__
    details = str(error)
    sentence = _SENTENCES.get(type(error), "")
    text = f"{sentence}: {details}" if sentence and details else sentence or details
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(), text or name


def is_refusal(error: FaceError) -> bool:
    """Whether it is about this one picture. All others would fail like it otherwise."""
    return type(error) in _SENTENCES
