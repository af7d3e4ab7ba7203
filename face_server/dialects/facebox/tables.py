"""The parameters of every interface, in the order in which they are checked."""

from __future__ import annotations

from collections.abc import Callable

from face_server.dialects.facebox.codes import WRONG
from face_server.dialects.params import Param, Reader, Refusal, Table, Values, Wrong, as_text, flag, integer, text
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, decode_base64

GROUP_ID_BYTES, IMAGE_ID_BYTES = 32, 32
MOST_RESULTS = 5
LONGEST_PAGE = 1000  # a larger one is read as this
PAGE, SCORE = 100, 80

_INT64 = 2**63 - 1


class Usual(int):
    """The document's score for a group that is made without one: an app may have its own."""

    __slots__ = ()


def _picture(value: object) -> bytes:
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    try:
        return decode_base64(value)
    except NotBase64:
        raise Wrong from None


def _identifier(most: int) -> Reader:
    """It will stand in paths."""
    within = text(most)

    def read(value: object) -> str:
        found: str = within(value)
        if "/" in found:
            raise Wrong
        return found

    return read


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise Wrong
    return [as_text(entry) for entry in value]


def _page(value: object) -> int:
    wanted: int = integer(1, _INT64)(value)
    return min(wanted, LONGEST_PAGE)


def _param(name: str, read: Reader, default: object = None, required: bool = False) -> Param:
    return Param(name, read, WRONG, required, default)


def _text(name: str, most: int, default: str | None = None, settle: Callable[[Values], None] | None = None) -> Param:
    return Param(name, text(most), WRONG, default=default, blank=True, settle=settle)


def _named(values: Values) -> None:
    """The name may be empty, but it must be there."""
    if values["groupName"] is None:
        raise Wrong


def _missing(name: str) -> Refusal:
    return Refusal(WRONG, name)


def _table(*params: Param) -> Table:
    return Table(params, _missing)


_GROUP_ID = _param("groupId", _identifier(GROUP_ID_BYTES), required=True)
_GROUPS = _param("faceGroupList", _texts, required=True)
_LIVENESS = _param("livenessEnabled", flag, False)

NOTHING = _table()
FACE_CREATE = _table(
    _param("image", _picture, required=True),
    _text("description", 255, ""),
    _param("imageMd5", _identifier(IMAGE_ID_BYTES), ""),
    _text("name", 128, ""),
    _text("gender", 16, ""),
)
PAGES = _table(_param("pageOffset", integer(0, _INT64), 0), _param("pageSize", _page, PAGE))
GROUP_CREATE = _table(
    _GROUP_ID,
    _text("groupType", 128, ""),
    _text("groupName", 128, settle=_named),
    _param("groupScore", integer(0, 100), Usual(SCORE)),
)
GROUP_UPDATE = _table(
    _GROUP_ID, _text("groupType", 128), _text("groupName", 128), _param("groupScore", integer(0, 100))
)
GROUP_DELETE = _table(_param("deleteAllFace", integer(1, 4), required=True))
BINDING = _table(_GROUPS)
COMPARE = _table(_param("image1", _picture, required=True), _param("image2", _picture, required=True), _LIVENESS)
SEARCH = _table(
    _param("image", _picture, required=True),
    _param("group", _texts, required=True),
    _param("topN", integer(1, MOST_RESULTS), MOST_RESULTS),
    _LIVENESS,
    _param("featureUpload", flag, False),
)
