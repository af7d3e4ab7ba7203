"""The parameters of every interface, in the order of the document: the order in which they are checked."""

from __future__ import annotations

from collections.abc import Callable

from face_server.dialects.cloudwalk.codes import BAD_FEATURE, BAD_PICTURE, INCOMPLETE, UNSUPPORTED, WRONG
from face_server.dialects.params import (
    Param,
    Reader,
    Refusal,
    Table,
    Values,
    Wrong,
    as_text,
    flag,
    integer,
    matching,
    text,
    word,
)
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, Upload, decode_base64
from face_server.model import Address, Picture

TAG_BYTES = 128
MOST_RESULTS = 100  # a larger topN is read as this
BY_PAGE, BY_GROUP, BY_FACE = "queryByPage", "queryByGroupId", "queryByFaceId"

_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_LONG = (JsonText, FormText, LongText)


def _picture(value: object) -> bytes | None:
    """Base64 text, or a file part with the bytes themselves; an empty file is no picture at all."""
    if isinstance(value, Upload):
        return value.data or None
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    try:
        return decode_base64(value)
    except NotBase64:
        raise Wrong from None


def _feature(value: object) -> object:
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    return value


def _results(value: object) -> int:
    wanted: int = integer(1, _INT64)(value)
    return min(wanted, MOST_RESULTS)


def _param(name: str, read: Reader, required: bool = False, default: object = None, wrong: int = WRONG) -> Param:
    return Param(name, read, wrong, required, default, in_query=True)


def _pictures(side: str = "", required: bool = True) -> list[Param]:
    """`img` and `url` of one side, which together become its probe; img wins."""

    def settle(values: Values) -> None:
        data, url = values.pop(f"img{side}"), values.pop(f"url{side}")
        if data is None and url is None and required:
            raise Wrong(INCOMPLETE)
        values[f"probe{side}"] = Picture(data) if data is not None else None if url is None else Address(url)

    img = Param(f"img{side}", _picture, BAD_PICTURE, in_query=True, settle=settle)
    return [_param(f"url{side}", as_text), img]


def _tag(settle: Callable[[Values], None] | None = None) -> Param:
    return Param("tag", text(TAG_BYTES), WRONG, blank=True, in_query=True, settle=settle)


def _something(values: Values) -> None:
    """An edit that changes nothing lacks a parameter."""
    if values["probe"] is None and values["tag"] is None:
        raise Wrong(INCOMPLETE)


_GROUP = _param("groupId", as_text, required=True)
_FACE = _param("faceId", integer(0, _INT64), required=True)
_COUNT = _param("faceCount", flag, default=False)


def _missing(name: str) -> Refusal:
    return Refusal(INCOMPLETE, name)


def _table(*params: Param | list[Param]) -> Table:
    flat = [one for param in params for one in (param if isinstance(param, list) else [param])]
    return Table(flat, _missing)


def _needing(name: str) -> Callable[[Values], None]:
    """For a `type` that cannot do without another parameter, which was read before."""

    def settle(values: Values) -> None:
        if values["type"] == name and values["groupId"] is None:
            raise Wrong(INCOMPLETE)
        if values["type"] is None:
            values["type"] = BY_PAGE if values["groupId"] is None else BY_GROUP

    return settle


PICTURE = _table(_pictures())
DETECT = _table(_pictures(), _param("mode", flag, default=False))
TWO_PICTURES = _table(_pictures("A"), _pictures("B"))
TWO_FEATURES = _table(
    _param("featureA", _feature, required=True, wrong=BAD_FEATURE),
    _param("featureB", _feature, required=True, wrong=BAD_FEATURE),
)
GROUP_CREATE = _table(_param("groupId", matching("[A-Za-z0-9]{1,128}"), required=True), _tag())
GROUP_DELETE = _table(_GROUP)
GROUP_QUERY = _table(
    _param("groupId", as_text),
    Param("type", word((BY_PAGE, BY_GROUP), UNSUPPORTED), WRONG, in_query=True, settle=_needing(BY_GROUP)),
    _param("pageNumber", integer(1, _INT32), default=1),
    _param("pageSize", integer(1, _INT32), default=10),
    _COUNT,
)
FACE_CREATE = _table(_GROUP, _tag(), _pictures())
FACE_DELETE = _table(_GROUP, _FACE)
FACE_EDIT = _table(_GROUP, _FACE, _pictures(required=False), _tag(_something))
FACE_QUERY = _table(_param("type", word((BY_FACE,), UNSUPPORTED)), _GROUP, _FACE)
IDENTIFY = _table(_GROUP, _pictures(), _param("topN", _results, default=1))
IDENTIFY_ALL = _table(_GROUP, _pictures())
COMPARE = _table(_GROUP, _FACE, _pictures())
