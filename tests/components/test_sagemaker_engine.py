"""Models on SageMaker through the real engine and the plan provider: what an update of the stack moves."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inferctl.workspace import ROOT, Workspace

pytestmark = pytest.mark.integration

PROGRAM = """
from dataclasses import replace

import pulumi
import pulumi_aws as aws

from components.sagemaker_deployment import TrafficShift
from components.sagemaker_scaling import InstanceScale
from tests.components.sagemaker_programs import ACCOUNT, HOSTINGS, REAL_TIME, REGION, backend

provider = aws.Provider("aws", region=REGION, allowed_account_ids=[ACCOUNT])
opts = pulumi.ResourceOptions(providers=[provider])
pulumi.export("update_request", {model}.update_request)
"""
MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
OTHER_SETTINGS = """backend(
    "fraud",
    replace(REAL_TIME, capture_percent=20, scale=InstanceScale(min=3, max=9, target=4)),
    opts,
    version="v2",
    p99_ms=500,
    shift=TrafficShift(kind="linear", percent=50),
)"""
OTHER_INSTANCES = 'backend("fraud", replace(REAL_TIME, instance="ml.g5.2xlarge"), opts)'


@dataclass(frozen=True)
class Stack:
    """A stack of the program, in a scratch backend of its own."""

    folder: Path
    pulumi: Path
    environ: Mapping[str, str]

    def command(self, *args: str) -> str:
        done = subprocess.run(
            [self.pulumi, *args, "--stack", "dev", "--non-interactive"],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, model: str) -> dict[str, list[str]]:
        """Operation -> types of the resources that it was done to, in the order in which it was finished."""
        (self.folder / "__main__.py").write_text(PROGRAM.replace("{model}", model))
        events = self.folder / "events.json"
        events.unlink(missing_ok=True)
        self.command("up", "--yes", "--skip-preview", "--event-log", str(events))
        done = defaultdict(list)
        for line in events.read_text().splitlines():
            if outputs := json.loads(line).get("resOutputsEvent"):
                done[outputs["metadata"]["op"]].append(outputs["metadata"]["type"])
        return done

    def resources(self, type_: str) -> list[dict[str, Any]]:
        deployment = json.loads(self.command("stack", "export"))["deployment"]
        return [resource for resource in deployment["resources"] if resource["type"] == type_]

    def update_request(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("stack", "output", "--json"))["update_request"]
        return found


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack with the model `fraud` on it."""
    workspace = Workspace(local=tmp_path / "local")
    pulumi = workspace.pulumi()
    project = {
        "name": "inference-platform",
        "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
    }
    (tmp_path / "Pulumi.yaml").write_text(json.dumps(project))
    environ = workspace.engine_environment("dev", "plan", pulumi, None)
    made = Stack(tmp_path, pulumi, {**environ, "PYTHONPATH": os.pathsep.join([str(ROOT)])})
    made.command("stack", "init")
    made.up('backend("fraud", opts=opts)')
    yield made


def test_an_update_leaves_the_endpoint_alone_and_prepares_what_a_delivery_puts_live(stack: Stack) -> None:
    [before] = stack.resources(ENDPOINT)
    first = stack.update_request()["EndpointConfigName"]
    done = stack.up(OTHER_SETTINGS)
    assert ENDPOINT not in done["update"] + done["replace"] + done["create-replacement"] + done["delete"]
    assert set(done["create-replacement"]) == {MODEL, CONFIGURATION}
    [after] = stack.resources(ENDPOINT)
    assert after["inputs"] == before["inputs"]
    assert after["inputs"]["endpointConfigName"] == first

    [configuration] = stack.resources(CONFIGURATION)
    request = stack.update_request()
    # Names repeat here, so that two plans read the same; that it is another one, the operation above says.
    assert request["EndpointConfigName"] == configuration["outputs"]["name"]
    assert request["RetainAllVariantProperties"] is True
    routing = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "LINEAR"


def test_what_an_endpoint_runs_on_outlives_its_replacement(stack: Stack) -> None:
    for type_ in (MODEL, CONFIGURATION):
        [resource] = stack.resources(type_)
        assert resource["retainOnDelete"] is True
    assert not stack.resources(ENDPOINT)[0].get("retainOnDelete")


def test_other_instances_are_up_before_the_first_ones_go(stack: Stack) -> None:
    [first] = stack.resources(ENDPOINT)
    done = stack.up(OTHER_INSTANCES)
    assert ENDPOINT in done["create"]
    assert ENDPOINT in done["delete"]
    order = list(done)
    assert order.index("create") < order.index("delete")
    [second] = stack.resources(ENDPOINT)
    assert second["inputs"]["name"] != first["inputs"]["name"]
    [configuration] = stack.resources(CONFIGURATION)
    [variant] = configuration["inputs"]["productionVariants"]
    assert variant["instanceType"] == "ml.g5.2xlarge"
    assert second["inputs"]["endpointConfigName"] == configuration["outputs"]["name"]
