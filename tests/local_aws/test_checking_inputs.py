"""What a resource's inputs may be: refused over gRPC, each mistake with its path and what would do."""

import pytest

from local_aws.values import UNKNOWN, Props, Secret
from tests.local_aws.conftest import Start

BUCKET = "aws:s3/bucket:Bucket"
RULES = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


@pytest.mark.parametrize(
    ("token", "inputs", "path", "reason"),
    [
        (BUCKET, {"forceDestory": True}, "forceDestory", "did you mean forceDestroy"),
        (BUCKET, {"tags": "none"}, "tags", "a map is needed"),
        (BUCKET, {"forceDestroy": "yes"}, "forceDestroy", "bool is needed"),
        (RULES, {"bucket": "b", "rules": {}}, "rules", "a list is needed"),
        (RULES, {"bucket": "b", "rules": [{"id": "a", "state": "x"}]}, "rules[0].state", "no such property"),
        (
            RULES,
            {"bucket": "b", "rules": [{"id": "a", "expiration": {"days": "soon"}}]},
            "rules[0].expiration.days",
            "int is needed",
        ),
        ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "b"}, "policy", "needs this property"),
        ("aws:iam/role:Role", {"assumeRolePolicy": "{}", "name": Secret(["x"])}, "name", "str is needed"),
    ],
)
def test_a_wrong_input_is_refused_with_its_path(
    plan_mode: Start, token: str, inputs: Props, path: str, reason: str
) -> None:
    _, failures = plan_mode().check(token, inputs)
    assert list(failures) == [path]
    assert reason in failures[path]


@pytest.mark.parametrize(
    "inputs",
    [
        {"forceDestroy": "true", "tags": {"a": "b"}},
        {"forceDestroy": UNKNOWN, "tags": UNKNOWN},
        {"tags": Secret({"a": Secret("b")})},
        {"bucket": None},
    ],
)
def test_what_the_provider_would_convert_or_cannot_know_yet_passes(plan_mode: Start, inputs: Props) -> None:
    assert plan_mode().check(BUCKET, inputs)[1] == {}


def test_an_automatic_name_stays_when_the_program_changes_something_else(plan_mode: Start) -> None:
    engine = plan_mode()
    first, _ = engine.check(BUCKET, {}, seed=b"1")
    again, _ = engine.check(BUCKET, {"tags": {"a": "b"}}, olds=first, seed=b"2")
    assert again["bucket"] == first["bucket"]
    named, _ = engine.check(BUCKET, {}, olds={"bucket": "chosen"}, seed=b"2")
    assert named["bucket"] not in ("chosen", "thing")


def test_a_name_that_is_too_long_fails_the_check(plan_mode: Start) -> None:
    _, failures = plan_mode().check("aws:iam/role:Role", {"assumeRolePolicy": "{}"}, name="r" * 60)
    assert "at most 64" in failures["name"]
