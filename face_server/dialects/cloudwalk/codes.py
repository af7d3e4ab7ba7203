"""The vendor's result codes: the text of each, byte for byte, and which failure of the core becomes which code."""

from __future__ import annotations

from collections.abc import Mapping

from face_server import errors
from face_server.errors import Stage

SUCCESS = "成功"

MESSAGES = {
    4096: "应用权限错误",
    4097: "参数不完整",
    4098: "系统忙",
    4099: "RPC 通信错误",
    4100: "操作不支持",
    4101: "参数错误",
    4102: "服务访问错误",
    4103: "登录失败",
    4104: "用户权限错误",
    4105: "底层算法引擎错误",
    4112: "系统异常",
    4113: "欠费",
    4114: "登出错误",
    4115: "应用没有回复",
    4116: "操作错误",
    4117: "达到 TPS 上限",
    8450: "缓存区太小",
    8454: "处理过程中出现错误或异常",
    8464: "没有检测到人脸",
    8465: "检测到多个人脸",
    8466: "人脸太小",
    8467: "人脸太大",
    8480: "人脸太亮",
    8481: "人脸太暗",
    8482: "人脸图片模糊",
    8483: "带眼镜",
    8496: "图片质量差",
    8497: "Base64 编码错误或图片原始数据错误",
    8498: "图片太大,最大尺寸 6000*4000",
    8499: "图片太小,最小尺寸 24*24",
    8500: "图片缓冲区太小",
    8512: "获取关键点错误",
    8513: "提取特征错误",
    8514: "特征数据错误",
    8515: "特征长度错误",
    8516: "人脸识别错误",
    8517: "人脸比对错误",
    12289: "添加人脸错误",
    12290: "编辑人脸错误",
    12291: "删除人脸错误",
    12292: "人脸不存在",
    12293: "查询人脸错误",
    12294: "人脸已经存在",
    12295: "人脸到达上限",
    12352: "创建组错误,可能组编号已经存在",
    12353: "编辑组错误",
    12354: "删除组错误",
    12355: "人员已经在组中",
    12356: "组未建模",
    12357: "组不存在",
    12358: "组中没有人脸",
    12359: "查询组错误",
    12360: "组已经存在",
    12361: "组数到达上限",
    12368: "组中人脸数到达上限",
    12370: "引擎添加人脸出现错误",
    12371: "引擎删除人脸出现错误",
    12544: "最多只能同时运行 3 个建模任务",
    12545: "已经开始建模",
    12546: "建模任务已经是停止状态",
    12547: "查询建模进度失败",
    12548: "启动建模错误",
    12549: "启动建模异常",
    12550: "停止建模错误",
    12551: "停止建模异常",
    12552: "人脸重新建模错误",
    12553: "人脸重新建模异常",
    12576: "已经开始加载",
    12577: "加载任务已经是停止状态",
    12578: "查询加载进度失败",
    12579: "启动加载错误",
    12580: "启动加载异常",
    12581: "停止加载错误",
    12582: "停止加载异常",
    65537: "身份证识别错误",
    65538: "图像模糊或身份证所占尺寸过小,要求图像中身份证的长宽应大于400x350",
    65539: "没有识别出有效字符",
    65792: "银行卡识别错误",
    133120: "布控配置错误",
    133121: "布控配置异常",
    133122: "布控查询错误",
    133123: "布控查询异常",
    133124: "没有查询到布控信息",
    196609: "唇语识别错误",
}

NO_PERMISSION = 4096
INCOMPLETE = 4097
UNSUPPORTED = 4100
WRONG = 4101
SYSTEM_ERROR = 4112
BAD_PICTURE = 8497
TOO_LARGE = 8498
BAD_FEATURE, WRONG_LENGTH = 8514, 8515
EMPTY_GROUP = 12358

Failure = type[errors.FaceError] | Stage
Codes = Mapping[Failure, int]

_COMMON: Codes = {
    errors.BadPicture: BAD_PICTURE,
    errors.PictureTooLarge: TOO_LARGE,
    errors.PictureTooSmall: 8499,
    errors.FaceTooSmall: 8466,
    errors.NoFace: 8464,
    errors.DownloadFailed: 4102,
    errors.ModelMissing: UNSUPPORTED,
    errors.GroupMissing: 12357,
    errors.GroupDeleting: 12357,
    errors.GroupExists: 12360,
    errors.TooManyGroups: 12361,
    errors.GroupFull: 12368,
    errors.LibraryFull: 12295,
    errors.FaceExists: 12294,
    errors.FaceMissing: 12292,
    errors.UserMissing: 12292,
    errors.Cancelled: 4115,
    Stage.QUEUE: 4098,
    Stage.LOADING: 4098,
    Stage.SHUTDOWN: 4098,
    Stage.RATE: 4117,
    Stage.LICENCE: 4113,
    Stage.DEADLINE: 4115,
    Stage.DETECT: 4105,
    Stage.EMBED: 4105,
    Stage.LIVENESS: 4105,
    Stage.ATTRIBUTES: 4105,
}


def code_of(error: errors.FaceError, own: Codes) -> int:
    """`own`: where an interface has a code of its own for what failed in it."""
    failure: Failure = type(error)
    match error:
        case errors.Busy(stage=stage):
            failure = stage
        case errors.ModelMissing(role="embed"):
            failure = Stage.EMBED
    return own.get(failure) or _COMMON.get(failure, SYSTEM_ERROR)


def embedding(code: int) -> Codes:
    """What an interface answers when templates cannot be made or compared."""
    return {Stage.EMBED: code, errors.OtherModel: code}


def storing(code: int) -> Codes:
    """What an interface answers when the library cannot be read or written."""
    return {Stage.DATABASE: code, errors.StoreFailed: code}
