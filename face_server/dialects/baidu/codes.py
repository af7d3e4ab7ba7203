"""The vendor's result codes: the message of each, byte for byte, and which failure of the core becomes which code."""

from __future__ import annotations

from face_server import errors
from face_server.errors import Defect, Stage

SUCCESS = "SUCCESS"

MESSAGES = {
    222001: "param[] is null",
    222002: "param[start] format error",
    222003: "param[length] format error",
    222004: "param[op_app_id_list] format error",
    222005: "param[group_id_list] format error",
    222006: "group_id format error",
    222007: "uid format error",
    222008: "face_id format error",
    222009: "quality_conf format error",
    222010: "user_info format error",
    222011: "param[uid_list] format error",
    222012: "param[op_app_id] format error",
    222013: "param[image] format error",
    222014: "param[app_id] format error",
    222015: "param[image_type] format error",
    222016: "param[max_face_num] format error",
    222017: "param[face_field] format error",
    222018: "param[user_id] format error",
    222019: "param[quality_control] format error",
    222020: "param[liveness_control] format error",
    222021: "param[max_user_num] format error",
    222022: "param[id_card_number] format error",
    222023: "param[name] format error",
    222024: "param[face_type] format error",
    222025: "param[face_token] format error",
    222026: "param[max_star_num] format error",
    222030: "param[match_threshold] format error",
    222201: "network not available",
    222202: "pic not has face",
    222203: "image check fail",
    222204: "image_url_download_fail",
    222205: "network not availablel",
    222206: "rtse service return fail",
    222207: "match user is not found",
    222208: "the number of image is incorrect",
    222209: "face token not exist",
    222300: "add face fail",
    222301: "get face fail",
    222302: "system error",
    222303: "get face fail",
    222304: "image size is too large",
    222361: "system busy",
    223100: "group is not exist",
    223101: "group is already exist",
    223102: "user is already exist",
    223103: "user is not exist",
    223104: "group_list is too large",
    223105: "face is already exist",
    223106: "face is not exist",
    223110: "uid_list is too large",
    223111: "dst group is not exist",
    223112: "quality_conf format error",
    223113: "face is covered",
    223114: "face is fuzzy",
    223115: "face light is not good",
    223116: "incomplete face",
    223117: "app_list is too large",
    223118: "quality control error",
    223119: "liveness control item error",
    223120: "liveness check fail",
    223121: "left eye is occlusion",
    223122: "right eye is occlusion",
    223123: "left cheek is occlusion",
    223124: "right cheek is occlusion",
    223125: "chin contour is occlusion",
    223126: "nose is occlusion",
    223127: "mouth is occlusion",
    223128: "group was deleting",
}
MESSAGES |= dict.fromkeys(range(222901, 222917), "system busy")

# The manual knows no credentials; these are what the vendor's public cloud says about them.
UNKNOWN_PATH, OTHER_APP, SIGNATURE_REFUSED, NO_TOKEN, NOT_ALLOWED = 3, 6, 14, 100, 110
ACCESS = {
    UNKNOWN_PATH: "Unsupported openapi method",
    OTHER_APP: "No permission to access data",
    SIGNATURE_REFUSED: "IAM Certification failed",
    NO_TOKEN: "Invalid parameter",
    NOT_ALLOWED: "Access token invalid or no longer valid",
}

MISSING = 222001
IMAGE_COUNT = 222208
SYSTEM_ERROR = 222302

BUSY = {
    Stage.DETECT: 222901,
    Stage.EMBED: 222902,
    Stage.LIVENESS: 222903,
    Stage.ATTRIBUTES: 222904,
    Stage.INDEX: 222905,
    Stage.DATABASE: 222906,
    Stage.CACHE: 222907,
    Stage.PICTURES: 222908,
    Stage.VIDEO: 222909,
    Stage.QUEUE: 222910,
    Stage.DEADLINE: 222911,
    Stage.RATE: 222912,
    Stage.LOADING: 222913,
    Stage.SHUTDOWN: 222914,
    Stage.LICENCE: 222361,
}
_ROLES = {"detect": 222901, "embed": 222902, "liveness": 222903}
_DEFECTS = {
    Defect.LEFT_EYE: 223121,
    Defect.RIGHT_EYE: 223122,
    Defect.LEFT_CHEEK: 223123,
    Defect.RIGHT_CHEEK: 223124,
    Defect.CHIN_CONTOUR: 223125,
    Defect.NOSE: 223126,
    Defect.MOUTH: 223127,
    Defect.BLUR: 223114,
    Defect.ILLUMINATION: 223115,
    Defect.COMPLETENESS: 223116,
}
_CODES: dict[type[errors.FaceError], int] = {
    errors.BadPicture: 222203,
    errors.PictureTooSmall: 222203,
    errors.FaceTooSmall: 222202,
    errors.PictureTooLarge: 222304,
    errors.NoFace: 222202,
    errors.PictureGone: 222301,
    errors.PictureMissing: 222301,
    errors.FeatureGone: 222303,
    errors.OtherModel: 222303,
    errors.DownloadFailed: 222204,
    errors.TokenUnknown: 222209,
    errors.NotLive: 223120,
    errors.GroupMissing: 223100,
    errors.GroupExists: 223101,
    errors.TitleTaken: 223101,
    errors.GroupInUse: 222915,
    errors.UserExists: 223102,
    errors.UserMissing: 223103,
    errors.FaceExists: 223105,
    errors.FaceMissing: 223106,
    errors.TargetGroupMissing: 223111,
    errors.GroupDeleting: 223128,
    errors.NoMatch: 222207,
    errors.StoreFailed: 222300,
    errors.TooManyFaces: 222300,
    errors.GroupFull: 222300,
    errors.LibraryFull: 222300,
    errors.TooManyGroups: 222300,
    errors.Cancelled: BUSY[Stage.DEADLINE],
}


def code_of(error: errors.FaceError) -> int:
    match error:
        case errors.Busy():
            return BUSY[error.stage]
        case errors.QualityRefused():
            return _DEFECTS[error.defect]
        case errors.ModelMissing():
            return _ROLES.get(error.role, BUSY[Stage.ATTRIBUTES])
    return _CODES.get(type(error), SYSTEM_ERROR)


def message(code: int, name: str = "") -> str:
    return f"param[{name}] is null" if code == MISSING else ACCESS.get(code) or MESSAGES[code]
