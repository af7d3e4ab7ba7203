"""Which path of the cloud is which interface of the private deployment. All stand under /rest/2.0/face/."""

from __future__ import annotations

CALLS = {
    "v3/detect": "v3/face/detect",
    "v3/match": "v3/face/match",
    "v3/search": "v3/face/identify",
    "v3/multi-search": "v3/face/midentify",
    "v3/faceverify": "v3/face/liveness",
    "v3/faceset/user/add": "v3/face/add",
    "v3/faceset/user/update": "v3/face/update",
    "v3/faceset/user/get": "v3/user/get",
    "v3/faceset/user/copy": "v3/user/copy",
    "v3/faceset/user/delete": "v3/user/delete",
    "v3/faceset/face/delete": "v3/face/delete",
    "v3/faceset/face/getlist": "v3/face/list",
    "v3/faceset/group/add": "v3/group/add",
    "v3/faceset/group/delete": "v3/group/delete",
    "v3/faceset/group/getlist": "v3/group/list",
    "v3/faceset/group/getusers": "v3/user/list",
    # The same library with a word more, for pictures of surveillance cameras: here one library serves all scenes.
    "scene/faceset/user/add": "v3/face/add",
    "scene/faceset/user/update": "v3/face/update",
    "scene/faceset/group/add": "v3/group/add",
    "capture/search": "v3/face/identify",
}

# What the SDKs can ask for and nobody here can know or make: what the police has on file, pictures taken by the
# vendor's own closed component, and altered pictures.
NOT_GRANTED = (
    "v3/person/verify",
    "v3/person/idmatch",
    "v4/mingjing/verify",
    "v4/mingjing/match",
    "v4/faceverify",
    "v4/idmatch_date",
    "v4/verify_date",
    "v1/merge",
    "v1/editattr",
    "v1/landmark",
)

UNKNOWN = ("/rest/2.0/{path:path}", "/rpc/2.0/{path:path}")
