"""The pack as the engine runs it, over small programs."""

from typing import Any

import pytest

pytestmark = pytest.mark.integration

HEAD = "import json, pulumi, pulumi_aws as aws\n"

BUCKET = """
models = aws.s3.Bucket("models")
deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
policy = models.arn.apply(
    lambda arn: json.dumps({"Statement": [{**deny, "Resource": [arn, f"{arn}/*"]}]}))
"""

TLS = {"s3-tls-only-policy": "mandatory"}
KEY = HEAD + 'aws.kms.Key("key")'


def test_a_violation_is_refused_with_the_rule_the_reason_and_the_fix(judge: Any) -> None:
    verdict = judge(
        HEAD
        + 'aws.lambda_.Permission("caller", function="f", action="lambda:InvokeFunction",'
        + ' principal="s3.amazonaws.com")',
        {"lambda-permission-scoped": "mandatory"},
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
        HEAD + BUCKET + 'aws.s3.BucketPolicy("models-policy", bucket=models.id, policy=policy)', TLS
    )
    assert not verdict.refused, verdict.output
    assert verdict.events == []


def test_a_stack_rule_judges_each_resource_and_says_which_is_undecided(judge: Any) -> None:
    """One bucket's policy is unknown, another bucket is bare: the first does not hide the second."""
    verdict = judge(
        HEAD
        + BUCKET
        + """
later = pulumi.Output.from_input(pulumi.output.UNKNOWN)
aws.s3.BucketPolicy("models-policy", bucket=models.id, policy=later)
aws.s3.Bucket("bare")
""",
        TLS,
    )
    assert verdict.violations() == [("s3-tls-only-policy", "bare")]
    assert verdict.violations("advisory") == [("s3-tls-only-policy", "models")]
    assert "models: `policy` is not known yet; undecided until up" in verdict.output


def test_remediation_sets_what_the_environment_allows_it_to_set(judge: Any) -> None:
    verdict = judge(KEY, {"kms-rotation": "remediate"})
    assert not verdict.refused, verdict.output
    assert "[remediate]  kms-rotation" in verdict.output


def test_without_remediation_the_same_program_is_refused(judge: Any) -> None:
    assert judge(KEY, {"kms-rotation": "mandatory"}).violations() == [("kms-rotation", "key")]


def test_an_advisory_is_shown_and_refuses_nothing(judge: Any) -> None:
    verdict = judge(KEY, {"kms-rotation": "advisory"})
    assert not verdict.refused
    assert verdict.violations("advisory") == [("kms-rotation", "key")]


def test_what_no_config_sets_is_as_in_prod(judge: Any) -> None:
    program = HEAD + 'aws.cloudwatch.LogGroup("logs", retention_in_days=14)'
    verdict = judge(program, {"log-retention-bounded": "mandatory"})
    (message,) = verdict.messages("log-retention-bounded")
    assert "`retentionInDays` is 14; it must be 90 to 400 days" in message


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"maxDays": "many"}, "log-retention-bounded: maxDays: Invalid type"),
        ({"maxDays": 0}, "log-retention-bounded: maxDays: Must be greater than"),
        ("sometimes", '"sometimes" is not a valid enforcement level'),
        ({"maxDay": 3}, "log-retention-bounded.maxDay: there is no such threshold"),
    ],
    ids=["type", "range", "level", "threshold"],
)
def test_a_bad_config_is_refused_by_name(judge: Any, entry: Any, said: str) -> None:
    verdict = judge("", {"log-retention-bounded": entry})
    assert verdict.refused
    assert said in verdict.output


def test_a_rule_that_there_is_not_is_refused_by_name(judge: Any) -> None:
    verdict = judge("", {"kms-rotatoin": "advisory"})
    assert verdict.refused
    assert "kms-rotatoin: there is no such rule" in verdict.output


def test_the_months_cost_is_counted_at_the_load_that_the_stack_exports(judge: Any) -> None:
    """200 million requests through the API are $700, and a type without a price is named."""
    program = (
        HEAD
        + 'aws.apigateway.RestApi("api")\n'
        + 'pulumi.export("load", {"models": {"digits": {"requests": 200_000_000}}})\n'
    )
    cap = {"estimated-monthly-cost-cap": {"enforcementLevel": "mandatory", "maxUsd": 500.0}}
    verdict = judge(program, cap)
    assert verdict.refused
    (message,) = verdict.messages("estimated-monthly-cost-cap")
    assert "a month costs $700.00, the cap is $500.00" in message
    assert "- $700.00 api" in message
