"""Another deployment as a source, through the private dialect of Baidu: it tells who is in which group, the operator
has the pictures, because the API gives none."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from face_server.transfer.files import kept_token, picture_files
from face_server.transfer.plan import Item, Plan, SourceError

PAGE = 1000
AT_ONCE = 8  # requests
SECONDS = 30.0
PAUSES = (0.2, 1.0, 5.0)  # before another try where the deployment is busy
_BUSY = frozenset({222361, *range(222901, 222917)})


@dataclass(frozen=True, slots=True)
class Person:
    group: str
    name: str
    info: str
    tokens: Sequence[str]


class Deployment:
    """`url`: what stands before /v3, for example http://host:8300/face-api."""

    def __init__(self, url: str, app: str, bearer: str = "") -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise SourceError(f"{url}: not an address that begins with http:// or https://")
        self._url, self._app = url.rstrip("/").removesuffix("/v3"), app
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})

    def groups(self) -> Iterator[str]:
        return self._pages("group/list", "group_id_list")

    def people(self, group: str) -> Iterator[Person]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            yield from threads.map(
                lambda user: self._person(group, user), self._pages("user/list", "user_id_list", group_id=group)
            )

    def _person(self, group: str, user: str) -> Person:
        infos = self._call("user/get", group_id=group, user_id=user)["user_list"]
        faces = self._call("face/list", group_id=group, user_id=user)["face_list"]
        return Person(group, user, str(infos[0].get("user_info") or ""), [str(face["face_token"]) for face in faces])

    def _pages(self, path: str, key: str, **fields: str) -> Iterator[str]:
        start = 0
        # A page may be shorter than it was asked to be: only an empty one is the end.
        while page := self._call(path, start=start, length=PAGE, **fields)[key]:
            yield from map(str, page)
            start += len(page)

    def _call(self, path: str, **fields: object) -> dict[str, Any]:
        for pause in PAUSES:
            answer = self._ask(path, fields)
            if answer.get("error_code") not in _BUSY:
                break
            time.sleep(pause)
        if answer.get("error_code") != 0 or not isinstance(answer.get("result"), dict):
            raise SourceError(f"{path} answers {answer.get('error_code')}: {answer.get('error_msg')}")
        return dict(answer["result"])

    def _ask(self, path: str, fields: dict[str, object]) -> dict[str, Any]:
        url = f"{self._url}/v3/{path}?appid={quote(self._app)}"
        try:
            with urlopen(Request(url, json.dumps(fields).encode(), self._headers), timeout=SECONDS) as response:
                answer = json.loads(response.read())
        except (URLError, OSError, ValueError) as error:
            raise SourceError(f"{self._url}: {path} cannot be asked: {error}") from error
        if not isinstance(answer, dict):
            raise SourceError(f"{self._url}: {path} does not answer as this API does")
        return answer


class Pictures:
    """Finds the pictures of a user by names: of a file that is called like a face token, or of a file or folder that
    is called like the user, in a folder called like the group or not in one."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceError(f"{folder}: there is no such folder of pictures")
        self._named: defaultdict[tuple[str, ...], list[Path]] = defaultdict(list)
        self._by_name: dict[str, Path] = {}
        for file in picture_files(folder):
            inside = file.relative_to(folder)
            self._by_name.setdefault(file.stem, file)
            for names in ((*inside.parts[:-1], inside.stem), inside.parts[:-1]):
                self._named[names].append(file)

    def of(self, person: Person) -> list[tuple[Path, str]]:
        """Each with the token of its face, where that is known."""
        named = [(self._by_name[token], token) for token in person.tokens if token in self._by_name]
        if named:
            return named
        files = self._named.get((person.group, person.name)) or self._named.get((person.name,)) or []
        return [(file, "") for file in files]


def from_deployment(deployment: Deployment, pictures: Pictures) -> Plan:
    plan = Plan()
    for group in deployment.groups():
        plan.groups.append(group)
        for person in deployment.people(group):
            found = pictures.of(person)
            for file, token in found:
                plan.add(Item(group, person.name, file, person.info, kept_token(token)))
            if len(found) < len(person.tokens):
                reason = f"the deployment has {len(person.tokens)} faces of this user, {len(found)} pictures were given"
                plan.refuse(group, person.name, "", "no_picture", reason)
    return plan
