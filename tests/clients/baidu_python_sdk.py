"""Drives the vendor's Python SDK, in an environment of its own: a line of JSON in is a call, a line out its answer.

Started as: SITE URL API_KEY SECRET_KEY. Only the host is patched.
"""

import json
import sys
from typing import Any

site, url, key, secret = sys.argv[1:]
sys.path.insert(0, site)

from aip import AipFace  # noqa: E402
from aip.base import AipBase  # noqa: E402

HOST = "https://aip.baidubce.com"
for owner in (AipBase, AipFace):
    for name, value in list(vars(owner).items()):
        if isinstance(value, str) and value.startswith(HOST):
            setattr(owner, name, url + value.removeprefix(HOST))

client = AipFace("1", key, secret)
methods = sorted(name for name in dir(AipFace) if not name.startswith("_") and callable(getattr(AipFace, name)))


def answer(method: str, arguments: list[Any]) -> Any:
    if method == "list of methods":
        return methods
    if method == "spoil token":
        client._authObj["access_token"] = "spoiled"
        return None
    return getattr(client, method)(*arguments)


for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)
