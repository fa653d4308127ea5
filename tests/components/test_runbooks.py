"""What a runbook page tells people to type and to look at exists, in the form that it says."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer.main

from components.audit_events import AUDIT_EVENTS
from components.log_queries import QUERIES
from components.network_policies import NAMESPACE
from environments import loader
from inferctl.app import app
from local_aws.completions.filter_patterns import matches
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded

FOLDER = Path(__file__).parents[2] / "docs/runbooks"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))
SECTIONS = ("What it means", "Confirm", "Do")
METRIC_ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
KUBECTL = {"annotate", "get", "logs", "rollout"}
# What commands of AWS and lines of logs call things; they are nobody's here.
WORDS = {
    "AccessDenied",
    "HTTP 401",
    "HTTP 5xx",
    "403",
    "IsLogging",
    "MinCapacity",
    "ModelUnavailable",
    "PyJWKClientConnectionError",
    "client_id",
    "input",
    "outcome",
    "output 'label' differs",
    "the cluster does not answer",
    "unauthorized",
    "capture/<model>/reports/",
    "environment",
    "component",
}


@cache
def text(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text(encoding="utf-8")


def code(page: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text(page))


@pytest.fixture(scope="module")
def made(deployment_of: Deployed) -> Recorded:
    """A production with everything."""
    return deployment_of("everything")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_means_how_to_look_and_what_to_do(page: str) -> None:
    title, *parts = re.split(r"^## ", text(page), flags=re.MULTILINE)
    assert title.startswith("# ")
    told = dict(part.split("\n", 1) for part in parts)
    assert tuple(told) == SECTIONS
    assert len(told["What it means"].split()) >= 10
    steps = re.findall(r"^\d\. (.+)$", told["Confirm"], flags=re.MULTILINE)
    assert steps
    assert re.search(r"`|Dashboard|dashboard|\]\(", told["Confirm"]), "it names nothing to look at"
    assert re.findall(r"^- (.+)$", told["Do"], flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_pages_that_a_page_names_exist(page: str) -> None:
    for name, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", text(page)):
        assert target == f"{name}.md"
        assert name in PAGES


def test_an_alarm_or_another_page_leads_to_each_page(made: Recorded) -> None:
    alarms = [*made.all(METRIC_ALARM), *made.all("aws:cloudwatch/compositeAlarm:CompositeAlarm")]
    texts = [str(each.inputs.get("alarmDescription")) for each in alarms] + [text(page) for page in PAGES]
    for page in PAGES:
        assert any(re.search(rf"\b{page}\.md", told) for told in texts), page


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for each in code(page):
            if each.startswith(("bin/", "aws ", "kubectl ")):
                yield page, each


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_exist_with_the_options_that_a_page_gives(page: str, command: str) -> None:
    program, *words = shlex.split(re.sub(r"<([^>]+)>", lambda found: found[1].replace(" ", "_"), command))
    match program:
        case "bin/inferctl":
            typed(words)
        case "aws":
            called(words)
        case "kubectl":
            if words[0] == "-n":
                assert words[1] == NAMESPACE
                words = words[2:]
            assert words[0] in KUBECTL
        case _:
            pytest.fail(f"{page}: {program} is no program of ours")


def typed(words: list[str]) -> None:
    """Let the real command line read it, and do nothing. Whoever is woken up is not on `local`."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    assert "--env" in words, "without it, the command goes to local"
    command.make_context(command.name, words)  # an argument too many or too few is an error


def called(words: list[str]) -> None:
    """Its service, operation and parameters, and those that AWS requires."""
    service, operation, *options = words
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    names = {_dashed(name): name for name in model.operation_names}
    assert operation in names, f"{service} has no {operation}"
    shape = model.operation_model(names[operation]).input_shape
    members = {_dashed(name): name for name in shape.members}
    given = {option.removeprefix("--") for option in options if option.startswith("--")}
    assert given <= members.keys() | {"cli-binary-format"}
    if given:  # a page may name the operation alone
        assert {_dashed(name) for name in shape.required_members} <= given


def _dashed(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_look_at_exists(page: str, made: Recorded) -> None:
    seen, known = shown(made), settings()
    names = {each.inputs.get("name", "") for each in made.resources} | {each.name for each in made.resources}
    groups = {each.inputs.get("name") for each in made.all("aws:cloudwatch/logGroup:LogGroup")}
    for span in code(page):
        told = span.replace("<platform>", "inference-platform").replace("<model>", "digits")
        told = told.replace("<env>", "prod").replace("<environment>", "prod")
        if span.startswith(("bin/", "aws ", "kubectl ")):
            continue
        if span.startswith("{"):
            matches(span, {})
        elif told.startswith("/aws/"):
            assert told in groups, span
        elif told.startswith(("inference-platform-", "costs-", "canary-")):
            parts = [name for name in names if isinstance(name, str) and name.startswith(told.rstrip("."))]
            assert parts or told in seen, span
        elif span.partition(":")[0] in known:
            continue
        else:
            assert (
                span in WORDS
                or span in QUERIES
                or span in AUDIT_EVENTS
                or any(title.startswith(span) for title in seen)
                or any(span.rstrip("…-") in title for title in alarm_names(made))
            ), f"{span} is nothing that this platform has"


def shown(made: Recorded) -> set[str]:
    """Titles, labels and names of dashboards."""
    found = set()
    for dashboard in made.all("aws:cloudwatch/dashboard:Dashboard"):
        found.add(dashboard.inputs["dashboardName"])
        for widget in json.loads(dashboard.inputs["dashboardBody"])["widgets"]:
            properties: Mapping[str, Any] = widget["properties"]
            found.add(properties.get("title", ""))
            marks = properties.get("annotations", {}).get("horizontal", ())
            found |= {mark["label"] for mark in marks}
    return found


def alarm_names(made: Recorded) -> set[str]:
    return {each.inputs.get("name", "") for each in made.all(METRIC_ALARM)}


@cache
def settings() -> set[str]:
    """Names of settings, and each with the block that it stands in: `scale.min`, `min`."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for full, below in (node.get("properties") or {}).items():
                name = full.removeprefix(loader.PREFIX)
                found.add(name)
                for inner in json.dumps(below).split("#/$defs/")[1:]:
                    block = schema["$defs"][inner.partition('"')[0]]
                    found.update(f"{name}.{each}" for each in block.get("properties", {}))
            for below in node.values():
                walk(below)

    schema = json.loads((loader.FOLDER / "settings.schema.json").read_text(encoding="utf-8"))
    walk(schema)
    return found
