"""Physical names as the official provider gives them."""

import re

import pytest

from local_aws.autonaming import NameTooLong, Naming, automatic_name, is_automatic, naming
from local_aws.sdk_types import resource_type


@pytest.mark.parametrize(
    ("token", "property", "form"),
    [
        ("aws:s3/bucket:Bucket", "bucket", r"^models-[0-9a-f]{7}$"),
        ("aws:iam/role:Role", "name", r"^Models-[0-9a-f]{7}$"),
        ("aws:kms/alias:Alias", "name", r"^alias/Models-[0-9a-f]{7}$"),
        ("aws:lambda/permission:Permission", "statementId", r"^Models-[0-9a-f]{7}$"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "key", r"^Models$"),
    ],
)
def test_names_have_the_form_of_their_type(token: str, property: str, form: str) -> None:
    rule = naming(resource_type(token))
    assert rule is not None
    assert rule.property == property
    assert re.search(form, automatic_name(rule, "Models", b"seed"))


@pytest.mark.parametrize(
    "token", ["aws:s3/bucketPolicy:BucketPolicy", "aws:apigateway/stage:Stage", "aws:ec2/vpc:Vpc"]
)
def test_types_without_a_name_get_none(token: str) -> None:
    assert naming(resource_type(token)) is None


def test_the_seed_decides_and_nothing_else() -> None:
    assert automatic_name(Naming(), "a", b"1") == automatic_name(Naming(), "a", b"1")
    assert automatic_name(Naming(), "a", b"1") != automatic_name(Naming(), "a", b"2")


def test_a_fifo_queue_keeps_the_ending_that_sqs_demands() -> None:
    name = automatic_name(Naming(), "jobs", b"seed", ".fifo")
    assert name.endswith(".fifo")
    assert is_automatic(Naming(), "jobs", name)


def test_a_name_without_room_for_the_random_part_is_refused_with_the_limit() -> None:
    with pytest.raises(NameTooLong, match="at most 64"):
        automatic_name(Naming(longest=64), "n" * 57, b"seed")
    automatic_name(Naming(longest=64), "n" * 56, b"seed")


@pytest.mark.parametrize("name", ["models-abc123", "models-ABCDEF0", "other-abcdef0", "models"])
def test_other_names_are_not_taken_for_automatic_ones(name: str) -> None:
    assert not is_automatic(Naming(), "models", name)
