"""The whole program, environment by environment: what it exports, protects, hides and differs in."""

import json

import pytest

from components import CANARY
from environments import loader
from inferctl.session import named_outputs
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded

STATEFUL = ("aws:s3/bucket:Bucket", "aws:cognito/userPool:UserPool")


@pytest.fixture(params=loader.names())
def env(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(env: str, deployment_of: Deployed) -> Recorded:
    return deployment_of(env)


def test_clients_and_operators_find_what_they_need_in_the_exports(env: str, made: Recorded) -> None:
    settings = loader.from_file(env)
    assert made.exports["environment"] == env
    assert made.exports["url"].startswith("https://")
    assert set(made.exports["tenant_client_ids"]) == {
        *(tenant.name for tenant in settings.tenants),
        *((CANARY,) if settings.watch.canary_minutes else ()),
    }
    assert made.exports["model_functions"] == {
        model: f"inference-platform-{env}-model-{model}"
        for model, entry in settings.models.items()
        if entry.backend == "lambda"
    }
    assert made.exports["models_bucket"] == f"inference-platform-{env}-{settings.account_id}-models"


def test_who_may_not_read_the_state_finds_the_deliveries_by_their_names(env: str, made: Recorded) -> None:
    named = named_outputs(loader.from_file(env))
    assert named == {name: made.exports[name] for name in named}


def test_no_export_is_a_secret(made: Recorded) -> None:
    exported = json.dumps(made.exports)
    secrets = [
        str(value)
        for resource in made.resources
        for name in resource.secrets
        if isinstance(value := resource.inputs[name], str)
    ]
    assert secrets
    assert not [secret for secret in secrets if secret in exported]


def test_what_holds_data_is_protected_where_the_environment_says_so(env: str, made: Recorded) -> None:
    stateful = [resource for resource in made.resources if resource.type in STATEFUL]
    audited = loader.from_file(env).audit is not None
    assert len(stateful) == 4 + audited
    assert {resource.protect for resource in stateful} == {loader.from_file(env).protect}


def test_production_keeps_its_data_whatever_is_destroyed(deployment_of: Deployed) -> None:
    prod = deployment_of("prod")
    assert all(resource.protect for resource in prod.resources if resource.type in STATEFUL)
    assert not any(bucket.inputs["forceDestroy"] for bucket in prod.all("aws:s3/bucket:Bucket"))
    assert prod.one("aws:cognito/userPool:UserPool").inputs["deletionProtection"] == "ACTIVE"


def test_every_arn_and_name_is_of_this_account_and_environment(env: str, made: Recorded) -> None:
    account = loader.from_file(env).account_id
    others = {loader.from_file(name).account_id for name in loader.names()} - {account}
    text = json.dumps([dict(r.inputs) for r in made.resources if "source" not in r.inputs], default=str)
    assert account in text
    assert not [other for other in others if other in text]


def test_logs_are_kept_for_as_long_as_the_environment_says(env: str, made: Recorded) -> None:
    groups = made.all("aws:cloudwatch/logGroup:LogGroup")
    assert groups
    settings = loader.from_file(env)
    kept = {name: group.inputs["retentionInDays"] for group in groups if (name := group.name)}
    audit = kept.pop("audit-logs", None)
    assert set(kept.values()) == {settings.logs.retention_days}
    assert audit is None if settings.audit is None else audit >= settings.audit.retention_days
    assert all(group.inputs.get("kmsKeyId") for group in groups)


def test_the_account_is_set_up_by_the_stack_that_is_told_to(env: str, made: Recorded) -> None:
    creates = loader.from_file(env).account_baseline == "create"
    assert bool(made.all("inference-platform:account_baseline:AccountBaseline")) == creates


@pytest.mark.parametrize("wanted", [True, False])
def test_a_firewall_stands_in_front_of_the_stage_where_there_is_one(
    wanted: bool, deployment_of: Deployed
) -> None:
    with_one = [name for name in loader.names() if (loader.from_file(name).web_acl is not None) == wanted]
    assert with_one
    for name in with_one:
        associations = deployment_of(name).all("aws:wafv2/webAclAssociation:WebAclAssociation")
        assert [a.inputs["resourceArn"].rsplit("/", 1)[-1] for a in associations] == ["live"] * wanted


def test_an_own_domain_becomes_the_url(deployment_of: Deployed) -> None:
    assert deployment_of("everything").exports["url"] == "https://inference.example.com"
