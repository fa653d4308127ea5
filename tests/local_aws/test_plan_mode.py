"""Plan mode over gRPC: nothing is made, and what is made up is well-formed."""

import re
from pathlib import Path

import grpc
import pytest

from local_aws.values import UNKNOWN, Props, Secret, plain
from tests.local_aws.conftest import Engine, Start

TRUST = '{"Version": "2012-10-17", "Statement": []}'
ARN = r"arn:aws:[a-z0-9-]+:(us-east-1)?:(\d{12})?:[A-Za-z0-9/_.:*-]+"
CASES: list[tuple[str, Props, str, dict[str, str]]] = [
    ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"}, r"vpc-[0-9a-f]{17}", {"defaultSecurityGroupId": "sg-"}),
    ("aws:ec2/subnet:Subnet", {"vpcId": "vpc-1"}, r"subnet-[0-9a-f]{17}", {"arn": ARN}),
    ("aws:ec2/securityGroup:SecurityGroup", {}, r"sg-[0-9a-f]{17}", {"arn": r".*:security-group/sg-"}),
    ("aws:kms/key:Key", {}, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", {"arn": r".*:key/[0-9a-f-]{36}$"}),
    (
        "aws:cognito/userPool:UserPool",
        {},
        r"us-east-1_[A-Za-z0-9]{9}",
        {"endpoint": r"cognito-idp\.us-east-1\.amazonaws\.com/us-east-1_"},
    ),
    (
        "aws:apigateway/restApi:RestApi",
        {},
        r"[a-z0-9]{10}",
        {
            "rootResourceId": r"[a-z0-9]{10}$",
            "executionArn": r"arn:aws:execute-api:us-east-1:\d{12}:[a-z0-9]{10}$",
        },
    ),
    (
        "aws:apigateway/stage:Stage",
        {"restApi": "abc", "deployment": "d", "stageName": "live"},
        "ags-abc-live",
        {"invokeUrl": r"https://abc\.execute-api\.us-east-1\.amazonaws\.com/live$"},
    ),
    (
        "aws:s3/bucket:Bucket",
        {},
        r"thing-[0-9a-f]{7}",
        {"arn": r"arn:aws:s3:::thing-", "region": "us-east-1"},
    ),
    (
        "aws:iam/role:Role",
        {"assumeRolePolicy": TRUST},
        r"thing-.{7}",
        {"arn": r"arn:aws:iam::\d{12}:role/thing-"},
    ),
    ("aws:iam/policy:Policy", {"policy": TRUST}, r"arn:aws:iam::\d{12}:policy/thing-.{7}", {}),
    (
        "aws:lambda/function:Function",
        {"role": "arn:aws:iam::1:role/r"},
        r"thing-.{7}",
        {
            "qualifiedArn": r"arn:aws:lambda:us-east-1:\d{12}:function:thing-.{7}:1$",
            "invokeArn": r"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:.*/invocations$",
        },
    ),
    (
        "aws:sqs/queue:Queue",
        {},
        r"https://sqs\.us-east-1\.amazonaws\.com/\d{12}/thing-.{7}",
        {"arn": r"arn:aws:sqs:"},
    ),
    ("aws:ecr/repository:Repository", {}, r"thing-.{7}", {"repositoryUrl": r"\d{12}\.dkr\.ecr\.us-east-1\."}),
    ("aws:rds/cluster:Cluster", {"engine": "aurora-mysql"}, r".+", {"arn": ARN, "endpoint": "https://|.+"}),
]


@pytest.mark.parametrize(
    ("token", "inputs", "id_form", "output_forms"), CASES, ids=[case[0] for case in CASES]
)
def test_ids_and_arns_have_the_form_of_aws(
    plan_mode: Start, token: str, inputs: Props, id_form: str, output_forms: dict[str, str]
) -> None:
    id, outputs = plan_mode().create(token, inputs)
    assert re.fullmatch(id_form, id)
    for name, form in output_forms.items():
        assert re.match(form, plain(outputs[name])), (name, outputs[name])


def test_the_same_urn_gives_the_same_values_and_another_one_others(plan_mode: Start) -> None:
    key = "aws:kms/key:Key"
    first, again, other = plan_mode(), plan_mode(), plan_mode()
    assert first.create(key, {}) == again.create(key, {})
    assert first.create(key, {})[0] != other.create(key, {}, name="other")[0]


def test_lists_and_objects_take_the_shape_of_the_sdk(plan_mode: Start) -> None:
    cluster = {"roleArn": "arn:aws:iam::1:role/r", "vpcConfig": {"subnetIds": ["subnet-1"]}}
    _, outputs = plan_mode().create("aws:eks/cluster:Cluster", cluster)
    assert outputs["identities"][0]["oidcs"][0]["issuer"].startswith("https://")
    assert isinstance(outputs["certificateAuthority"]["data"], str)


def test_a_setting_that_is_left_out_stays_out(plan_mode: Start) -> None:
    _, outputs = plan_mode().create("aws:s3/bucket:Bucket", {})
    assert not outputs.keys() & {"acl", "website", "policy", "serverSideEncryptionConfiguration"}


def test_the_account_is_the_one_the_provider_allows(plan_mode: Start) -> None:
    engine = plan_mode({"allowedAccountIds": '["210987654321"]', "region": "eu-west-1"})
    _, outputs = engine.create("aws:sns/topic:Topic", {})
    assert outputs["arn"].startswith("arn:aws:sns:eu-west-1:210987654321:")
    assert engine.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "210987654321"
    assert engine.invoke("aws:index/getRegion:getRegion")["region"] == "eu-west-1"
    zones = engine.invoke("aws:index/getAvailabilityZones:getAvailabilityZones")
    assert zones["names"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert zones["zoneIds"] == ["euw1-az1", "euw1-az2", "euw1-az3"]


def test_a_preview_knows_what_the_plan_knows_and_leaves_open_what_it_was_not_told(plan_mode: Start) -> None:
    engine = plan_mode()
    _, outputs = engine.create("aws:kms/alias:Alias", {"targetKeyId": UNKNOWN}, preview=True)
    assert outputs["targetKeyId"] == UNKNOWN
    assert outputs["arn"].startswith("arn:aws:kms:")


def test_secrets_stay_secret(plan_mode: Start) -> None:
    engine = plan_mode()
    variables = {"OPEN": "1", "HIDDEN": Secret("x")}
    _, function = engine.create(
        "aws:lambda/function:Function",
        {"role": "arn:aws:iam::1:role/r", "environment": {"variables": variables}},
    )
    assert function["environment"]["variables"] == variables
    _, client = engine.create("aws:cognito/userPoolClient:UserPoolClient", {"userPoolId": "p"})
    assert isinstance(client["clientSecret"], Secret)


def test_default_tags_reach_taggable_types_and_yield_to_their_own(plan_mode: Start) -> None:
    engine = plan_mode({"defaultTags": '{"tags": {"Team": "ml", "Stage": "dev"}}'})
    checked, _ = engine.check("aws:kms/key:Key", {"tags": {"Stage": "prod"}})
    assert checked["tags"] == {"Team": "ml", "Stage": "prod"}
    assert engine.create("aws:kms/key:Key", {})[1]["tagsAll"] == {"Team": "ml", "Stage": "dev"}
    assert "tags" not in engine.check("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "b", "policy": TRUST})[0]


@pytest.mark.parametrize("backend", ["", "https://api.pulumi.com", "s3://states", "file://{unmarked}"])
def test_nothing_is_written_to_a_backend_that_is_not_scratch(
    plan_mode: Start, tmp_path: Path, backend: str
) -> None:
    unmarked = tmp_path / "unmarked"
    unmarked.mkdir()
    engine = plan_mode(PULUMI_BACKEND_URL=backend.format(unmarked=unmarked))
    token, key = "aws:kms/key:Key", {"description": "d"}
    engine.create(token, key, preview=True)
    for attempt in (
        lambda: engine.create(token, key),
        lambda: engine.update(token, "id", key, key, {"description": "e"}),
        lambda: engine.delete(token, "id", key),
    ):
        with pytest.raises(grpc.RpcError, match="must not write to the state of a real stack"):
            attempt()
    engine.update(token, "id", key, key, {"description": "e"}, preview=True)


def test_without_a_mode_the_plug_in_says_what_it_is_for() -> None:
    with pytest.raises(grpc.RpcError, match="local environment and of offline plans"):
        Engine({})


def test_other_functions_are_refused_by_name(plan_mode: Start) -> None:
    with pytest.raises(grpc.RpcError, match="getAmi: the local aws plug-in does not hold this function"):
        plan_mode().invoke("aws:ec2/getAmi:getAmi")
