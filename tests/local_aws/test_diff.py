"""Which changes there are, and which of them replace a resource."""

from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from local_aws.values import Asset, Props, Secret
from tests.local_aws.conftest import Start

NONE = provider_pb2.DiffResponse.DIFF_NONE
ROLE = {"name": "r", "assumeRolePolicy": "{}", "description": "a"}


def kinds(answer: Any) -> dict[str, str]:
    return {path: provider_pb2.PropertyDiff.Kind.Name(d.kind) for path, d in answer.detailedDiff.items()}


@pytest.mark.parametrize(
    ("token", "old", "new", "expected"),
    [
        ("aws:iam/role:Role", ROLE, ROLE | {"description": "b"}, {"description": "UPDATE"}),
        ("aws:iam/role:Role", ROLE, ROLE | {"path": "/x/"}, {"path": "ADD_REPLACE"}),
        ("aws:iam/role:Role", ROLE, ROLE | {"name": "s"}, {"name": "UPDATE_REPLACE"}),
        ("aws:kms/key:Key", {"tags": {"a": "1", "b": "1"}}, {"tags": {"a": "1"}}, {"tags.b": "DELETE"}),
        ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "a"}, {"bucket": "b"}, {"bucket": "UPDATE_REPLACE"}),
        (
            "aws:cognito/userPool:UserPool",
            {},
            {"usernameAttributes": ["email"]},
            {"usernameAttributes": "ADD_REPLACE"},
        ),
        ("aws:ec2/subnet:Subnet", {"cidrBlock": "a"}, {"cidrBlock": "b"}, {"cidrBlock": "UPDATE_REPLACE"}),
        (
            "aws:apigateway/deployment:Deployment",
            {"triggers": {"d": "1"}},
            {"triggers": {"d": "2"}},
            {"triggers.d": "UPDATE_REPLACE"},
        ),
        (
            "aws:lambda/function:Function",
            {"environment": {"variables": {"A": Secret("1")}}, "memorySize": 128},
            {"environment": {"variables": {"A": Secret("2")}}, "memorySize": 256},
            {"environment.variables.A": "UPDATE", "memorySize": "UPDATE"},
        ),
        (
            "aws:s3/bucketObjectv2:BucketObjectv2",
            {"key": "k", "source": Asset("1", False, {"path": "a"})},
            {"key": "k", "source": Asset("2", False, {"path": "a"})},
            {"source": "UPDATE"},
        ),
    ],
)
def test_a_change_is_an_update_or_a_replacement_as_in_aws(
    plan_mode: Start, token: str, old: Props, new: Props, expected: dict[str, str]
) -> None:
    answer = plan_mode().diff(token, old, new)
    assert kinds(answer) == expected
    replaced = {path.split(".")[0] for path, kind in expected.items() if kind.endswith("_REPLACE")}
    assert set(answer.replaces) == replaced


@pytest.mark.parametrize(
    ("token", "old", "new"),
    [
        ("aws:iam/role:Role", ROLE, ROLE | {"assumeRolePolicy": "{ }"}),
        ("aws:sqs/queue:Queue", {"delaySeconds": 5}, {"delaySeconds": "5"}),
        (
            "aws:s3/bucketObjectv2:BucketObjectv2",
            {"source": Asset("1", False, {"path": "a"})},
            {"source": Asset("1", False, {"path": "moved"})},
        ),
    ],
)
def test_what_means_the_same_is_no_change(plan_mode: Start, token: str, old: Props, new: Props) -> None:
    assert plan_mode().diff(token, old, new).changes == NONE


def test_a_fixed_name_makes_room_before_the_replacement_comes(plan_mode: Start) -> None:
    engine = plan_mode()
    token = "aws:iam/role:Role"
    fixed = engine.diff(token, ROLE, ROLE | {"path": "/x/"})
    assert fixed.deleteBeforeReplace
    automatic = ROLE | {"name": "thing-0123abc"}
    assert not engine.diff(token, automatic, automatic | {"path": "/x/"}).deleteBeforeReplace
