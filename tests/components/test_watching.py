"""What is watched of each kind of model, and what a boundary and a trust really say."""

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from components import deploy_permissions as permissions
from components.alarms import FAST, model_alarms
from components.dashboards import model_dashboard
from components.watch import ModelWatch, Site
from environments.operations import watched
from environments.schema import Environment
from serving.canary import difference
from tests.components.conftest import Deployed
from tests.components.platform_args import ACCOUNT, NAMES
from tests.components.recorded import Recorded

SITE = Site(names=NAMES, stage="live", cluster_name="cluster")
PRICED = replace(SITE, names=replace(NAMES, region="us-east-1"))
"""Where the table has prices."""


def roles(watch: ModelWatch) -> set[str]:
    return {alarm.role.removeprefix(f"{watch.model}-") for alarm in model_alarms(SITE, watch)}


OBJECTIVES = {"burn-fast-long", "burn-fast-short", "burn-slow-long", "burn-slow-short", "p99"}


@pytest.mark.parametrize(
    ("watch", "wanted"),
    [
        (ModelWatch(model="m", backend="lambda"), OBJECTIVES | {"throttles"}),
        (ModelWatch(model="m", backend="eks", gpu=True), OBJECTIVES | {"gpu-idle", "gpu-memory"}),
        (ModelWatch(model="m", backend="sagemaker", mode="serverless"), OBJECTIVES),
        (
            ModelWatch(
                model="m", backend="sagemaker", mode="async", instance="ml.g5.xlarge", gpu=True, jobs=True
            ),
            {"gpu-idle", "gpu-memory", "queue-age", "dead-letters"},
        ),
        (
            ModelWatch(model="m", backend="lambda", drift=0.2, canary=True),
            OBJECTIVES | {"throttles", "drift", "canary"},
        ),
    ],
)
def test_a_model_has_the_alarms_of_what_it_is(watch: ModelWatch, wanted: set[str]) -> None:
    assert roles(watch) == wanted
    assert json.loads(model_dashboard(SITE, watch))["widgets"]


def test_objectives_set_the_thresholds() -> None:
    watch = ModelWatch(model="m", backend="lambda", p99_ms=300, availability=99.9)
    found = {alarm.role: alarm for alarm in model_alarms(SITE, watch)}
    assert found["m-burn-fast-long"].threshold == pytest.approx(FAST * 0.001)
    assert found["m-burn-slow-long"].threshold == pytest.approx(0.006)
    assert (found["m-p99"].threshold, found["m-p99"].stat) == (300, "p99")
    loose = ModelWatch(model="m", backend="lambda", availability=90)
    assert all(a.threshold <= 0.99 for a in model_alarms(SITE, loose) if a.metric.name == "5XXError")


@pytest.mark.parametrize(
    ("watch", "used", "requests", "period_s", "usd"),
    [
        # 200 ms of 1 GiB each: 0.2 GB-s at $0.0000133334, and $3.70 a million for gateway and Lambda.
        pytest.param(
            ModelWatch(model="m", backend="lambda", memory_mb=1024),
            100 * 200,
            100,
            60,
            1000 * (0.2 * 0.0000133334 + 3.70e-6),
            id="lambda",
        ),
        # Two environments of 1 GiB kept for a minute at $0.0000033333 a GB-s, whoever asks.
        pytest.param(
            ModelWatch(model="m", backend="lambda", memory_mb=1024, warm=2),
            100 * 200,
            100,
            60,
            1000 * (0.2 * 0.0000133334 + 2 * 60 * 0.0000033333 / 100 + 3.70e-6),
            id="lambda kept warm",
        ),
        # Two replicas, a quarter of a g6.12xlarge at $4.6016 an hour each.
        pytest.param(
            ModelWatch(model="m", backend="eks", instance="g6.12xlarge", gpu=True, replicas_per_machine=4),
            2,
            100,
            300,
            1000 * (2 / 4 * 4.6016 / 12 / 100 + 3.50e-6),
            id="eks",
        ),
        # Three instances at $0.23 an hour, which report 15 times in five minutes.
        pytest.param(
            ModelWatch(model="m", backend="sagemaker", mode="real-time", instance="ml.m5.xlarge"),
            15,
            100,
            300,
            1000 * (3 * 0.23 / 12 / 100 + 3.50e-6),
            id="sagemaker",
        ),
    ],
)
def test_a_dashboard_shows_what_1000_requests_cost(
    watch: ModelWatch, used: float, requests: float, period_s: int, usd: float
) -> None:
    widgets = json.loads(model_dashboard(PRICED, watch))["widgets"]
    [rows] = [w["properties"]["metrics"] for w in widgets if "Cost of 1,000" in w["properties"]["title"]]
    expression = (
        rows[0][0]["expression"].replace("PERIOD(requests)", "PERIOD").replace("PERIOD(used)", "PERIOD")
    )
    names = {"used": used, "requests": requests, "PERIOD": period_s}
    assert eval(expression, {"__builtins__": {}}, names) == pytest.approx(usd, rel=1e-4)


@pytest.mark.parametrize(
    ("site", "watch"),
    [
        (SITE, ModelWatch(model="m", backend="lambda", memory_mb=1024)),
        (PRICED, ModelWatch(model="m", backend="sagemaker", mode="real-time", instance="ml.g6.xlarge")),
        (PRICED, ModelWatch(model="m", backend="sagemaker", mode="serverless", memory_mb=1024)),
        (PRICED, ModelWatch(model="m", backend="sagemaker", mode="async", instance="ml.m5.xlarge")),
    ],
    ids=["no table for the region", "no figure in the table", "no machine", "no requests"],
)
def test_a_cost_that_is_not_known_is_not_shown(site: Site, watch: ModelWatch) -> None:
    assert "Cost of" not in model_dashboard(site, watch)


def test_an_endpoint_is_watched_by_the_name_that_it_has(deployment_of: Deployed) -> None:
    from tests.components import sagemaker_programs

    made = deployment_of("sagemaker")
    endpoints = {each.inputs["name"] for each in made.all("aws:sagemaker/endpoint:Endpoint")}
    for model, hosting in sagemaker_programs.HOSTINGS.items():
        mode: Any = hosting.mode
        watch = ModelWatch(
            model=model, backend="sagemaker", mode=mode, instance=getattr(hosting, "instance", "")
        )
        assert watch.endpoint_name(SITE) in endpoints


def test_a_pod_is_watched_by_the_name_of_its_deployment(deployment_of: Deployed) -> None:
    made = deployment_of("gpu")
    names = {
        (each.inputs["metadata"]["namespace"], each.inputs["metadata"]["name"])
        for each in made.all("kubernetes:apps/v1:Deployment")
    }
    models = [name.removeprefix("model-") for _, name in names if name.startswith("model-")]
    assert models
    for model in models:
        for _, found in ModelWatch(model=model, backend="eks", gpu=True).gpu_metrics(SITE):
            assert (found.dimensions["Namespace"], found.dimensions["PodName"]) in names


def test_facts_come_from_the_entry() -> None:
    entry = Environment.model_fields["models"]
    assert entry
    from environments.catalogue import LambdaModel, Slo

    model = LambdaModel(backend="lambda", version="v1", slo=Slo(p99_ms=250), provisioned_concurrency=2)
    facts = ModelWatch(model="m", **watched(model, canary=True))
    assert (facts.p99_ms, facts.warm, facts.concurrency, facts.gpu) == (250, 2, 10, False)


def test_a_deploy_policy_fits_and_stays_on_the_platform() -> None:
    for group in permissions.POLICIES:
        statements = permissions.changes(NAMES, group)
        assert len(json.dumps(statements).replace(" ", "")) < 6144
        for statement in statements:
            if statement["Resource"] != ["*"]:
                assert all(ACCOUNT in arn or ":::" in arn or "::/" in arn for arn in statement["Resource"])
        assert {a for s in permissions.reads(NAMES, group) for a in s["Action"]} <= {
            a for s in statements for a in s["Action"]
        }


def test_a_plan_changes_nothing() -> None:
    verbs = ("Get", "List", "Describe", "BatchGet", "View", "Validate", "GET")
    for group in permissions.POLICIES:
        for statement in permissions.reads(NAMES, group):
            assert [a for a in statement["Action"] if not a.split(":")[1].startswith(verbs)] == []


def test_the_deploy_role_makes_no_role_outside_of_the_boundary() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundaries/b"
    for statement in permissions.identity_changes(NAMES, boundary):
        for action in statement["Action"]:
            if action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"):
                assert statement["Condition"] == {"ArnEquals": {"iam:PermissionsBoundary": boundary}}
    own = f"arn:aws:iam::{ACCOUNT}:role{permissions.delivery_path(NAMES)}deploy"
    denied = [s for s in permissions.boundary(NAMES, boundary) if s["Effect"] == "Deny"]
    assert any(fnmatchcase(own, arn) for s in denied if s["Action"] == ["iam:*"] for arn in s["Resource"])
    managed = permissions.identity_changes(NAMES, boundary)
    assert not any(fnmatchcase(own, arn) for s in managed for arn in s["Resource"])


def test_the_deploy_role_makes_and_unmakes_all_that_sagemaker_gets(whole_program: Recorded) -> None:
    module = "aws:sagemaker/"
    kinds = {each.type.split(":")[-1] for each in whole_program.resources if each.type.startswith(module)}
    kinds = {kind.replace("Configuration", "Config") for kind in kinds}
    may = {
        action
        for group in permissions.POLICIES
        for statement in permissions.changes(NAMES, group)
        for action in statement["Action"]
    }
    wanted = {f"sagemaker:{verb}{kind}" for kind in kinds for verb in ("Create", "Describe", "Delete")}
    assert wanted <= may


def test_trust_is_for_one_repository_environment_and_branch(deployment_of: Deployed) -> None:
    made = deployment_of("prod")
    trusts = {
        role.name: json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]["Condition"]
        for role in made.all("aws:iam/role:Role")
        if "WebIdentity" in role.inputs["assumeRolePolicy"]
    }
    issuer = "token.actions.githubusercontent.com"
    assert trusts["delivery-deploy"]["StringEquals"] == {f"{issuer}:aud": "sts.amazonaws.com"}
    assert trusts["delivery-deploy"]["StringLike"] == {
        f"{issuer}:sub": ["repo:example/inference-platform:environment:prod:ref:refs/heads/main"]
    }


@pytest.mark.parametrize(
    ("deployment", "role", "subject"),
    [
        ("stage", "digits", "repo:example/digits-model:ref:refs/heads/main"),
        ("everything", "vision", "repo:example/vision-models:environment:models:ref:refs/heads/main"),
    ],
)
def test_a_publisher_is_one_repository_and_branch_within_the_boundary(
    deployment_of: Deployed, deployment: str, role: str, subject: str
) -> None:
    [made] = [
        each.inputs
        for each in deployment_of(deployment).all("aws:iam/role:Role")
        if each.name == f"publisher-{role}-role"
    ]
    [statement] = json.loads(made["assumeRolePolicy"])["Statement"]
    issuer = "token.actions.githubusercontent.com"
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"]["Federated"].endswith(f":oidc-provider/{issuer}")
    assert statement["Condition"] == {
        "StringEquals": {f"{issuer}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{issuer}:sub": [subject]},
    }
    environment = "stage" if deployment == "stage" else "prod"
    assert made["name"] == f"inference-platform-{environment}-publish-{role}"
    assert made["path"] == f"/inference-platform/{environment}/"
    assert made["permissionsBoundary"].endswith(f"/inference-platform-{environment}-boundary")


def test_every_role_that_is_deployed_is_within_the_boundary(deployment_of: Deployed) -> None:
    made = deployment_of("prod")
    bounded(made)


def bounded(made: Recorded) -> None:
    found = 0
    for role in made.all("aws:iam/role:Role"):
        if role.name != "delivery-plan":
            assert role.inputs["permissionsBoundary"].endswith("/inference-platform-prod-boundary")
            found += 1
        if not role.name.startswith("delivery-"):
            assert role.inputs["path"] == "/inference-platform/prod/"
    assert found >= 10


EXPECTED: list[dict[str, Any]] = [{"name": "p", "data": [0.5, 0.25]}, {"name": "label", "data": ["a"]}]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"name": "p", "data": [[0.5], [0.2500001]]}, {"name": "label", "data": ["a"]}], ""),
        ([{"name": "p", "data": [0.5, 0.3]}, {"name": "label", "data": ["a"]}], "'p' differs"),
        ([{"name": "p", "data": [0.5, 0.25]}, {"name": "label", "data": ["b"]}], "'label' differs"),
        ([{"name": "p", "data": [0.5]}, {"name": "label", "data": ["a"]}], "'p' has 1 values"),
        ([{"name": "label", "data": ["a"]}], "'p' is missing"),
    ],
)
def test_the_canary_sees_what_is_wrong(given: list[dict[str, Any]], says: str) -> None:
    found = difference(EXPECTED, given, absolute=1e-5, relative=0)
    assert says in found
    assert bool(says) == bool(found)
