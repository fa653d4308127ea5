"""The real engine over small programs: the CLI, a language host, and the plan-mode AWS plug-in."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2

from local_aws.plugins import install_plugins
from local_aws.sdk_types import ResourceType, Shape, resource_type
from policies import settings
from policies.resources import UNKNOWN, Part, Resource, Stack
from policies.rule import Finding, Sample, StackRule, run
from policies.rules import RULES
from policies.settings import RuleConfig
from policies.wire import apply, plain
from toolchain import cli

ROOT = Path(__file__).resolve().parents[2]

Check = Callable[..., list[Finding]]


@pytest.fixture(scope="session")
def configs() -> Mapping[str, RuleConfig]:
    """Levels and thresholds of prod."""
    return settings.load(settings.STRICTEST, RULES)


@pytest.fixture(scope="session")
def check(configs: Mapping[str, RuleConfig]) -> Check:
    """What a rule finds in a resource of the given properties, or among samples.

    Thresholds are prod's, but for those given by name.
    """
    by_id = {rule.id: rule for rule in RULES}

    def run_rule(
        rule_id: str,
        sample: Mapping[str, Any] | Sequence[Sample],
        *,
        type: str = "",
        protect: bool = False,
        provider: Mapping[str, Any] | None = None,
        **thresholds: Any,
    ) -> list[Finding]:
        rule = by_id[rule_id]
        if isinstance(sample, Mapping):
            sample = [Sample(type=type or rule.types[0], props=sample, protect=protect)]
        limits = {**configs[rule_id].settings, **thresholds}
        resources = [resource_of(each, sample, provider) for each in sample]
        stack = Stack(resources=resources, rules=list(by_id))
        found: list[Finding] = []
        with reading() as read:
            for resource in resources:
                if rule.judges(resource.type):
                    if isinstance(rule, StackRule):
                        found += run(rule.check(resource, stack, limits))
                    else:
                        found += run(rule.check(resource, limits))
        assert not_in_sdk(read, sample) == []
        return found

    return run_rule


@contextlib.contextmanager
def reading() -> Iterator[list[tuple[int, str]]]:
    """(identity of an object, path within it) of everything that rules read."""
    seen: list[tuple[int, str]] = []
    at, has = Part._at, Part.has

    def noting_at(self: Part, steps: Any, path: str, default: Any) -> Any:
        seen.append((id(self.value), ".".join(steps)))
        return at(self, steps, path, default)

    def noting_has(self: Part, path: str) -> bool:
        seen.append((id(self.value), path))
        return has(self, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Part, "_at", noting_at)
        patch.setattr(Part, "has", noting_has)
        yield seen


def not_in_sdk(read: Sequence[tuple[int, str]], samples: Sequence[Sample]) -> list[str]:
    """Properties of AWS resources that were read, or stand in samples, and that pulumi-aws does not have.

    An error in a path would make a rule blind, or fire always.
    """
    objects = {
        identity: (sample.type, path)
        for sample in samples
        for identity, path in containers(sample.props)
        if sample.type.startswith("aws:")
    }
    wanted = {
        (objects[identity][0], f"{objects[identity][1]}.{path}".strip("."))
        for identity, path in read
        if identity in objects
    }
    wanted |= {(type_, path) for type_, path in objects.values() if path}
    return sorted(f"{type_} {path}" for type_, path in wanted if not exists(resource_type(type_), path))


def containers(value: Any, path: str = "") -> Iterator[tuple[int, str]]:
    """(identity, path) of every object within a sample's properties."""
    if isinstance(value, Mapping):
        yield id(value), path
        for key, inner in value.items():
            yield from containers(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from containers(inner, path)


def exists(type_: ResourceType, path: str) -> bool:
    """Whether the SDK has the property; what lies within a free-form map or JSON text is not the SDK's."""
    first, *rest = path.split(".")
    shape: Shape | None = type_.inputs.get(first) or type_.outputs.get(first)
    if shape is None:
        return first in ("id", "arn")
    for step in rest:
        while shape is not None and shape.kind == "list":
            shape = shape.of
        fields = type_.fields(shape) if shape is not None and shape.kind == "object" else {}
        if not fields:
            return True
        if step not in fields:
            return False
        shape = fields[step]
    return True


@pytest.fixture(scope="session")
def as_resource() -> Callable[[Sample], Resource]:
    """A sample on its own as a resource."""
    return lambda sample: resource_of(sample, [sample])


@pytest.fixture(scope="session")
def patched() -> Callable[..., Any]:
    """Properties with a remedy's patches applied, as the engine would see them."""

    def patch(props: Mapping[str, Any], patches: Iterable[Mapping[str, Any]]) -> Any:
        message = struct_pb2.Struct()
        message.update(props)
        for each in patches:
            apply(each, message)
        return plain(message)

    return patch


@pytest.fixture(scope="session")
def with_one_unknown() -> Callable[..., Iterator[list[Sample]]]:
    """The samples once for each of their properties, with that one unknown.

    `as_sent` gives the form of properties with `UNKNOWN` in them, from those and the known ones.
    """

    def vary(
        samples: Sequence[Sample], as_sent: Callable[[Any, Any], Any] = lambda props, known: props
    ) -> Iterator[list[Sample]]:
        for place, sample in enumerate(samples):
            for props in unknown_in(sample.props):
                varied = replace(sample, props=as_sent(props, sample.props))
                yield [*samples[:place], varied, *samples[place + 1 :]]

    return vary


def unknown_in(value: Any) -> Iterator[Any]:
    """The value once for each property within it, with that property unknown."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {**value, key: UNKNOWN}
            yield from ({**value, key: changed} for changed in unknown_in(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in unknown_in(inner))


def resource_of(
    sample: Sample, among: Sequence[Sample], provider: Mapping[str, Any] | None = None
) -> Resource:
    """The sample as a resource of stack `prod`."""

    def urn(each: Sample) -> str:
        return f"urn:pulumi:prod::trial::{each.type}::{each.name}"

    by_name = {each.name: urn(each) for each in among}
    return Resource(
        type=sample.type,
        name=sample.name,
        urn=urn(sample),
        source=lambda: sample.props,
        protect=sample.protect,
        references={prop: [by_name[name]] for prop, name in sample.refers_to.items()},
        provider=Part(provider or {}),
    )


@dataclass(frozen=True)
class Verdict:
    """What the engine and the pack said about a program."""

    refused: bool
    output: str
    events: Sequence[Mapping[str, Any]]

    def violations(self, level: str = "mandatory") -> list[tuple[str, str]]:
        """(rule, name of the resource), sorted."""
        return sorted(
            (event["policyName"], event.get("resourceUrn", "").rpartition("::")[2])
            for event in self.events
            if event["enforcementLevel"] == level
        )

    def messages(self, rule: str) -> list[str]:
        return [event["message"] for event in self.events if event["policyName"] == rule]


Judge = Callable[..., Verdict]


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, str]:
    """Environment variables of an engine whose state, plug-ins and secrets are all in `tmp_path`."""
    pulumi = cli.find()
    if pulumi is None:
        pytest.fail("the Pulumi CLI is not set up: run `make setup`")
    own_bin = pulumi.parent
    if cli.needs_language_host(pulumi):
        own_bin = cli.install_language_host(pulumi, tmp_path / "bin", Path(sys.executable)).parent
    install_plugins(tmp_path / "home", sys.executable)
    backend = tmp_path / "state"
    backend.mkdir()
    (backend / ".scratch-backend").touch()
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(own_bin), os.environ["PATH"]]),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DEBUG_COMMANDS": "true",
        "LOCAL_AWS_MODE": "plan",
        "LOCAL_AWS_DIR": str(tmp_path),
    }


@pytest.fixture
def judge(tmp_path: Path, engine: dict[str, str]) -> Judge:
    """Previews a program with the policy pack.

    `config` is an entry for each rule that shall judge, in the CLI's format; the others are disabled.
    """

    def run(program: str, config: Mapping[str, Any], *, stack: str = "dev") -> Verdict:
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        (project / "Pulumi.yaml").write_text("name: trial\nruntime: python\n")
        (project / "__main__.py").write_text(program)
        config_file = tmp_path / "config.json"
        config_file.write_text(json.dumps({"all": "disabled", **config}))
        events = tmp_path / "events.json"
        events.touch()
        done = None
        for command in (
            ["pulumi", "stack", "init", stack],
            [
                *("pulumi", "preview", "--non-interactive", "--color", "never", "--stack", stack),
                *("--policy-pack", str(ROOT / "policies"), "--policy-pack-config", str(config_file)),
                *("--event-log", str(events)),
            ],
        ):
            done = subprocess.run(command, cwd=project, env=engine, capture_output=True, text=True)
        assert done is not None
        found = [json.loads(line).get("policyEvent") for line in events.read_text().splitlines()]
        return Verdict(done.returncode != 0, done.stdout + done.stderr, [event for event in found if event])

    return run
