"""The parameters of every interface, in the order of the document: the order in which they are checked."""

from __future__ import annotations

from dataclasses import dataclass

from face_server.dialects.baidu.codes import MISSING
from face_server.dialects.params import (
    Param,
    Reader,
    Refusal,
    Table,
    Values,
    Wrong,
    as_text,
    integer,
    listed,
    matching,
    number,
    text,
    word,
)
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, decode_base64
from face_server.model import Address, Gates, Level, Picture, Token, Want
from face_server.settings import Settings

IMAGE_BYTES = 10_485_759  # of base64 text
MOST_GROUPS, MOST_GROUPS_STATISTICS, MOST_APPS_STATISTICS = 10, 20, 100
LONGEST_LIST = 1000
UINT32 = 2**32 - 1
ALL = "@ALL"
RESERVED = frozenset({"all", "self", "me", "this", "next"})
LEVELS = tuple(level.value for level in Level)

FIELD_WANTS = {
    "age": Want.AGE,
    "beauty": Want.BEAUTY,
    "expression": Want.EXPRESSION,
    "emotion": Want.EMOTION,
    "face_shape": Want.FACE_SHAPE,
    "gender": Want.GENDER,
    "glasses": Want.GLASSES,
    "landmark": Want.LANDMARKS,
    "landmark72": Want.LANDMARKS,
    "race": Want.RACE,
    "quality": Want.QUALITY,
    "face_type": Want.FACE_TYPE,
    "parsing": Want.PARSING,
    "eye_status": Want.EYES,
    "feature": Want.EMBEDDING,
}
_SPELLINGS = {"faceshape": "face_shape", "facetype": "face_type", "parsing_info": "parsing"}

_group = matching("[A-Za-z0-9_]{1,48}", refused=RESERVED)
_group_or_all = matching("[A-Za-z0-9_]{1,48}", refused=RESERVED, allowed=frozenset({ALL}))
_user = matching("[A-Za-z0-9_]{1,128}", refused=RESERVED)


class Proven(str):
    """The app of a credential that names it by itself: whatever it is called, it is that one."""

    __slots__ = ()


class Usual(float):
    """The document's score where a request names none: an app may have its own."""

    __slots__ = ()


def _app(value: object) -> str:
    return str(value) if isinstance(value, Proven) else str(_group(value))


def _image(value: object) -> object:
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    # A text with escapes in it is shorter than it looks.
    if len(value) > IMAGE_BYTES and (isinstance(value, str) or len(as_text(value)) > IMAGE_BYTES):
        raise Wrong
    return value


def _settle_probe(values: Values) -> None:
    image = values.pop("image")  # the body behind it is not needed any longer
    values["image_length"] = len(image)
    try:
        match values["image_type"]:
            case "BASE64":
                values["probe"] = Picture(decode_base64(image))
            case "FACE_TOKEN":
                values["probe"] = Token(as_text(image))
            case _:
                values["probe"] = Address(as_text(image))
    except (NotBase64, Wrong):
        raise Wrong(222013) from None


def _settle_gates(values: Values) -> None:
    values["gates"] = Gates(Level(values.get("quality_control", "NONE")), Level(values["liveness_control"]))


def _settle_feature(values: Values) -> None:
    if values["get_feature"] == "YES":
        values["face_field"] |= {"feature"}


def face_fields(value: object) -> frozenset[str]:
    """Words that nobody knows are not an error: clients ask for fields of later editions."""
    words = (word.strip().lower() for word in as_text(value).split(","))
    return frozenset(_SPELLINGS.get(word, word) for word in words if word)


def lenient(words: tuple[str, ...]) -> Reader:
    """A parameter for which the document has no code: what is not understood is the default, the first word."""
    read = word(words)

    def reader(value: object) -> str:
        try:
            return str(read(value))
        except Wrong:
            return words[0]

    return reader


APPID = Param("appid", _app, 222014, required=True, in_query=True)
IMAGE = Param("image", _image, 222013, required=True)
IMAGE_TYPE = Param("image_type", word(("BASE64", "FACE_TOKEN", "URL")), 222015, required=True, settle=_settle_probe)
FACE_FIELD = Param("face_field", face_fields, 222017, default=frozenset(), aliases={"face_fields": 222017})
QUALITY = Param("quality_control", word(LEVELS, unknown=223118), 222019, default="NONE")
LIVENESS = Param("liveness_control", word(LEVELS, unknown=223119), 222020, default="NONE", settle=_settle_gates)
GROUP = Param("group_id", _group, 222006, required=True)
GROUP_OR_ALL = Param("group_id", _group_or_all, 222006, required=True)
USER = Param("user_id", _user, 222018, required=True, aliases={"uid": 222007})
MAYBE_USER = Param("user_id", _user, 222018, aliases={"uid": 222007})
INFO = Param("user_info", text(256), 222010, blank=True)
GROUPS = Param("group_id_list", listed(_group, MOST_GROUPS, too_many=223104), 222005, required=True)
FACE_TOKEN = Param("face_token", matching("[A-Za-z0-9_]{1,64}"), 222025, required=True, aliases={"face_id": 222008})
START = Param("start", integer(0, UINT32), 222002, default=0, blank=True)
LENGTH = Param("length", integer(1, LONGEST_LIST), 222003, default=100, blank=True)
APPS = Param("op_app_id_list", listed(_group, MOST_APPS_STATISTICS, too_many=223117), 222004, required=True)
APP = Param("op_app_id", _group, 222012, required=True)
STATISTICS_GROUPS = Param(
    "group_id_list", listed(_group, MOST_GROUPS_STATISTICS, too_many=223104), 222005, required=True
)


def _threshold(default: float) -> Param:
    return Param("match_threshold", number(0, 100), 222030, default=Usual(default), blank=True)


def missing(name: str) -> Refusal:
    return Refusal(MISSING, name)


def table(*params: Param) -> Table:
    return Table(params, missing)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables whose limits the operator can move. Those of liveness and match are for one element of the array."""

    detect: Table
    liveness: Table
    match: Table
    identify: Table
    midentify: Table
    add: Table
    update: Table


def tables(settings: Settings) -> Tables:
    faces = Param("max_face_num", integer(1, settings.max_face_num), 222016, default=1, blank=True)
    users = Param("max_user_num", integer(1, settings.max_user_num), 222021, default=1, blank=True)
    types = ("LIVE", "IDCARD", "WATERMARK", "CERT", *(["INFRARED"] if settings.infrared else []))
    face_type = Param("face_type", word(types), 222024, default="LIVE")
    feature = Param("get_feature", lenient(("NO", "YES")), 0, default="NO", settle=_settle_feature)
    append = Param("action_type", lenient(("APPEND", "REPLACE")), 0, default="APPEND")
    update = Param("action_type", lenient(("UPDATE", "REPLACE")), 0, default="UPDATE")
    probe = (IMAGE, IMAGE_TYPE)
    gates = (QUALITY, LIVENESS)
    return Tables(
        detect=table(APPID, *probe, faces, face_type, FACE_FIELD, feature, LIVENESS),
        liveness=table(*probe, FACE_FIELD),
        match=table(*probe, face_type, *gates),
        identify=table(APPID, *probe, GROUPS, MAYBE_USER, _threshold(0.0), *gates, users),
        midentify=table(APPID, *probe, GROUPS, faces, _threshold(80.0), users, *gates),
        add=table(APPID, USER, GROUP, *probe, INFO, *gates, append),
        update=table(APPID, USER, GROUP, *probe, INFO, *gates, update),
    )


APP_ONLY = table(APPID)
FACE_LIST = table(APPID, USER, GROUP)
FACE_DELETE = table(APPID, USER, GROUP, FACE_TOKEN)
USER_COPY = table(
    APPID,
    USER,
    Param("src_group_id", _group, 222006, required=True),
    Param("dst_group_id", _group, 222006, required=True),
)
USER_GET = table(APPID, USER, GROUP_OR_ALL)
USER_LIST = table(APPID, GROUP, START, LENGTH)
USER_DELETE = table(APPID, GROUP_OR_ALL, USER)
APP_GROUP = table(APPID, GROUP)
GROUP_LIST = table(APPID, START, LENGTH)
APP_LIST = table()
STATISTICS_APP = table(APPS)
STATISTICS_GROUP = table(APP, STATISTICS_GROUPS)
