"""What deploy/ promises: files that parse, settings and metrics that exist, pods that are not root."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from face_server.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "face-server"
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
SETTING = re.compile(r"\bFACE_[A-Z0-9_]+\b")
NOT_SETTINGS = {"FACE_LISTEN"}  # of the compose files themselves
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def files() -> list[Path]:
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_exists(path: Path) -> None:
    named = set(SETTING.findall(path.read_text())) - NOT_SETTINGS
    assert {name.removeprefix("FACE_").lower() for name in named} <= set(Settings.model_fields)


# Compose


@pytest.mark.parametrize(("name", "cards"), [("one.yaml", 0), ("one-gpu.yaml", 1), ("four-gpus.yaml", 4)])
def test_compose_files(name: str, cards: int) -> None:
    compose = yaml.safe_load((DEPLOY / "compose" / name).read_text())
    services = compose["services"]
    given = []
    for service, facts in services.items():
        if "build" in facts:
            context = (DEPLOY / "compose" / facts["build"]["context"]).resolve()
            assert (context / facts["build"]["dockerfile"]).is_file()
            assert HARDENED.items() <= facts.items(), service
        for wanted, how in facts.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[wanted]
        for mount in facts.get("volumes", ()):
            assert mount.split(":")[0] in compose["volumes"]
        for device in facts.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", ()):
            assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
            assert facts["command"] == ["worker", "--device", "cuda:0"]
            given += device["device_ids"]
    assert given == [str(number) for number in range(cards)]
    assert services["server"]["ports"] == ["${FACE_LISTEN:-127.0.0.1:8300}:8300"]


# nginx


def test_nginx_says_who_asks_and_how() -> None:
    text = (DEPLOY / "nginx" / "face-server.conf").read_text()
    sent = dict(re.findall(r"^\s*proxy_set_header (\S+) (.+);$", text, re.MULTILINE))
    assert sent["X-Forwarded-For"] == "$proxy_add_x_forwarded_for"
    assert sent["X-Forwarded-Proto"] == "$scheme"
    assert text.count("{") == text.count("}")


# Systemd


@pytest.mark.parametrize("name", ["face-server.service", "face-worker@.service"])
def test_systemd_units(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / name).read_text()
    assert "DynamicUser=yes" in text
    program = re.search(r"^ExecStart=(\S+) (serve|worker --device cuda:%i)$", text, re.MULTILINE)
    assert program
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / name
    unit.write_text(text.replace(program[1], "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert not re.search(r"Unknown|Invalid|Failed to parse|bad-setting", done.stderr), done.stderr


# Helm


def texts() -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def test_the_chart_names_only_values_and_parts_that_are_there() -> None:
    whole = "\n".join(texts().values())
    for path in set(re.findall(r"\.Values\.([\w.]+)", whole)):
        there: Any = values()
        for name in path.split("."):
            assert name in there, path
            there = there[name]
    assert set(re.findall(r'include "([\w.]+)"', whole)) == set(re.findall(r'define "([\w.]+)"', whole))
    opened = re.findall(r"\{\{-? (?:if|with|range|define) ", whole)
    assert len(opened) == len(re.findall(r"\{\{-? end \}\}", whole))


def rendered(**changes: Any) -> list[dict[str, Any]]:
    go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if go is None:
        pytest.skip("rendering the chart needs Go")
    given = values() | {"databaseUrl": "postgresql://db/faces", "redisUrl": "redis://r"}
    for path, value in changes.items():
        *parents, last = path.split("__")
        there = given
        for name in parents:
            there = there[name]
        there[last] = value
    sent = json.dumps({"values": given, "release": "x", "templates": texts()})
    source = ROOT / "tests" / "helm" / "render.go"
    alone = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": ""}
    done = subprocess.run([go, "run", str(source)], env=alone, input=sent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    documents = [part for text in json.loads(done.stdout).values() for part in yaml.safe_load_all(text)]
    return [document for document in documents if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def pods(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]


def test_the_chart_with_all_of_it_switched_on() -> None:
    documents = rendered(worker__autoscaling__enabled=True, worker__lanes=3)
    kinds = sorted(document["kind"] for document in documents)
    assert kinds == sorted(
        [
            *("Deployment", "Deployment", "Service", "PersistentVolumeClaim", "Secret", "Job", "ScaledObject"),
            *(
                "HorizontalPodAutoscaler",
                "PodDisruptionBudget",
                "PodDisruptionBudget",
                "NetworkPolicy",
                "NetworkPolicy",
                "NetworkPolicy",
            ),
        ]
    )
    for pod in pods(documents):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {each["name"] for each in container["volumeMounts"]} <= {each["name"] for each in pod["spec"]["volumes"]}
        assert container["envFrom"] == [{"secretRef": {"name": "x-face-server"}}]
    deployments = of_kind(documents, "Deployment")
    for budget in of_kind(documents, "PodDisruptionBudget").values():
        chosen = budget["spec"]["selector"]["matchLabels"]
        assert (
            sum(chosen.items() <= one["spec"]["template"]["metadata"]["labels"].items() for one in deployments.values())
            == 1
        )
    worker = deployments["x-face-server-worker"]["spec"]["template"]["spec"]["containers"][0]
    assert worker["args"] == ["worker", "--device", "cuda:0", "--lanes", "3", "--metrics-port", "8320"]
    assert worker["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    asked = deployments["x-face-server-worker"]["spec"]["template"]["metadata"]["annotations"]
    assert (asked["prometheus.io/scrape"], asked["prometheus.io/port"]) == ("true", "8320")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    scaled = of_kind(documents, "ScaledObject")["x-face-server-worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] in deployments
    recorded = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"][0]["rules"][0]
    assert scaled["triggers"][0]["metadata"]["query"] == recorded["expr"]


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"existingSecret": "own"}, "Secret"),
        ({"networkPolicy__enabled": False}, "NetworkPolicy"),
        ({"server__autoscaling__enabled": False}, "HorizontalPodAutoscaler"),
    ],
)
def test_parts_of_the_chart_can_be_left_out(changes: dict[str, Any], gone: str) -> None:
    documents = rendered(**changes)
    assert gone not in {document["kind"] for document in documents}
    secrets = {pod["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"] for pod in pods(documents)}
    assert secrets == {changes.get("existingSecret", "x-face-server")}


def test_the_chart_wants_to_know_where_the_database_is() -> None:
    with pytest.raises(ValueError, match="databaseUrl or existingSecret"):
        rendered(databaseUrl="")
