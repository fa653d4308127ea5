"""The runner inside the VPC: what starts it, where it runs, and what it may do by itself."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from components.build_project import BuildDefaults, BuildNetwork
from components.runner import Runner, RunnerArgs
from tests.components.conftest import Deployed
from tests.components.iam_documents import documents
from tests.components.platform_args import ACCOUNT, DATA_KEY, LOGS_KEY, NAMES, REGION, TAGS
from tests.components.recorded import Recorded, deployed

PROJECT = "aws:codebuild/project:Project"
CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/1"
REPOSITORY = "https://github.com/example/inference-platform"
NEEDS_A_STAR = "ec2:Describe"


@pytest.fixture(scope="module")
def made() -> Recorded:
    args = RunnerArgs(
        defaults=BuildDefaults(names=NAMES, tags=TAGS, data_key_arn=DATA_KEY, logs_key_arn=LOGS_KEY),
        network=BuildNetwork(vpc_id="vpc-1", subnet_ids=["subnet-1", "subnet-2"]),
        repository_url=REPOSITORY,
        connection_arn=CONNECTION,
    )
    return deployed(lambda: Runner("runner", args))


def test_a_job_that_github_queues_starts_it_and_nothing_else_does(made: Recorded) -> None:
    """https://docs.aws.amazon.com/codebuild/latest/userguide/action-runner.html: this event and no other."""
    webhook = made.one("aws:codebuild/webhook:Webhook").inputs
    assert webhook["projectName"] == made.one(PROJECT).inputs["name"] == f"{NAMES.prefix}-runner"
    assert webhook["filterGroups"] == [{"filters": [{"type": "EVENT", "pattern": "WORKFLOW_JOB_QUEUED"}]}]
    assert webhook["buildType"] == "BUILD"
    source = made.one(PROJECT).inputs["source"]
    assert (source["type"], source["location"]) == ("GITHUB", REPOSITORY)
    assert source["auth"] == {"type": "CODECONNECTIONS", "resource": CONNECTION}


def test_it_runs_in_private_subnets_with_no_door_and_no_docker(made: Recorded) -> None:
    project = made.one(PROJECT).inputs
    [group] = project["vpcConfig"]["securityGroupIds"]
    assert project["vpcConfig"]["subnets"] == ["subnet-1", "subnet-2"]
    assert project["vpcConfig"]["vpcId"] == made.one("aws:ec2/securityGroup:SecurityGroup").inputs["vpcId"]
    assert made.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") == []
    way_out = made.one("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule").inputs
    assert (way_out["securityGroupId"], way_out["fromPort"], way_out["toPort"]) == (group, 443, 443)
    assert project["environment"]["privilegedMode"] is False
    assert project["logsConfig"]["cloudwatchLogs"]["status"] == "ENABLED"
    assert project["encryptionKey"] == DATA_KEY


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("codeconnections:GetConnectionToken", CONNECTION, True),
        ("codeconnections:UseConnection", CONNECTION, True),
        ("codeconnections:GetConnectionToken", f"{CONNECTION}2", False),
        ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/x:y", False),
        ("ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1", True),
        ("ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-3", False),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/{NAMES.prefix}-deploy", False),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*", False),
    ],
)
def test_its_machine_reaches_github_and_its_subnets_and_deploys_nothing(
    made: Recorded, action: str, resource: str, allowed: bool
) -> None:
    """What a job may do comes with the job's own token."""
    held = [d for d in documents(made) if d.kind == "identity"]
    statements = [statement for document in held for statement in document.statements]
    assert any(_covers(each, action, resource) for each in statements) == allowed
    for each in statements:
        if "*" in _listed(each["Resource"]):
            assert all(name.startswith(NEEDS_A_STAR) for name in _listed(each["Action"])), each


def test_codebuild_of_this_account_alone_takes_its_role(made: Recorded) -> None:
    [trust] = [d for d in documents(made) if d.kind == "trust"]
    [statement] = trust.statements
    assert statement["Principal"] == {"Service": "codebuild.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.mark.parametrize(("env", "runners"), [("everything", 1), ("dev", 0)])
def test_there_is_one_where_a_connection_to_github_is(
    env: str, runners: int, deployment_of: Deployed
) -> None:
    made = deployment_of(env)
    projects = [each for each in made.all(PROJECT) if each.inputs["name"].endswith("-runner")]
    assert len(projects) == runners
    private = {each.urn for each in made.all("aws:ec2/subnet:Subnet") if "private" in each.name}
    assert all(private <= set(project.depends_on) for project in projects)


def _covers(statement: Any, action: str, resource: str) -> bool:
    return (
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, each) for each in _listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in _listed(statement["Resource"]))
    )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else json.loads(json.dumps(value))
