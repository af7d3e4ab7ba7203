"""What can go wrong at the admin API, and what the failures of the core are called there."""

from __future__ import annotations

from face_server import errors
from face_server.packs import PackError, TooFewPairs
from face_server.store.access import AppHasCredential, AppMissing

_TABLE: dict[type[Exception], tuple[int, str]] = {
    errors.BadPicture: (400, "bad_picture"),
    errors.PictureTooLarge: (400, "picture_too_large"),
    errors.PictureTooSmall: (400, "picture_too_small"),
    errors.GroupMissing: (404, "group_missing"),
    errors.TargetGroupMissing: (404, "group_missing"),
    errors.UserMissing: (404, "user_missing"),
    errors.FaceMissing: (404, "face_missing"),
    errors.PictureGone: (404, "picture_missing"),
    errors.GroupExists: (409, "group_exists"),
    errors.UserExists: (409, "user_exists"),
    errors.FaceExists: (409, "face_exists"),
    errors.GroupDeleting: (409, "group_deleting"),
    errors.OtherModel: (409, "other_model"),
    errors.TooManyFaces: (409, "too_many_faces"),
    errors.GroupFull: (409, "group_full"),
    errors.LibraryFull: (409, "library_full"),
    errors.TooManyGroups: (409, "too_many_groups"),
    errors.NoFace: (422, "no_face"),
    errors.QualityRefused: (422, "quality"),
    errors.NotLive: (422, "not_live"),
    errors.ModelMissing: (422, "model_missing"),
    errors.StoreFailed: (500, "store_failed"),
    errors.Busy: (503, "busy"),
    errors.Cancelled: (503, "busy"),
    PackError: (422, "pack"),
    TooFewPairs: (422, "too_few_pairs"),
    AppMissing: (404, "app_missing"),
    AppHasCredential: (409, "app_has_key"),
}
_SENTENCES = {
    "group_missing": "There is no such group.",
    "user_missing": "There is no such user.",
    "face_missing": "There is no such face.",
    "app_missing": "There is no such app.",
    "picture_missing": "No picture of this face is kept.",
    "group_exists": "The group is there already.",
    "user_exists": "The target group has a user of this name already.",
    "face_exists": "The same face of the same picture is registered in this group already.",
    "group_deleting": "The group was deleted and is still being cleared.",
    "no_face": "The picture shows no face.",
    "busy": "The server is busy, try again.",
    "app_has_key": "The app has a key already: rotate it.",
}


class Refusal(Exception):
    def __init__(
        self, status: int, code: str, message: str, parameter: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.parameter, self.retry_after = parameter, retry_after


def missing(what: str) -> Refusal:
    return Refusal(404, f"{what}_missing", f"There is no such {what}.", what)


def refusal(error: Exception) -> Refusal | None:
    """None for what nobody expected."""
    if isinstance(error, Refusal):
        return error
    if type(error) not in _TABLE:
        return None
    status, code = _TABLE[type(error)]
    return Refusal(status, code, _SENTENCES.get(code) or str(error) or code.replace("_", " "))
