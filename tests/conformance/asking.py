"""Makes a request to any interface of the contract out of values for the names of parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.conformance.contract import Interface

_PICTURES = ("image", "image1", "image2", "image_1", "img", "imgA", "imgB", "param", "video_base64")
_NAMES = (
    *("appid", "app_id", "app_secret", "groupId", "group_id", "group_id_list", "src_group_id", "groupName"),
    *("user_id", "userId", "faceToken", "imageId", "groupType"),
)
# Values that are read without complaint, so that what is behind the interface is asked.
USUAL: Mapping[str, Any] = {
    **dict.fromkeys(_PICTURES, "YWJj"),
    **dict.fromkeys(_NAMES, "g1"),
    **dict.fromkeys(("face_id", "faceId", "topN"), "1"),
    "dst_group_id": "g2",
    "face_token": "0" * 32,
    "faceGroupList": ["g1"],
    "group": ["g1"],
    "deleteAllFace": 1,
    "image_type": "BASE64",
}


def request_of(interface: Interface, values: Mapping[str, Any]) -> dict[str, Any]:
    """What `httpx.request` takes. Values for names that the interface does not have are left out."""
    params = interface.written["params"]
    fields = {param["name"]: values[param["name"]] for param in params if param["name"] in values}
    if interface.words:
        fields["type"] = interface.words[0]
    path = re.sub(r"\{(\w+)\}", lambda name: str(fields.pop(name[1])), interface.path)
    query = {"appid": fields.pop("appid")} if "appid" in fields else {}
    if interface.written["method"] == "GET":
        return {"method": "GET", "url": path, "params": {**query, **fields}}
    body: Any = [fields, fields] if interface.written["body_type"] == "array" else fields
    return {"method": interface.written["method"], "url": path, "params": query, "json": body}
