"""What Kubernetes, Prometheus and Grafana would say of deploy/: their schemas know every field of the chart, and every
expression can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.test_deploy import DEPLOY, rendered

OLDEST, NEWEST = "1.30", "1.37"
FOREIGN = {"ScaledObject"}  # KEDA's: no schema of Kubernetes has it
EVERYTHING = {"worker__autoscaling__enabled": True, "worker__lanes": 3}


@pytest.fixture(scope="module")
def checker() -> Any:
    return pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate of the development dependencies"
    )


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return rendered(**EVERYTHING)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(checker: Any, documents: list[dict[str, Any]], version: str) -> None:
    checked = set()
    for document in documents:
        if document["kind"] in FOREIGN:
            continue
        checker.validate(document, version, strict=True)
        checked.add(document["kind"])
    assert len(checked) >= 8


def test_the_check_would_find_a_mistake(checker: Any, documents: list[dict[str, Any]]) -> None:
    deployment: dict[str, Any] = next(one for one in documents if one["kind"] == "Deployment")
    for harm in ({"replica": 1}, {"selector": "all"}):
        with pytest.raises(checker.ValidationError):
            checker.validate(deployment | {"spec": deployment["spec"] | harm}, NEWEST, strict=True)


def expressions() -> Iterator[tuple[str, str]]:
    """Where each is, and what Prometheus is asked; Grafana puts its own variables in."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana" / "face-server.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda part: part[:30])
def test_every_expression_can_be_read(where: str, expression: str) -> None:
    parser = pytest.importorskip("promql_parser", reason="needs promql-parser of the development dependencies")
    parser.parse(expression)
    with pytest.raises(ValueError):
        parser.parse(f"{expression} )")


def test_what_scales_workers_can_be_read(documents: list[dict[str, Any]]) -> None:
    parser = pytest.importorskip("promql_parser", reason="needs promql-parser of the development dependencies")
    (scaled,) = (one for one in documents if one["kind"] in FOREIGN)
    for trigger in scaled["spec"]["triggers"]:
        parser.parse(trigger["metadata"]["query"])


def test_rules_have_what_an_alert_needs() -> None:
    """As `promtool check rules` looks at them."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    assert rules.keys() == {"groups"}
    names = []
    for group in rules["groups"]:
        assert group.keys() <= {"name", "interval", "rules", "limit"}
        for rule in group["rules"]:
            allowed = (
                {"record", "expr", "labels"} if "record" in rule else {"alert", "expr", "for", "labels", "annotations"}
            )
            assert {"expr"} < rule.keys() <= allowed, rule
            names.append(rule.get("alert") or rule["record"])
            if "alert" in rule:
                assert rule["labels"]["severity"]
                assert rule["annotations"]
    assert len(names) == len(set(names))
