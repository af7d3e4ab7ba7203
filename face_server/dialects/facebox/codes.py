"""The vendor's codes, their texts, and which failure of the core becomes which code."""

from __future__ import annotations

from face_server import errors

SUCCESS = 0
NO_FACE, BAD_QUALITY, NO_IMAGE, NO_TOKEN, FACE_EXISTS = 104200, 104201, 104202, 104203, 104204
NAME_TAKEN, TOO_MANY_GROUPS, GROUP_USED, GROUP_EXISTS, NO_GROUP = 104300, 104302, 104304, 104310, 104311
WRONG, FAILED = 104400, 104500

MESSAGES = {
    SUCCESS: "SUCCESS",
    NO_FACE: "FACE_NOT_FOUND",
    BAD_QUALITY: "BAD_QUALITY:{detail}",
    NO_IMAGE: "IMAGE_ID_NOT_EXIST",
    NO_TOKEN: "FACE_TOKEN_NOT_EXIST",
    FACE_EXISTS: "FACE_ALREADY_EXIST",
    NAME_TAKEN: "GROUP_NAME_CONFLICT",
    TOO_MANY_GROUPS: "GROUP_OVER_LIMIT",
    GROUP_USED: "GROUP_BEUSED",
    GROUP_EXISTS: "GROUP_ID_CONFLICT",
    NO_GROUP: "GROUP_ID_NOT_EXIST",
    WRONG: "PARAM_ERROR:{detail}",
    FAILED: "SYSTEM_ERROR",
}

# Of one group among several that are bound or unbound. The last two are words of our own.
GROUP_UNKNOWN, GROUP_FULL, NOT_BOUND = MESSAGES[NO_GROUP], "GROUP_FULL", "FACE_NOT_BOUND"

_CODES: dict[type[errors.FaceError], int] = {
    errors.NoFace: NO_FACE,
    errors.FaceExists: FACE_EXISTS,
    errors.PictureMissing: NO_IMAGE,
    errors.FaceMissing: NO_TOKEN,
    errors.TitleTaken: NAME_TAKEN,
    errors.TooManyGroups: TOO_MANY_GROUPS,
    errors.GroupInUse: GROUP_USED,
    errors.GroupExists: GROUP_EXISTS,
    errors.GroupMissing: NO_GROUP,
    errors.GroupDeleting: NO_GROUP,
}


def code_of(error: errors.FaceError) -> int:
    return _CODES.get(type(error), FAILED)


def status_of(code: int) -> int:
    return 200 if code == SUCCESS else 500 if code == FAILED else 400


def why_not(error: errors.FaceError) -> str:
    match error:
        case errors.FaceMissing():
            return NOT_BOUND
        case errors.TooManyFaces():
            return GROUP_FULL
    return GROUP_UNKNOWN
