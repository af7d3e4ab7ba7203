"""Values of the core as the document prints them."""

from __future__ import annotations

from typing import Any

import pybase64

from face_server.dialects import wire
from face_server.dialects.facebox import tokens
from face_server.faces.album import Bound, PictureRow
from face_server.model import Box, Face

Answer = dict[str, Any]

DESCRIPTION, GENDER = "description", "gender"  # in the meta of a picture


def rect(box: Box) -> Answer:
    right, bottom = box.left + box.width, box.top + box.height
    return {"left": round(box.left), "top": round(box.top), "right": round(right), "bottom": round(bottom)}


def detection(face: Face) -> Answer:
    """What no installed model can tell is left out; livenessScore is there when it was asked for."""
    found = rect(face.box)
    if face.pose is not None:
        found |= {"roll": round(face.pose.roll), "yaw": round(face.pose.yaw), "pitch": round(face.pose.pitch)}
    if face.quality is not None:
        # Two tables, two spellings: clients were written for either.
        found["blurness"] = found["blurriness"] = wire.double(100 * face.quality.blur)
    if face.liveness is not None:
        found["livenessScore"] = wire.double(100 * face.liveness)
    return found


def entry(row: PictureRow) -> Answer:
    token = tokens.spelled(row.token) if row.token else ""
    return {"id": row.id, **_image_id(row.name), "faceToken": token, **texts(row)}


def face_entry(face: Bound) -> Answer:
    """A face of a group. One that another dialect registered has no picture of its own here."""
    if face.picture is not None:
        return entry(face.picture)
    token = tokens.spelled(face.token)
    return {"id": 0, **_image_id(""), "faceToken": token, DESCRIPTION: "", "name": face.info, GENDER: ""}


def texts(row: PictureRow) -> Answer:
    return {DESCRIPTION: row.meta[DESCRIPTION], "name": row.info, GENDER: row.meta[GENDER]}


def groups(face: Bound) -> list[Answer]:
    return [{"groupId": name} for name in face.groups]


def picture(data: bytes) -> str:
    return pybase64.b64encode_as_string(data)


def _image_id(name: str) -> Answer:
    """In all the ways the document spells it in lists."""
    return dict.fromkeys(("imageId", "imgId", "imgeId", "imgeld"), name)
