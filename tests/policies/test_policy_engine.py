"""The pack as the engine runs it: over small programs, and alone over a stack or a state file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import json, pulumi, pulumi_aws as aws
deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
later = pulumi.Output.from_input(pulumi.output.UNKNOWN)

def bucket(name, policy=None):
    made = aws.s3.Bucket(name)
    if policy is None:
        policy = made.arn.apply(
            lambda arn: json.dumps({"Statement": [{**deny, "Resource": [arn, f"{arn}/*"]}]})
        )
    aws.s3.BucketPolicy(f"{name}-policy", bucket=made.id, policy=policy)
"""

LEVELS = {
    "s3-tls-only-policy": "mandatory",
    "lambda-permission-scoped": "mandatory",
    "log-retention-bounded": "mandatory",
    "kms-key-count-cap": {"enforcementLevel": "advisory", "maxKeys": 5},
}

CAP = {"enforcementLevel": "mandatory", "maxUsd": 500.0}
"""Below what the load that the stack exports costs: 200 million requests through the API are $700."""


def test_a_plan_is_refused_with_each_rule_its_reason_and_its_fix(judge: Any) -> None:
    """What is undecided hides nothing, an advisory refuses nothing, what no config sets is as in prod."""
    verdict = judge(
        HEAD
        + """
bucket("models")
bucket("undecided", later)
aws.s3.Bucket("bare")
aws.kms.Key("key")
aws.cloudwatch.LogGroup("logs", retention_in_days=14)
aws.lambda_.Permission("caller", function="f", action="lambda:InvokeFunction", principal="s3.amazonaws.com")
aws.lambda_.Permission("unknown", function="f", action="lambda:InvokeFunction", principal=later)
aws.apigateway.RestApi("api")
pulumi.export("load", {"models": {"digits": {"requests": 200_000_000}}})
""",
        {**LEVELS, "kms-rotation": "mandatory", "estimated-monthly-cost-cap": CAP},
    )
    assert verdict.refused
    assert verdict.violations() == [
        ("estimated-monthly-cost-cap", "trial-dev"),
        ("kms-rotation", "key"),
        ("lambda-permission-scoped", "caller"),
        ("log-retention-bounded", "logs"),
        ("s3-tls-only-policy", "bare"),
    ]
    assert verdict.violations("advisory") == [
        ("kms-key-count-cap", "key"),
        ("lambda-permission-scoped", "unknown"),
        ("s3-tls-only-policy", "undecided"),
    ]
    said = {message.strip() for rule in LEVELS for message in verdict.messages(rule)}
    assert any(
        message.endswith("undecided: `policy` is not known yet; undecided until up") for message in said
    )
    assert any(
        message.endswith("unknown: `principal` is not known yet; undecided until up") for message in said
    )
    (refusal,) = (message for message in said if "caller: " in message)
    what, why, fix = refusal.splitlines()[1:]
    assert what == "caller: `principal` s3.amazonaws.com has neither `sourceArn` nor `sourceAccount`"
    assert why.startswith("why: A service principal without a source")
    assert fix.startswith("fix: name the principal")
    (cost,) = verdict.messages("estimated-monthly-cost-cap")
    assert "the cap is $500.00" in cost and "- $700.00 api" in cost
    assert any("`retentionInDays` is 14; it must be 90 to 400 days" in message for message in said)


def test_a_program_that_keeps_the_rules_or_is_remediated_passes(judge: Any) -> None:
    program = HEAD + 'bucket("models")\naws.kms.Key("key", description="k", enable_key_rotation=False)\n'
    verdict = judge(program, {**LEVELS, "kms-rotation": "remediate"})
    assert not verdict.refused, verdict.output
    assert "[remediate]  kms-rotation" in verdict.output
    assert verdict.violations() == verdict.violations("advisory") == []


def test_a_bad_config_is_refused_by_name_by_the_engine(judge: Any) -> None:
    verdict = judge("", {"log-retention-bounded": {"maxDays": "many", "minDays": 0}})
    assert verdict.refused
    assert "log-retention-bounded: maxDays: Invalid type" in verdict.output
    assert "log-retention-bounded: minDays: Must be greater than" in verdict.output


def test_a_bad_config_is_refused_by_name_by_the_pack(judge: Any) -> None:
    """The engine passes over names that it does not know."""
    verdict = judge("", {"log-retention-bounded": {"maxDay": 3}, "kms-rotatoin": "advisory"})
    assert verdict.refused
    assert "log-retention-bounded.maxDay: there is no such threshold" in verdict.output
    assert "kms-rotatoin: there is no such rule" in verdict.output


STACK = "urn:pulumi:prod::elsewhere::pulumi:pulumi:Stack::elsewhere-prod"


def state(**buckets: bool) -> dict[str, Any]:
    """A deployment of somebody else's, with buckets that `forceDestroy` or not."""
    resources = [{"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack"}]
    for name, force in buckets.items():
        urn = f"urn:pulumi:prod::elsewhere::aws:s3/bucket:Bucket::{name}"
        properties = {"bucket": name, "forceDestroy": force}
        kind = {"type": "aws:s3/bucket:Bucket", "custom": True, "parent": STACK}
        resources.append({**kind, "urn": urn, "id": name, "inputs": properties, "outputs": properties})
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": resources}}


def test_the_pack_alone_judges_a_state_file_and_a_stack(tmp_path: Path, engine: dict[str, str]) -> None:
    """For people who want the rules only: no program runs and no provider is asked."""
    (tmp_path / "state.json").write_text(json.dumps(state(kept=False, lost=True)))
    (tmp_path / "levels.json").write_text(
        json.dumps({"all": "disabled", "s3-no-force-destroy-prod": "mandatory"})
    )
    (tmp_path / "Pulumi.yaml").write_text("name: elsewhere\nruntime: python\n")

    def pulumi(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["pulumi", *command], cwd=tmp_path, env=engine, capture_output=True, text=True)

    def analyze(*what: str) -> tuple[int, list[tuple[str, str]]]:
        pack = ("--policy-pack", str(ROOT / "policies"), "--policy-pack-config", "levels.json", "--json")
        done = pulumi("policy", "analyze", *pack, *what)
        events = [json.loads(line).get("policyEvent") for line in done.stdout.splitlines() if line[:1] == "{"]
        said = [(each["policyName"], each["resourceUrn"].rpartition("::")[2]) for each in events if each]
        assert said or not done.returncode, done.stdout + done.stderr
        return done.returncode, said

    refused = (1, [("s3-no-force-destroy-prod", "lost")])
    assert analyze("--file", "state.json") == refused
    for command in (("init", "prod"), ("import", "--force", "--stack", "prod", "--file", "state.json")):
        done = pulumi("stack", *command)
        assert done.returncode == 0, done.stderr
    assert analyze("--stack", "prod") == refused
    (tmp_path / "state.json").write_text(json.dumps(state(kept=False)))
    assert analyze("--file", "state.json") == (0, [])
