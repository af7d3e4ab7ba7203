"""The interfaces of pictures and their faces."""

from __future__ import annotations

import asyncio
import base64
import hashlib

from face_server.dialects.facebox import codes, render, tables, tokens
from face_server.dialects.facebox.endpoint import Answer, Call, Interface
from face_server.dialects.params import Refusal
from face_server.errors import BadPicture, PictureTooLarge, PictureTooSmall
from face_server.faces.album import NewEntry
from face_server.faces.asks import Ask
from face_server.faces.rules import PictureRules
from face_server.faces.service import FaceService
from face_server.model import Analysis, Face, Picture, Want
from face_server.settings import Settings

MOST_BYTES = 4 << 20
FORMATS = frozenset({"jpg", "png", "bmp"})
WANTS = Want.QUALITY | Want.CONTRAST | Want.POSE
REGISTERED = PictureRules(FORMATS, MOST_BYTES, least=100, longest=4096, shorter=2160)


class Faces:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._album = service.album
        self._turned = settings.facebox_turned_degrees
        self._blurred, self._flat = settings.facebox_largest_blur, settings.facebox_least_contrast

    def all(self) -> list[Interface]:
        return [
            Interface("face_create", "POST", "/api/faces", tables.FACE_CREATE, self.create),
            Interface("face_list", "GET", "/api/faces", tables.PAGES, self.listed),
            Interface("faces_lib_init", "DELETE", "/api/faces/facesLib", tables.NOTHING, self.clear),
            Interface("image_delete", "DELETE", "/api/faces/image/{imageId}", tables.NOTHING, self.delete_image),
            Interface("image_get", "GET", "/api/faces/image/{imageId}", tables.NOTHING, self.image),
            Interface("face_get", "GET", "/api/faces/faceToken/{faceToken}", tables.NOTHING, self.get),
            Interface("face_delete", "DELETE", "/api/faces/{faceToken}", tables.NOTHING, self.delete),
        ]

    async def create(self, call: Call) -> Answer:
        data, sent = call.sent["image"], call.sent
        name = sent["imageMd5"] or await asyncio.to_thread(image_id, data)
        token = tokens.new()
        meta = {render.DESCRIPTION: sent["description"], render.GENDER: sent["gender"]}
        new = NewEntry(name, token, tokens.spelled(token), sent["name"], meta)
        ask = Ask(Picture(data), WANTS, rules=REGISTERED, judge=self._judge, remembered=False)
        try:
            number, face = await self._album.add(call.app, ask, new)
        except BadPicture:
            raise Refusal(codes.BAD_QUALITY, "format") from None
        except (PictureTooLarge, PictureTooSmall):
            raise Refusal(codes.BAD_QUALITY, "size" if len(data) > MOST_BYTES else "pixels") from None
        return {"id": number, "imageId": name, "faceToken": tokens.spelled(token), "rect": render.rect(face.box)}

    async def listed(self, call: Call) -> Answer:
        total, rows = await self._album.page(call.app, call.sent["pageOffset"], call.sent["pageSize"])
        return {"totalFaces": total, "face": [render.entry(row) for row in rows]}

    async def clear(self, call: Call) -> Answer:
        await self._album.clear(call.app)
        return {}

    async def image(self, call: Call) -> Answer:
        row, data = await self._album.picture(call.app, call.id)
        return {"image": render.picture(data), "faceToken": [tokens.spelled(row.token)] if row.token else []}

    async def delete_image(self, call: Call) -> Answer:
        await self._album.remove(call.app, call.id)
        return {}

    async def get(self, call: Call) -> Answer:
        face = await self._album.face(call.app, tokens.read(call.id))
        entry = render.face_entry(face)
        return {
            **{name: entry[name] for name in ("imageId", "description", "name", "gender")},
            "rect": render.rect(self._album.box(face)),
            "faceGroupList": render.groups(face),
            "image": render.picture(await self._album.portrait(face)),
        }

    async def delete(self, call: Call) -> Answer:
        await self._album.end(call.app, tokens.read(call.id))
        return {}

    def _judge(self, seen: Analysis) -> None:
        failed = self._failures(seen.faces[0])
        if failed:
            raise Refusal(codes.BAD_QUALITY, ",".join(failed))

    def _failures(self, face: Face) -> list[str]:
        """What no installed model can tell is not judged."""
        pose, quality = face.pose, face.quality
        flat = quality is not None and quality.contrast is not None and quality.contrast < self._flat
        turned = pose is not None and max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) > self._turned
        blurred = quality is not None and quality.blur > self._blurred
        return [name for name, fails in (("blur", blurred), ("angle", turned), ("contrast", flat)) if fails]


def image_id(data: bytes) -> str:
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode()
