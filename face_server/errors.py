"""Everything that can go wrong in the core, as one small tree. A dialect maps these to its own codes in one table."""

from __future__ import annotations

from enum import Enum


class FaceError(Exception):
    """Base of all expected failures. The message is for logs; the wire text belongs to the dialect."""


# The picture


class PictureError(FaceError):
    """Something is wrong with the picture itself."""


class BadPicture(PictureError):
    """The bytes are not a picture that can be decoded."""


class PictureTooLarge(PictureError):
    """More pixels than the operator allows."""


class PictureTooSmall(PictureError):
    """Fewer pixels than the vendor's contract allows."""


class FaceTooSmall(PictureError):
    """The picture shows faces, all of them smaller than the vendor's contract allows."""


class NoFace(PictureError):
    """The picture decoded well and shows no face."""


class PictureGone(FaceError):
    """The stored picture of a known face cannot be read."""


class FeatureGone(FaceError):
    """The stored template of a known face cannot be read."""


class DownloadFailed(FaceError):
    """A picture's address could not be fetched, or may not be."""


class TokenUnknown(FaceError):
    """No such face token in this app, or it has expired."""


# Gates


class Defect(Enum):
    LEFT_EYE = "left_eye"
    RIGHT_EYE = "right_eye"
    NOSE = "nose"
    MOUTH = "mouth"
    LEFT_CHEEK = "left_cheek"
    RIGHT_CHEEK = "right_cheek"
    CHIN_CONTOUR = "chin_contour"
    BLUR = "blur"
    ILLUMINATION = "illumination"
    COMPLETENESS = "completeness"


class QualityRefused(FaceError):
    def __init__(self, defect: Defect, value: float, limit: float) -> None:
        super().__init__(f"{defect.value} {value:.3f} fails the limit {limit:g}")
        self.defect, self.value, self.limit = defect, value, limit


class NotLive(FaceError):
    def __init__(self, score: float, limit: float) -> None:
        super().__init__(f"liveness {score:.3f} is below {limit:g}")
        self.score, self.limit = score, limit


class ModelMissing(FaceError):
    """The installed pack has no model for what a gate or an interface needs."""

    def __init__(self, role: str) -> None:
        super().__init__(f"the installed pack has no model for {role}")
        self.role = role


class OtherModel(FaceError):
    """A template or feature was made by another embedding model."""


# The library


class GroupMissing(FaceError):
    pass


class GroupExists(FaceError):
    pass


class GroupDeleting(FaceError):
    """The group was deleted and its rows are still being cleared."""


class GroupInUse(FaceError):
    """A job of the server works on the group."""


class TargetGroupMissing(FaceError):
    pass


class UserMissing(FaceError):
    pass


class UserExists(FaceError):
    pass


class FaceExists(FaceError):
    """The same face token is already registered in the group."""

    def __init__(self, face_id: int = 0) -> None:
        super().__init__(f"face {face_id} has this token")
        self.face_id = face_id


class TooManyFaces(FaceError):
    """The user already has as many faces as the operator allows."""


class TooManyGroups(FaceError):
    """The app already has as many groups as the operator allows."""


class GroupFull(TooManyFaces):
    """The group already has as many faces as the operator allows."""


class LibraryFull(TooManyFaces):
    """The app already has as many faces as the operator allows."""


class TitleTaken(FaceError):
    """Another group has what the vendor calls its name."""


class FaceMissing(FaceError):
    pass


class PictureMissing(FaceError):
    """No picture is kept under this name."""


class NoMatch(FaceError):
    """Nobody reaches the threshold, or there is nobody to compare with."""


class StoreFailed(FaceError):
    """A write could not be made durable; nothing of it is left."""


# Capacity


class Stage(Enum):
    """Who is busy or failing: dialects with one code per stage need the name."""

    DETECT = "detect"
    EMBED = "embed"
    LIVENESS = "liveness"
    ATTRIBUTES = "attributes"
    INDEX = "index"
    DATABASE = "database"
    CACHE = "cache"
    PICTURES = "pictures"
    VIDEO = "video"
    QUEUE = "queue"
    DEADLINE = "deadline"
    RATE = "rate"
    LOADING = "loading"
    SHUTDOWN = "shutdown"
    LICENCE = "licence"


class Busy(FaceError):
    def __init__(self, stage: Stage) -> None:
        super().__init__(f"busy or failing: {stage.value}")
        self.stage = stage


class Cancelled(FaceError):
    """The client has gone; nobody waits for the answer."""
