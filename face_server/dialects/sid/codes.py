"""The vendor's codes, their texts, and which failure of the core becomes which code."""

from __future__ import annotations

from face_server import errors

WRONG, REFUSED, BUSY = 20010001, 20010002, 20010003
NOT_FOUND, NO_GROUP, NO_FACE, BAD_PICTURE = 20010009, 20010010, 20010011, 20010012
BAD_FEATURE, NOT_LIVE, SAME_PICTURE, FAILED = 20010013, 20010014, 20010015, 20010099

MESSAGES = {
    WRONG: "参数错误,错误信息[{detail}]",
    REFUSED: "应用认证失败",
    BUSY: "系统繁忙",
    NOT_FOUND: "{verb}人脸错误,错误信息[record not found]",
    NO_GROUP: "人脸库不存在",
    NO_FACE: "未检测到人脸",
    BAD_PICTURE: "图片解析错误",
    BAD_FEATURE: "特征值错误",
    NOT_LIVE: "活体检测未通过",
    SAME_PICTURE: "人脸已存在",
    FAILED: "系统异常",
}


def code_of(error: errors.FaceError, managing: bool) -> int:
    """`managing`: for an interface of one user a group that is missing is a user that is missing."""
    match error:
        case errors.GroupMissing() | errors.GroupDeleting():
            return NOT_FOUND if managing else NO_GROUP
        case errors.UserMissing() | errors.FaceMissing():
            return NOT_FOUND
        case errors.NoFace():
            return NO_FACE
        case errors.PictureError():
            return BAD_PICTURE
        case errors.FaceExists():
            return SAME_PICTURE
        case errors.Busy() | errors.Cancelled():
            return BUSY
    return FAILED
