"""The images, as far as they can be checked without building them: what goes in, who runs, how health is asked."""

import fnmatch
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "Dockerfile.gpu")
WORDS = {"FROM", "ARG", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}

Step = tuple[str, str]


def stages(name: str) -> list[list[Step]]:
    """The instructions of each stage."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            assert word in WORDS, line
            if word == "FROM":
                found.append([])
            found[-1].append((word, rest.strip()))
    return found


def of(stage: list[Step], word: str) -> list[str]:
    return [rest for kind, rest in stage if kind == word]


def environment(stage: list[Step]) -> dict[str, str]:
    return dict(part.split("=", 1) for line in of(stage, "ENV") for part in line.split())


def sent_to_the_builder(path: str) -> bool:
    """What .dockerignore lets through; the last line that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        parents = [path, *map(str, Path(path).parents)]
        if pattern and not pattern.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in parents):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("name", FILES)
def test_two_stages_of_the_same_fixed_base(name: str) -> None:
    bases = [of(stage, "FROM")[0].split(" ")[0] for stage in stages(name)]
    assert len(bases) == 2
    assert len(set(bases)) == 1  # the environment is not usable under another Python
    version = re.fullmatch(r"python:(\d+\.\d+)-slim-bookworm", bases[0])
    assert version, "a tag that says which Python"
    assert tuple(map(int, version[1].split("."))) >= (3, 11)


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_sent_to_the_builder(name: str) -> None:
    build, last = stages(name)
    for line in of(build, "COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert sent_to_the_builder(source), source
    assert of(last, "COPY") == ["--from=build /opt/face /opt/face"]


@pytest.mark.parametrize(
    "path", ["data/faces.db", "models/buffalo_l/embed.onnx", "models/open/pack.toml", ".git/config"]
)
def test_no_model_of_others_and_no_data_gets_inside(path: str) -> None:
    assert not sent_to_the_builder(path)


@pytest.mark.parametrize("name", FILES)
def test_the_wheel_that_is_built_has_all_it_needs(name: str) -> None:
    copied = [source for line in of(stages(name)[0], "COPY") for source in line.split()[:-1]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"]}
    assert needed <= set(copied)
    extra = re.search(r'"\.\[(.+)\]"', of(stages(name)[0], "RUN")[-1])
    assert extra
    named = extra[1].replace("${EXTRA}", dict(a.split("=") for a in of(stages(name)[0], "ARG")).get("EXTRA", ""))
    assert named in project["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", FILES)
def test_who_runs_and_where(name: str) -> None:
    last = stages(name)[-1]
    user = of(last, "USER")
    assert user == ["10001:10001"]
    assert [kind for kind, _ in last].index("USER") > max(n for n, (kind, _) in enumerate(last) if kind == "RUN")
    assert environment(last)["FACE_HOST"] == "0.0.0.0"
    assert of(last, "VOLUME") == [environment(last)["FACE_DATA_DIR"]]
    assert of(last, "EXPOSE") == [environment(last)["FACE_PORT"]]
    assert (json.loads(of(last, "ENTRYPOINT")[0]), json.loads(of(last, "CMD")[0])) == (["face-server"], ["serve"])


@pytest.mark.parametrize("name", FILES)
def test_every_setting_exists(name: str) -> None:
    from face_server.settings import Settings

    names = {key for key in environment(stages(name)[-1]) if key.startswith("FACE_")}
    assert {key.removeprefix("FACE_").lower() for key in names} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", FILES)
def test_the_health_check_asks_the_server(name: str) -> None:
    (check,) = of(stages(name)[-1], "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/healthz" in command[2]


@pytest.mark.parametrize("name", FILES)
def test_hadolint(name: str) -> None:
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed")
    done = subprocess.run(["hadolint", name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
