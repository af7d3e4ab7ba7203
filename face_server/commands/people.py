"""`face-server people`: who is in a group, and whom a photo shows, by a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from face_server.commands import remote
from face_server.commands.remote import App, Call, Server, Yes, word
from face_server.commands.said import print_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="People of a running server: list, show, add, find, change, delete.",
)

Group = Annotated[str, typer.Argument(help="the group's name")]
User = Annotated[str, typer.Argument(help="the person's id")]
Photo = Annotated[Path, typer.Argument(help="a photo", exists=True, dir_okay=False)]
COLUMNS = ("user", "info", "faces", "created", "updated", "deletion")


@word(app, "list")
def list_people(
    call: Call,
    group: Group,
    library: App = "default",
    prefix: Annotated[str, typer.Option(help="only ids that begin so")] = "",
    most: Annotated[int | None, typer.Option(min=1, help="stop after so many", show_default=False)] = None,
) -> None:
    """The people of a group in order of registration."""
    query = {"app": library, "group": group, "prefix": prefix}
    found = call.run(lambda ask: list(ask.all("/users", most, **query)))
    call.show(found, *COLUMNS)


@word(app)
def show(
    call: Call,
    group: Group,
    user: User,
    library: App = "default",
) -> None:
    """One person with all faces, and in which groups there is one of this id."""
    query = {"app": library, "group": group, "user": user}

    def work(ask: Server) -> dict[str, Any]:
        return {**ask("GET", "/user", **query), "faces": ask("GET", "/faces", **query)["items"]}

    person = call.run(work)
    if call.as_json:
        print_json(person)
        return
    remote.out.print(f"{person['user']}  {person['info']}  in {', '.join(person['groups'])}")
    remote.show(person["faces"], False, "face_id", "token", "picture", "created", "deletion")


@word(app)
def add(
    call: Call,
    group: Group,
    user: User,
    photos: Annotated[list[Path], typer.Argument(help="photos of this person", exists=True, dir_okay=False)],
    info: Annotated[str, typer.Option(help="what is noted about the person")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="instead of the faces that are there")] = False,
    quality: Annotated[str, typer.Option(help="NONE, LOW, NORMAL or HIGH: refuse photos below it")] = "NONE",
    liveness: Annotated[str, typer.Option(help="NONE, LOW, NORMAL or HIGH: the same for liveness")] = "NONE",
    library: App = "default",
) -> None:
    """Register the largest face of each photo. Group and person are made on the way."""
    query = {"app": library, "group": group, "user": user, "quality": quality.upper(), "liveness": liveness.upper()}
    if info:
        query["info"] = info

    def work(ask: Server) -> list[Any]:
        modes = ["replace" if replace and not number else "append" for number in range(len(photos))]
        pairs = zip(photos, modes, strict=True)
        return [ask("POST", "/faces", photo.read_bytes(), **query, mode=mode) for photo, mode in pairs]

    call.show(call.run(work), "user", "group", "face_id", "token")


@word(app)
def find(
    call: Call,
    photo: Photo,
    group: Annotated[list[str] | None, typer.Option("--group", help="where to look; without: everywhere")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=100, help="the lowest score that counts")] = 80,
    library: App = "default",
) -> None:
    """Whom each face of a photo shows. Exit code 1 when it is nobody."""
    query = {"app": library, "group": group or None, "threshold": threshold, "candidates": 5}
    found = call.run(lambda ask: ask("POST", "/search", photo.read_bytes(), **query))
    hits = [
        {"face": number, **candidate}
        for number, face in enumerate(found["faces"], 1)
        for candidate in face["candidates"]
    ]
    if call.as_json:
        print_json(found)
    else:
        remote.out.print(f"{len(found['faces'])} face(s) in the photo, {len(hits)} hit(s)")
        remote.show(hits, False, "face", "group", "user", "info", "score")
    if not hits:
        raise typer.Exit(remote.REFUSED)


@word(app)
def note(
    call: Call,
    group: Group,
    user: User,
    info: Annotated[str, typer.Argument(help="what is noted from now on")],
    library: App = "default",
) -> None:
    """Change what is noted about a person."""
    body = {"app": library, "group": group, "user": user, "info": info}
    call.show([call.run(lambda ask: ask("PATCH", "/users", body))], *COLUMNS)


@word(app)
def copy(
    call: Call,
    user: User,
    source: Annotated[str, typer.Argument(help="from this group")],
    target: Annotated[str, typer.Argument(help="to this group")],
    library: App = "default",
) -> None:
    """Copy a person to another group."""
    body = {"app": library, "user": user, "source": source, "target": target}
    call.show([call.run(lambda ask: ask("POST", "/users/copy", body))], *COLUMNS)


@word(app)
def delete(
    call: Call,
    group: Group,
    user: User,
    library: App = "default",
    yes: Yes = False,
) -> None:
    """Delete a person. It begins in ten seconds; `face-server jobs cancel` takes it back until then."""
    remote.confirm(f"Delete {user} from {group}?", yes)
    query = {"app": library, "group": group, "user": user}
    job = call.run(lambda ask: ask("DELETE", "/users", **query))
    call.show([job], "id", "kind", "what", "state", "starts")
