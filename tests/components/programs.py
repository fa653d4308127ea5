"""Runs `__main__.py` for an environment, with AWS's answers made up by the plan provider."""

import json
import os
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import yaml
from pulumi.runtime import settings
from pulumi.runtime import stack as runtime_stack

from environments import loader
from local_aws.plan import Planner
from local_aws.sdk_types import resource_type
from local_aws.values import plain
from tests.components.recorded import Recorded, deployed

PROGRAM = Path(__file__).parents[2] / "__main__.py"
PACKAGES = (
    "model-server.zip",
    "authorizer.zip",
    "canary.zip",
    "jobs.zip",
    "jobs-files.zip",
    "delivery.zip",
    "model-server-image.zip",
)


@dataclass
class Planned(Recorded):
    """Records a program whose resources get well-formed ids and ARNs of its account and region."""

    account: str = "111111111111"
    region: str = "us-east-1"

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if not type_.startswith("aws:"):
            return f"{name}-id", dict(inputs)
        urn = f"urn:pulumi:stack::inference-platform::{type_}::{name}"
        state = Planner(self.account, self.region).state(urn, resource_type(type_), dict(inputs))
        return state.id, {key: value for key, value in plain(state.outputs).items() if value is not None}


def engine_config(config: Mapping[str, Any]) -> str:
    """PULUMI_CONFIG as the engine sets it: strings only, structured values as JSON, null as an empty one."""

    def text(value: Any) -> str:
        match value:
            case None:
                return ""
            case str():
                return value
        return json.dumps(value)

    return json.dumps({key: text(value) for key, value in config.items()})


def file_config(env: str) -> dict[str, Any]:
    """The `config` block of an environment's file."""
    config: dict[str, Any] = yaml.safe_load((loader.FOLDER / f"Pulumi.{env}.yaml").read_text())["config"]
    return config


def program(env: str, folder: Path, changes: Mapping[str, Any] | None = None) -> Recorded:
    """What the program registers for an environment, with `changes` of its settings.

    Args:
        env: name of an environment that has a file.
        folder: an empty one, for function packages that stand for the real ones.
        changes: setting without the platform's prefix -> value, as `--config` would give it.
    """
    given = file_config(env) | {loader.PREFIX + key: value for key, value in (changes or {}).items()}
    recorded = Planned(
        account=str(given[f"{loader.PREFIX}account_id"]),
        region=given.get(f"{loader.PREFIX}region", "us-east-1"),
    )
    for package in ("local", "aws-arm64", "aws-x86_64"):
        for name in PACKAGES:
            (folder / package).mkdir(parents=True, exist_ok=True)
            (folder / package / name).write_bytes(f"{package} {name}".encode())

    def build() -> pulumi.Output[Any]:
        runpy.run_path(str(PROGRAM), run_name="__main__")
        stack = settings.get_root_resource()
        assert isinstance(stack, runtime_stack.Stack)
        return pulumi.Output.all(**stack.outputs).apply(recorded.exports.update)

    environ = {"PULUMI_CONFIG": engine_config(given), "INFERENCE_PACKAGES": str(folder)}
    # What the program sets for a process of its own: garbage that ends with it, no debug messages, and how it
    # waits for its end.
    with (
        mock.patch.dict(os.environ, environ),
        mock.patch("gc.disable"),
        mock.patch("pulumi.run"),
        mock.patch.object(pulumi.log, "debug", pulumi.log.debug),
    ):
        deployed(build, stack=env, recorded=recorded)
    return recorded
