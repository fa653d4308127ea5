"""Emulate mode over gRPC against a real ministack and moto: made, read, changed, lost, adopted, removed."""

import json
from pathlib import Path

import grpc
import jmespath  # type: ignore[import-untyped]
import pytest

from local_aws.journal import Creation, Journal
from local_aws.values import UNKNOWN, Props, Secret, plain
from tests.local_aws.conftest import EmbeddedAws, Engine, Start, urn

pytestmark = pytest.mark.integration

BUCKET = "aws:s3/bucket:Bucket"
DETECTOR = "aws:guardduty/detector:Detector"
KEY = "aws:kms/key:Key"
PARAMETER = "aws:ssm/parameter:Parameter"
ROLE = "aws:iam/role:Role"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture
def engine(emulate_mode: Start) -> Engine:
    return emulate_mode()


@pytest.fixture
def journal(embedded_aws: EmbeddedAws) -> Journal:
    return Journal(Path(embedded_aws.environment["LOCAL_AWS_DIR"]) / "aws" / "creating")


def buckets(aws: EmbeddedAws) -> list[str]:
    return [bucket["Name"] for bucket in aws.run("s3", "list_buckets")["Buckets"]]


def test_what_is_made_is_in_aws_and_gone_after_delete(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    id, outputs = engine.create(BUCKET, {"tags": {"team": "ml"}})
    assert id in buckets(embedded_aws)
    tags = embedded_aws.run("s3", "get_bucket_tagging", Bucket=id)["TagSet"]
    assert tags == [{"Key": "team", "Value": "ml"}]
    assert outputs["arn"] == f"arn:aws:s3:::{id}"
    assert outputs["tagsAll"] == {"team": "ml"}
    engine.delete(BUCKET, id, outputs)
    assert id not in buckets(embedded_aws)
    engine.delete(BUCKET, id, outputs)  # that it is gone already is as good


def test_a_preview_makes_nothing_and_leaves_open_what_aws_decides(
    engine: Engine, embedded_aws: EmbeddedAws
) -> None:
    before = buckets(embedded_aws)
    id, outputs = engine.create(BUCKET, {"forceDestroy": True}, preview=True)
    assert id == ""
    assert outputs["arn"] == UNKNOWN
    assert outputs["forceDestroy"] is True
    assert buckets(embedded_aws) == before


def test_a_change_made_by_others_is_read_and_a_vanished_resource_too(
    engine: Engine, embedded_aws: EmbeddedAws
) -> None:
    inputs = {"name": "/drift/x", "type": "String", "value": "one", "description": "d"}
    id, outputs = engine.create(PARAMETER, inputs)
    assert engine.read(PARAMETER, id, inputs, outputs)[1] == inputs
    embedded_aws.run("ssm", "put_parameter", Name=id, Value="two", Type="String", Overwrite=True)
    assert plain(engine.read(PARAMETER, id, inputs, outputs)[1]["value"]) == "two"
    embedded_aws.run("ssm", "delete_parameter", Name=id)
    assert engine.read(PARAMETER, id, inputs, outputs) == ("", {}, {})


def test_only_the_operations_that_take_the_change_run(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    old = {"description": "old", "enableKeyRotation": True, "tags": {"a": "1", "b": "1"}}
    id, outputs = engine.create(KEY, old)
    new = {"description": "new", "tags": {"a": "2"}}
    changed = engine.update(KEY, id, old, outputs, new)
    assert changed["description"] == "new"
    about = embedded_aws.run("kms", "describe_key", KeyId=id)["KeyMetadata"]
    assert about["Description"] == "new"
    assert not embedded_aws.run("kms", "get_key_rotation_status", KeyId=id)["KeyRotationEnabled"]
    tags = embedded_aws.run("kms", "list_resource_tags", KeyId=id)["Tags"]
    assert tags == [{"TagKey": "a", "TagValue": "2"}]


def test_an_update_of_what_has_vanished_says_so(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    role = {"name": "vanished", "assumeRolePolicy": TRUST, "description": "a"}
    id, outputs = engine.create(ROLE, role)
    embedded_aws.run("iam", "delete_role", RoleName=id)
    with pytest.raises(grpc.RpcError, match=r"updating aws:iam/role:Role thing: update_role: NoSuchEntity"):
        engine.update(ROLE, id, role, outputs, role | {"description": "b"})


@pytest.mark.parametrize(
    ("token", "inputs", "reason"),
    [
        (BUCKET, {"bucket": "Upper_Case"}, "creating aws:s3/bucket:Bucket thing: create_bucket: .*bucket"),
        ("aws:kms/alias:Alias", {"targetKeyId": "none"}, "create_alias: NotFoundException"),
        (
            "aws:lambda/function:Function",
            {"role": "r", "s3Bucket": "nowhere", "s3Key": "k", "handler": "h", "runtime": "python3.13"},
            "creating aws:lambda/function:Function thing: create_function: ",
        ),
        (
            "aws:dynamodb/table:Table",
            {
                "hashKey": "k",
                "globalSecondaryIndexes": [{"name": "i", "hashKey": "k", "projectionType": "ALL"}],
            },
            r"create_table: ParamValidation: .*GlobalSecondaryIndexes\[0\].IndexName",
        ),
        (
            "aws:cloudwatch/logGroup:LogGroup",
            {"name": "/refused", "retentionInDays": 13},
            "put_retention_policy: InvalidParameterException",
        ),
    ],
)
def test_a_refused_creation_names_the_resource_the_operation_and_the_reason(
    engine: Engine, token: str, inputs: Props, reason: str
) -> None:
    with pytest.raises(grpc.RpcError, match=reason):
        engine.create(token, inputs)


def test_a_name_that_others_took_is_not_adopted(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    embedded_aws.run("ssm", "put_parameter", Name="/taken", Value="theirs", Type="String")
    with pytest.raises(grpc.RpcError, match="ParameterAlreadyExists"):
        engine.create(PARAMETER, {"name": "/taken", "type": "String", "value": "ours"})
    assert embedded_aws.run("ssm", "get_parameter", Name="/taken")["Parameter"]["Value"] == "theirs"


def test_a_creation_that_stops_half_way_is_kept_and_completed(
    engine: Engine, embedded_aws: EmbeddedAws
) -> None:
    token, wrong = "aws:cloudwatch/logGroup:LogGroup", {"name": "/half", "retentionInDays": 13}
    with pytest.raises(grpc.RpcError) as failed:
        engine.create(token, wrong)
    details = dict(failed.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"ErrorResourceInitFailed" in details
    assert b"/half" in details  # the id: the engine keeps the resource and updates it next time
    outputs = engine.update(token, "/half", {}, {}, wrong | {"retentionInDays": 14})
    assert outputs["retentionInDays"] == 14
    groups = embedded_aws.run("logs", "describe_log_groups", logGroupNamePrefix="/half")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [14]


def test_a_named_resource_of_a_killed_up_is_adopted_under_its_name(
    engine: Engine, embedded_aws: EmbeddedAws, journal: Journal
) -> None:
    """Killed after AWS made it and before the plug-in heard: the name is noted, the id is not."""
    at, name = urn(ROLE, "killed"), "killed-0a1b2c3"
    journal.note(Creation(at, name))
    embedded_aws.run("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=TRUST, Description="old")
    id, outputs = engine.create(ROLE, {"assumeRolePolicy": TRUST, "description": "new"}, name="killed")
    assert id == name
    role = embedded_aws.run("iam", "get_role", RoleName=name)["Role"]
    assert role["Description"] == outputs["description"] == "new"


def test_a_resource_to_which_aws_gave_the_id_is_adopted_under_its_name(
    engine: Engine, embedded_aws: EmbeddedAws, journal: Journal
) -> None:
    acl = "aws:wafv2/webAcl:WebAcl"
    at, name = urn(acl, "killed"), "killed-0a1b2c3"
    visible: Props = {"cloudwatchMetricsEnabled": True, "metricName": "m", "sampledRequestsEnabled": True}
    inputs: Props = {
        "name": name,
        "scope": "REGIONAL",
        "defaultAction": {"allow": {}},
        "visibilityConfig": visible,
    }
    made = embedded_aws.run(
        "wafv2",
        "create_web_acl",
        Name=name,
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={
            "CloudWatchMetricsEnabled": True,
            "MetricName": "m",
            "SampledRequestsEnabled": True,
        },
    )["Summary"]
    journal.note(Creation(at, name))
    id, outputs = engine.create(acl, inputs, name="killed")
    assert id == made["Id"]
    assert outputs["arn"] == made["ARN"]
    engine.delete(acl, id, outputs, name="killed")
    assert embedded_aws.run("wafv2", "list_web_acls", Scope="REGIONAL")["WebACLs"] == []


@pytest.mark.parametrize(
    ("type_", "inputs", "service", "operation", "parameters", "found"),
    [
        (KEY, {}, "kms", "create_key", {"Description": "old"}, "KeyMetadata.KeyId"),
        (DETECTOR, {"enable": True}, "guardduty", "create_detector", {"Enable": True}, "DetectorId"),
    ],
    ids=["ministack", "moto"],
)
def test_a_creation_that_nobody_heard_of_is_not_made_again(
    engine: Engine,
    embedded_aws: EmbeddedAws,
    journal: Journal,
    type_: str,
    inputs: Props,
    service: str,
    operation: str,
    parameters: Props,
    found: str,
) -> None:
    """Killed while AWS made what has neither a name of its own nor an id yet."""
    journal.note(Creation(urn(type_, "unheard"), "", attempt="0123456789abcdef"))
    with embedded_aws.operations.once("0123456789abcdef"):
        made = embedded_aws.run(service, operation, **parameters)
    id, outputs = engine.create(type_, inputs, name="unheard")
    assert id == jmespath.search(found, made)
    engine.delete(type_, id, outputs, name="unheard")
    again, outputs = engine.create(type_, inputs, name="unheard")
    assert again != id
    engine.delete(type_, again, outputs, name="unheard")


def test_an_unnamed_resource_of_a_killed_up_is_adopted_by_its_id(
    engine: Engine, embedded_aws: EmbeddedAws, journal: Journal
) -> None:
    """Killed after the plug-in answered and before the engine saved its state."""
    first, _ = engine.create(KEY, {"description": "first"}, name="lost")
    second, outputs = engine.create(KEY, {"description": "second", "tags": {"a": "b"}}, name="lost")
    assert second == first
    assert outputs["description"] == "second"
    assert journal.pending(urn(KEY, "lost")) is not None
    engine.read(KEY, second, {}, outputs, name="lost")  # the engine knows it now
    assert journal.pending(urn(KEY, "lost")) is None
    third, _ = engine.create(KEY, {"description": "third"}, name="lost")
    assert third != second


def test_a_failed_creation_leaves_no_trace(engine: Engine, journal: Journal) -> None:
    with pytest.raises(grpc.RpcError):
        engine.create(BUCKET, {"bucket": "Upper_Case"}, name="refused")
    assert journal.pending(urn(BUCKET, "refused")) is None


def test_secrets_stay_secret_when_aws_gives_them_back(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    inputs = {"name": "/secret/x", "type": "SecureString", "value": Secret("hush")}
    id, outputs = engine.create(PARAMETER, inputs)
    assert outputs["value"] == Secret("hush")
    embedded_aws.run("ssm", "put_parameter", Name=id, Value="louder", Type="SecureString", Overwrite=True)
    _, _, read = engine.read(PARAMETER, id, inputs, outputs)
    assert read["value"] == Secret("louder")
    pool, _ = engine.create("aws:cognito/userPool:UserPool", {})
    _, client = engine.create(
        "aws:cognito/userPoolClient:UserPoolClient", {"userPoolId": pool, "generateSecret": True}
    )
    assert isinstance(client["clientSecret"], Secret)


def test_a_bucket_with_objects_goes_only_when_told_to(engine: Engine, embedded_aws: EmbeddedAws) -> None:
    id, outputs = engine.create(BUCKET, {}, name="full")
    embedded_aws.run("s3", "put_object", Bucket=id, Key="k", Body=b"x")
    with pytest.raises(grpc.RpcError, match="BucketNotEmpty"):
        engine.delete(BUCKET, id, outputs, name="full")
    engine.delete(BUCKET, id, outputs | {"forceDestroy": True}, name="full")
    assert id not in buckets(embedded_aws)


def test_a_type_without_a_table_is_planned(engine: Engine) -> None:
    token = "aws:ecr/pullThroughCacheRule:PullThroughCacheRule"
    id, outputs = engine.create(token, {"ecrRepositoryPrefix": "p", "upstreamRegistryUrl": "public.ecr.aws"})
    assert id
    assert outputs["registryId"] == "000000000000"
    engine.delete(token, id, outputs)


def test_another_account_is_refused(emulate_mode: Start) -> None:
    with pytest.raises(grpc.RpcError, match="account 000000000000"):
        emulate_mode({"allowedAccountIds": '["111111111111"]'})
