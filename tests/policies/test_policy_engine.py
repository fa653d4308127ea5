"""The pack as the engine runs it, over small programs."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

HEAD = """
import json
import pulumi, pulumi_aws as aws
tags = {"platform": "p", "environment": pulumi.get_stack(), "owner": "o", "cost-center": "ml-dev",
        "component": "c"}
"""

SAFE_BUCKET = """
models = aws.s3.Bucket("models", tags=tags)
blocked = dict.fromkeys(
    ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"], True)
aws.s3.BucketPublicAccessBlock("models-block", bucket=models.id, **blocked)
deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
policy = models.arn.apply(
    lambda arn: json.dumps({"Statement": [{**deny, "Resource": [arn, f"{arn}/*"]}]}))
"""


def test_a_violation_is_refused_with_the_rule_the_reason_and_the_fix(judge: Any) -> None:
    verdict = judge(
        HEAD
        + 'aws.lambda_.Permission("caller", function="f", action="lambda:InvokeFunction",'
        + ' principal="s3.amazonaws.com")'
    )
    assert verdict.refused
    assert verdict.violations() == [("lambda-permission-scoped", "caller")]
    (message,) = verdict.messages("lambda-permission-scoped")
    what, why, fix = message.strip().splitlines()[1:]
    assert what == "caller: `principal` s3.amazonaws.com has neither `sourceArn` nor `sourceAccount`"
    assert why.startswith("why: A service principal without a source")
    assert fix.startswith("fix: name the principal")


def test_a_program_that_keeps_the_rules_passes(judge: Any) -> None:
    verdict = judge(
        HEAD + SAFE_BUCKET + 'aws.s3.BucketPolicy("models-policy", bucket=models.id, policy=policy)'
    )
    assert not verdict.refused, verdict.output
    assert verdict.events == []


def test_a_stack_rule_judges_each_resource_and_says_which_is_undecided(judge: Any) -> None:
    """One bucket's policy is unknown, another bucket is bare: the first does not hide the second."""
    verdict = judge(
        HEAD
        + SAFE_BUCKET
        + """
later = pulumi.Output.from_input(pulumi.output.UNKNOWN)
aws.s3.BucketPolicy("models-policy", bucket=models.id, policy=later)
bare = aws.s3.Bucket("bare", tags=tags)
aws.s3.BucketPublicAccessBlock("bare-block", bucket=bare.id, **blocked)
"""
    )
    assert verdict.violations() == [("s3-tls-only-policy", "bare")]
    (advisory,) = (event for event in verdict.events if event["enforcementLevel"] == "advisory")
    assert advisory["policyName"] == "s3-tls-only-policy"
    assert "models: `policy` is not known yet; undecided until up" in advisory["message"]


def test_remediation_sets_what_the_environment_allows_it_to_set(judge: Any) -> None:
    verdict = judge(HEAD + 'aws.kms.Key("key", tags=tags)')
    assert not verdict.refused, verdict.output
    assert "[remediate]  kms-rotation" in verdict.output


def test_without_remediation_the_same_program_is_refused(judge: Any) -> None:
    program = (HEAD + 'aws.kms.Key("key", tags=tags)').replace("ml-dev", "ml-prod")
    assert judge(program, stack="prod").violations() == [("kms-rotation", "key")]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"log-retention-bounded": {"maxDays": "many"}}, "log-retention-bounded: maxDays: Invalid type"),
        ({"log-retention-bounded": {"maxDays": 0}}, "log-retention-bounded: maxDays: Must be greater than"),
        ({"kms-rotation": "sometimes"}, '"sometimes" is not a valid enforcement level'),
        (
            {"log-retention-bounded": {"maxDay": 3}},
            "log-retention-bounded.maxDay: there is no such threshold",
        ),
    ],
    ids=["type", "range", "level", "threshold"],
)
def test_a_bad_config_is_refused_by_name(judge: Any, tmp_path: Path, entry: Any, said: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(entry))
    verdict = judge(HEAD + 'aws.cloudwatch.LogGroup("logs", tags=tags)', config=config)
    assert verdict.refused
    assert said in verdict.output
