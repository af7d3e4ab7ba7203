"""`face-server license`: keys and licences for who issues them, the service for who has one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from face_server.commands import remote
from face_server.commands.said import print_json
from face_server.licence import document
from face_server.licence.document import Licence, LicenceRefused

app = typer.Typer(no_args_is_help=True, help="Licences: fingerprint, keys, issue, inspect, verify, serve.")

File = Annotated[Path, typer.Argument(help="the licence's file")]
Public = Annotated[Path, typer.Option("--public-key", help="the issuer's public key, a file")]


@app.command()
def fingerprint(as_json: remote.Json = False) -> None:
    """Print this machine's number: a licence is issued for it."""
    with _told():
        number = document.fingerprint()
    print_json({"fingerprint": number}) if as_json else print(number)


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="where private.key and public.key are written")],
    as_json: remote.Json = False,
) -> None:
    """Make an issuer's pair of keys. The private one signs licences and stays with the issuer."""
    private, public = document.new_keys()
    with _told():
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "private.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(private + "\n")
        (folder / "public.key").write_text(public + "\n")
    if as_json:
        print_json({"private_key": str(folder / "private.key"), "public_key": str(folder / "public.key")})


@app.command()
def issue(
    private_key: Annotated[Path, typer.Option("--private-key", help="the issuer's private key, a file")],
    machine: Annotated[str, typer.Option("--fingerprint", help="of the machine that will run the service")],
    gpus: Annotated[int, typer.Option(min=1, help="workers at once")],
    holder: Annotated[str, typer.Option(help="whose it is")],
    ends: Annotated[str, typer.Option(help="the last day, as 2027-12-31; without it the licence does not end")] = "",
    as_json: remote.Json = False,
) -> None:
    """Print a signed licence."""
    with _told():
        if ends:
            date.fromisoformat(ends)
        licence = Licence(holder, machine, gpus, datetime.now(UTC).date().isoformat(), ends)
        signed = licence.signed(private_key.read_text())
    print_json({**asdict(licence), "signed": signed}) if as_json else print(signed)


@app.command()
def inspect(file: File, as_json: remote.Json = False) -> None:
    """Print what a licence says, genuine or not: always as JSON."""
    with _told():
        print(json.dumps(asdict(document.parts(file.read_text())[0]), ensure_ascii=False, indent=2))


@app.command()
def verify(file: File, public_key: Public, as_json: remote.Json = False) -> None:
    """Check signature, machine and end. Exit status 1: it cannot be used here."""
    with _told():
        licence = _usable(file, public_key)
    if as_json:
        print_json({"good": True, **asdict(licence)})
        return
    print(f"good: {licence.gpus} GPUs for {licence.holder}, {f'to {licence.ends}' if licence.ends else 'without end'}")


@app.command()
def serve(
    file: File,
    public_key: Public,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8310,
) -> None:
    """Give the licence's seats to workers. Needs no GPU; reachable for them only, it asks for no password."""
    import uvicorn

    from face_server.licence.service import create_service

    with _told():
        licence = _usable(file, public_key)
        service = create_service(licence, file.read_text(), document.fingerprint())
    uvicorn.run(service, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def _usable(file: Path, public_key: Path) -> Licence:
    licence = document.read(file.read_text(), public_key.read_text())
    licence.check_machine(document.fingerprint())
    licence.check_day()
    return licence


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (LicenceRefused, OSError, ValueError) as error:
        print(f"face-server: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
