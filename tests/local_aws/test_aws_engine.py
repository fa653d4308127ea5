"""Programs with every held type through the real engine: up, again, changed, refreshed, killed, destroyed."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferctl.engine import _restore_torn_state
from local_aws.plugins import install_plugins, planned_only
from local_aws.tables import TABLES
from tests.local_aws.conftest import EmbeddedAws
from toolchain.cli import ensure_pulumi, install_language_host

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
PROGRAMS = Path(__file__).with_name("programs")


class Stack:
    """A program on a stack of its own in a file backend, with a private PULUMI_HOME."""

    def __init__(self, folder: Path, program: str, pulumi: Path, aws: EmbeddedAws) -> None:
        self._folder, self._pulumi = folder, pulumi
        self._creating = Path(aws.environment["LOCAL_AWS_DIR"]) / "aws" / "creating"
        (folder / "state").mkdir(parents=True)
        shutil.copy(PROGRAMS / f"{program}.py", folder / "__main__.py")
        virtualenv = json.dumps({"virtualenv": sys.prefix})
        (folder / "Pulumi.yaml").write_text(
            f"name: {program}\nruntime: {{name: python, options: {virtualenv}}}\n"
        )
        install_plugins(folder / "home", sys.executable)
        self._environment = {
            **aws.environment,
            "PATH": f"{pulumi.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        self.pulumi("stack", "init", "test")
        self.pulumi("config", "set", "aws:region", "us-east-1")
        self.generation(1)

    def generation(self, number: int) -> None:
        self.pulumi("config", "set", "generation", str(number))

    def pulumi(self, *args: str, check: bool = True) -> str:
        done = subprocess.run(
            [self._pulumi, "--non-interactive", *args],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"pulumi {args}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def up(self, *flags: str) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *flags)

    def refresh(self, *flags: str) -> str:
        return self.pulumi("refresh", "--yes", "--skip-preview", *flags)

    def destroy(self) -> None:
        self.pulumi("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[dict[str, Any]]:
        exported = json.loads(self.pulumi("stack", "export"))
        return list(exported["deployment"].get("resources") or ())

    def killed_up(self, after: int) -> None:
        """Starts `up` and kills engine and plug-ins once so many creations have begun."""
        process = subprocess.Popen(
            [self._pulumi, "up", "--yes", "--skip-preview", "--non-interactive"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        begun = len(list(self._creating.glob("*.json")))
        while len(list(self._creating.glob("*.json"))) < begun + after:
            assert process.poll() is None, "up ended before it could be killed"
            time.sleep(0.002)
        for pid in [process.pid, *descendants(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        _restore_torn_state(self._folder / "state")
        self.pulumi("cancel", "--yes")


def parents() -> dict[int, int]:
    """Process id -> its parent's."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = (line.split() for line in listed.splitlines()[1:])
    return {int(pid): int(parent) for pid, parent in pairs}


def descendants(ancestor: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    parent_of = parents()
    children = [pid for pid, parent in parent_of.items() if parent == ancestor]
    return [*children, *(pid for child in children for pid in descendants(child))]


def inventory(aws: EmbeddedAws) -> dict[str, int]:
    """How many of each kind of thing there are in the embedded AWS."""

    def some(service: str, operation: str, key: str, **parameters: Any) -> list[Any]:
        return list(aws.run(service, operation, **parameters).get(key) or ())

    keys = [key["KeyId"] for key in some("kms", "list_keys", "Keys")]
    about = [aws.run("kms", "describe_key", KeyId=key)["KeyMetadata"] for key in keys]
    listed = {
        "keys": [key for key in about if key["KeyState"] != "PendingDeletion"],
        "aliases": some("kms", "list_aliases", "Aliases"),
        "buckets": some("s3", "list_buckets", "Buckets"),
        "roles": some("iam", "list_roles", "Roles"),
        "policies": some("iam", "list_policies", "Policies", Scope="Local"),
        "functions": some("lambda", "list_functions", "Functions"),
        "log groups": some("logs", "describe_log_groups", "logGroups"),
        "parameters": some("ssm", "describe_parameters", "Parameters"),
        "pools": some("cognito-idp", "list_user_pools", "UserPools", MaxResults=60),
        "apis": some("apigateway", "get_rest_apis", "items"),
        "api keys": some("apigateway", "get_api_keys", "items"),
        "plans": some("apigateway", "get_usage_plans", "items"),
        "vpcs": some("ec2", "describe_vpcs", "Vpcs"),
        "subnets": some("ec2", "describe_subnets", "Subnets"),
        "gateways": some("ec2", "describe_internet_gateways", "InternetGateways"),
        "addresses": some("ec2", "describe_addresses", "Addresses"),
        "nat": [
            gateway
            for gateway in some("ec2", "describe_nat_gateways", "NatGateways")
            if gateway["State"] != "deleted"
        ],
        "route tables": some("ec2", "describe_route_tables", "RouteTables"),
        "groups": some("ec2", "describe_security_groups", "SecurityGroups"),
        "endpoints": some("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
        "flow logs": some("ec2", "describe_flow_logs", "FlowLogs"),
        "queues": some("sqs", "list_queues", "QueueUrls"),
        "topics": some("sns", "list_topics", "Topics"),
        "subscriptions": some("sns", "list_subscriptions", "Subscriptions"),
        "rules": some("events", "list_rules", "Rules"),
        "alarms": some("cloudwatch", "describe_alarms", "MetricAlarms"),
        "dashboards": some("cloudwatch", "list_dashboards", "DashboardEntries"),
        "state machines": some("stepfunctions", "list_state_machines", "stateMachines"),
        "tables": some("dynamodb", "list_tables", "TableNames"),
        "secrets": some("secretsmanager", "list_secrets", "SecretList"),
        "repositories": some("ecr", "describe_repositories", "repositories"),
        "builds": some("codebuild", "list_projects", "projects"),
        "firewalls": some("wafv2", "list_web_acls", "WebACLs", Scope="REGIONAL"),
        "detectors": some("guardduty", "list_detectors", "DetectorIds"),
        "models": some("sagemaker", "list_models", "Models"),
        "endpoint configurations": some("sagemaker", "list_endpoint_configs", "EndpointConfigs"),
        "model endpoints": some("sagemaker", "list_endpoints", "Endpoints"),
    }
    return {kind: len(things) for kind, things in listed.items()}


@pytest.fixture(scope="session")
def pulumi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_language_host(ensure_pulumi(), tmp_path_factory.mktemp("bin"), Path(sys.executable))


@pytest.fixture
def stack(tmp_path: Path, pulumi: Path, embedded_aws: EmbeddedAws) -> Iterator[Callable[[str], Stack]]:
    made: list[Stack] = []

    def begin(program: str) -> Stack:
        made.append(Stack(tmp_path / program, program, pulumi, embedded_aws))
        return made[-1]

    yield begin
    for each in made:
        each.pulumi("destroy", "--yes", "--skip-preview", check=False)


@pytest.mark.parametrize("program", ["serving", "platform"])
def test_every_type_is_made_changed_refreshed_and_removed(
    stack: Callable[[str], Stack], embedded_aws: EmbeddedAws, program: str
) -> None:
    before = inventory(embedded_aws)
    platform = stack(program)
    said = platform.up()
    assert "does not hold" not in said
    assert "warning: resource plugin" not in said
    platform.up("--expect-no-changes")
    platform.refresh("--expect-no-changes")

    made = platform.resources()
    identities = {resource["urn"]: resource.get("id") for resource in made}
    assert planned_only({"deployment": {"resources": made}}) == []
    assert "secret-text" not in json.dumps(made)

    platform.generation(2)
    said = platform.pulumi("preview")
    assert "to update" in said
    platform.up()
    platform.up("--expect-no-changes")
    platform.refresh("--expect-no-changes")
    after = {resource["urn"]: resource.get("id") for resource in platform.resources()}
    replaced = {
        urn.split("::")[2].split("$")[-1] for urn, identity in after.items() if identities[urn] != identity
    }
    # What AWS cannot change in place either, and the group for which the embedded AWS has no UpdateGroup.
    assert replaced <= {
        "aws:apigateway/deployment:Deployment",
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        "aws:sagemaker/model:Model",
        "aws:secretsmanager/secretVersion:SecretVersion",
        "aws:cognito/userGroup:UserGroup",
    }

    platform.destroy()
    assert inventory(embedded_aws) == before


def test_the_programs_hold_every_type(stack: Callable[[str], Stack]) -> None:
    """Previewed only: what is missing here was never proved above."""
    seen: set[str] = set()
    for program in ("serving", "platform"):
        plan = json.loads(stack(program).pulumi("preview", "--json"))
        seen |= {step["newState"]["type"] for step in plan["steps"]}
    assert TABLES.keys() - seen == set()


@pytest.mark.parametrize("program", ["serving", "platform"])
def test_an_up_that_was_killed_is_finished_without_a_second_copy(
    stack: Callable[[str], Stack], embedded_aws: EmbeddedAws, program: str
) -> None:
    before = inventory(embedded_aws)
    whole = stack(program)
    whole.up()
    expected = inventory(embedded_aws)
    whole.destroy()
    assert inventory(embedded_aws) == before

    chance = random.Random(program)
    for after in (2, chance.randint(3, 12), chance.randint(13, 22)):
        whole.killed_up(after)
        whole.up()
        assert inventory(embedded_aws) == expected
        whole.up("--expect-no-changes")
        whole.destroy()
        assert inventory(embedded_aws) == before


def test_a_refused_property_is_told_with_its_resource(
    stack: Callable[[str], Stack], embedded_aws: EmbeddedAws
) -> None:
    platform = stack("serving")
    program = platform._folder / "__main__.py"
    program.write_text("import pulumi_aws as aws\naws.cloudwatch.LogGroup('odd', retention_in_days=13)\n")
    said = platform.pulumi("up", "--yes", "--skip-preview", check=False)
    assert "aws:cloudwatch:LogGroup (odd)" in said
    assert "put_retention_policy: InvalidParameterException" in said
    program.write_text(program.read_text().replace("13", "14"))
    platform.up()
    groups = embedded_aws.run("logs", "describe_log_groups", logGroupNamePrefix="odd-")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [14]
