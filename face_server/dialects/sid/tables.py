"""The parameters of every interface, in the order in which they are checked. Pictures stay undecoded: groups and users
are looked for first."""

from __future__ import annotations

from face_server.dialects.params import Param, Refusal, Table, Values, Wrong, as_text, integer
from face_server.dialects.sid.codes import WRONG
from face_server.dialects.texts import FormText, JsonText, LongText

ID_BYTES = 128
MOST_RESULTS = 100  # a larger topN is read as this


def identifier(value: object) -> str:
    """Clients send numbers, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = as_text(value)
    if len(found.encode(errors="replace")) > ID_BYTES or any(ord(sign) < 32 or ord(sign) == 127 for sign in found):
        raise Wrong
    return found


def _encoded(value: object) -> object:
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    return value


def _most(value: object) -> int:
    wanted: int = integer(1, 2**63 - 1)(value)
    return min(wanted, MOST_RESULTS)


def _missing(name: str) -> Refusal:
    return Refusal(WRONG, name)


def _either(img: str, feature: str) -> list[Param]:
    def settle(values: Values) -> None:
        if values[img] is None and values[feature] is None:
            raise Wrong

    aliases = {"image" + img.removeprefix("img"): WRONG} | ({"imgBase64": WRONG} if img == "img" else {})
    return [Param(img, _encoded, WRONG, aliases=aliases), Param(feature, _encoded, WRONG, settle=settle)]


_IMG = Param("img", _encoded, WRONG, required=True, aliases={"image": WRONG, "imgBase64": WRONG})
_GROUP = Param("groupId", identifier, WRONG)
_USER = Param("userId", identifier, WRONG, required=True)

COMPARE = Table([*_either("imgA", "featureA"), *_either("imgB", "featureB")], _missing)
MULTIPLE = Table(
    [Param("groupId", as_text, WRONG), Param("topN", _most, WRONG, required=True), *_either("img", "feature")], _missing
)
LIVENESS = Table([Param("param", _encoded, WRONG, required=True)], _missing)
FEATURE = Table([_IMG], _missing)
PERSON = Table([_GROUP, _USER], _missing)
PHOTO = Table([_GROUP, _USER, _IMG], _missing)
