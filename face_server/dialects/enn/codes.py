"""The vendor's codes: the text of each with its misspellings, the check_result that goes with it, and which failure of
the core becomes which code."""

from __future__ import annotations

from collections.abc import Mapping

from face_server import errors
from face_server.errors import Stage

SUCCESS = 200
NOT_ENOUGH, TOO_LONG, INVALID = 40201, 40202, 40203
EMPTY_IMAGE, DARK, BLURRED, BRIGHT, NO_FACE, OTHER_DIRECTION, SEVERAL = 40300, 40301, 40302, 40303, 40304, 40305, 40306
NO_APP, BAD_IMAGE, NOT_REGISTERED, NO_USER, NOT_SINGLE, NOBODY = 40307, 40308, 40309, 40310, 40311, 40312
NOT_DELETED, NOT_DETECTED, SAME_FACE, APP_UNKNOWN, USER_UNKNOWN, NO_FACE_ID = 40313, 40314, 40315, 40316, 40317, 40318

MESSAGES = {
    SUCCESS: "success",
    NOT_ENOUGH: "Not enough param",
    TOO_LONG: "param too long",
    INVALID: "invalid param",
    EMPTY_IMAGE: "Empty image",
    DARK: "Image darkness error",
    BLURRED: "Image quality error",
    BRIGHT: "Image bright error",
    NO_FACE: "No face",
    OTHER_DIRECTION: "Face direction match error",
    SEVERAL: "More than one face",
    NO_APP: "app_id error",
    BAD_IMAGE: "Input image error",
    NOT_REGISTERED: "user_id image not registed",
    NO_USER: "user_id error",
    NOT_SINGLE: "Not single face",
    NOBODY: "Database has no similar face",
    NOT_DELETED: "Delete faceid failed",
    NOT_DETECTED: "Detect face failed",
    SAME_FACE: "Database has same face",
    APP_UNKNOWN: "Dababase has no appid",
    USER_UNKNOWN: "Dababase has no userid",
    NO_FACE_ID: "Faceid error",
}

# What the gateway in front of the interfaces answers, with the HTTP status of the same number.
UNAUTHORIZED, UNAVAILABLE, FAILED = 401, 503, 500
GATEWAY = {UNAUTHORIZED: "Unauthorized", UNAVAILABLE: "Service Unavailable", FAILED: "Internal Server Error"}

_CHECKS = {SUCCESS: 0, NOBODY: 0, NO_FACE: 10, BLURRED: 20, BRIGHT: 30, DARK: 31, OTHER_DIRECTION: 40}
_OTHER_PROBLEM = 50

Codes = Mapping[type[errors.FaceError], int]

_CODES: Codes = {
    errors.BadPicture: BAD_IMAGE,
    errors.PictureTooLarge: BAD_IMAGE,
    errors.PictureTooSmall: BAD_IMAGE,
    errors.NoFace: NO_FACE,
    errors.TooManyFaces: NO_USER,
    errors.GroupFull: NO_APP,
    errors.LibraryFull: NO_APP,
    errors.TooManyGroups: NO_APP,
    errors.GroupDeleting: UNAVAILABLE,
    errors.Cancelled: UNAVAILABLE,
}


def check_result(code: int) -> int:
    return _CHECKS.get(code, _OTHER_PROBLEM)


def code_of(error: errors.FaceError, own: Codes) -> int:
    """`own`: what the interface itself says about some failures."""
    if isinstance(error, errors.Busy):
        return NOT_DETECTED if error.stage is Stage.DETECT else UNAVAILABLE
    return own.get(type(error)) or _CODES.get(type(error), FAILED)
