"""Faults planted in the platform's own program, all in one plan: each is refused by its rule."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies import settings
from policies.rules import RULES

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
ZIPS = ("model-server", "model-server-image", "authorizer", "canary", "jobs", "jobs-files", "delivery")
EVERYONE = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


OPEN_API = json.dumps(
    {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "paths": {"/v2/models": {"get": {}, "post": {"requestBody": {}}}},
    }
)

FAULTS: Sequence[tuple[str, str, Any, str, str]] = [
    # resource, property, value -> rule, on which resource where it is another
    (
        "storage-models-public-access-block",
        "blockPublicPolicy",
        False,
        "s3-public-access-block",
        "storage-models-bucket",
    ),
    (
        "storage-data-policy",
        "policy",
        policy(Principal={"AWS": "333333333333"}, Action="s3:GetObject", Resource="arn:aws:s3:::x/*"),
        "s3-tls-only-policy",
        "storage-data-bucket",
    ),
    ("storage-models-encryption", "rules[0].bucketKeyEnabled", False, "s3-sse-kms", "storage-models-bucket"),
    (
        "storage-data-versioning",
        "versioningConfiguration.status",
        "Suspended",
        "s3-versioning",
        "storage-data-bucket",
    ),
    (
        "storage-logs-lifecycle",
        "rules",
        [{"id": "a", "status": "Enabled", "expiration": {"days": 9}}],
        "s3-lifecycle-required",
        "storage-logs-bucket",
    ),
    (
        "storage-models-ownership",
        "rule.objectOwnership",
        "ObjectWriter",
        "s3-no-acls",
        "storage-models-bucket",
    ),
    ("storage-models-bucket", "forceDestroy", True, "s3-no-force-destroy-prod", ""),
    ("keys-data", "enableKeyRotation", False, "kms-rotation", ""),
    (
        "keys-logs",
        "policy",
        json.dumps({"Version": "2012-10-17", "Statement": [EVERYONE]}),
        "kms-no-wildcard-principal",
        "",
    ),
    ("keys-secrets", "deletionWindowInDays", 7, "kms-deletion-window", ""),
    ("keys-data", "description", None, "kms-key-count-cap", ""),
    (
        "gateway-invoke-role-policy",
        "policy",
        policy(Action="s3:*", Resource="arn:aws:s3:::x/*"),
        "iam-no-service-wildcard",
        "",
    ),
    (
        "images-cache-creator-role-policy",
        "policy",
        policy(Action="s3:GetObject", Resource="*"),
        "iam-resource-star-justified",
        "",
    ),
    (
        "network-flow-logs-role-policy",
        "policy",
        policy(Action="iam:PassRole", Resource="arn:aws:iam::333333333333:role/*"),
        "iam-passrole-scoped",
        "",
    ),
    (
        "gateway-authorizer-role-policy",
        "policy",
        policy(Action="kms:Decrypt", Resource="arn:aws:kms:us-east-1:333333333333:key/*"),
        "iam-kms-decrypt-scoped",
        "",
    ),
    (
        "model-digits-role-policy",
        "policy",
        policy(Action="iam:CreatePolicyVersion", Resource="arn:aws:iam::333333333333:policy/*"),
        "iam-no-privilege-escalation",
        "",
    ),
    (
        "gateway-invoke-role",
        "assumeRolePolicy",
        policy(Principal={"Service": "apigateway.amazonaws.com"}, Action="sts:AssumeRole"),
        "iam-trust-policy-scoped",
        "",
    ),
    (
        "account-apigateway-logs-policy",
        "policyArn",
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "iam-no-broad-managed-policies",
        "",
    ),
    ("model-digits-role", "maxSessionDuration", 43200, "iam-permissions-boundary", ""),
    (
        "model-digits-function",
        "environment.variables.DB_PASSWORD",
        "correct-horse-battery",
        "lambda-no-plaintext-secrets",
        "",
    ),
    ("model-digits-function", "runtime", "python3.8", "lambda-runtime-supported", ""),
    ("model-digits-function", "tracingConfig.mode", "PassThrough", "lambda-tracing-active", ""),
    ("model-digits-function", "reservedConcurrentExecutions", None, "lambda-reserved-concurrency", ""),
    ("model-digits-function", "kmsKeyArn", None, "lambda-env-kms", ""),
    ("model-digits-function", "memorySize", None, "lambda-timeout-memory-caps", ""),
    ("model-digits-function", "architectures", ["x86_64"], "lambda-arm64", ""),
    (
        "gateway-authorizer-function",
        "environment.variables.ROUTER",
        "http://router.platform.internal",
        "lambda-in-vpc",
        "",
    ),
    ("model-digits-logs", "retentionInDays", 7, "log-retention-bounded", ""),
    ("network-flow-logs", "kmsKeyId", None, "log-group-kms", ""),
    ("gateway-api", "body", OPEN_API, "apigw-authorizer-required", ""),
    ("gateway-api", "body", OPEN_API, "apigw-request-validation", ""),
    ("gateway-stage", "xrayTracingEnabled", False, "apigw-xray", ""),
    ("gateway-stage", "accessLogSettings.format", "$context.requestId", "apigw-access-logs", ""),
    ("gateway-limits", "settings.dataTraceEnabled", True, "apigw-no-data-trace", ""),
    ("gateway-limits", "settings.throttlingRateLimit", 9999, "apigw-throttling", "gateway-stage"),
    ("web-acl-acl", "rules", None, "waf-has-rules-and-default", ""),
    ("web-acl-acl", "visibilityConfig.cloudwatchMetricsEnabled", False, "waf-metrics-and-logging", ""),
    ("identity-pool", "passwordPolicy.minimumLength", 8, "cognito-password-policy", ""),
    ("identity-pool", "mfaConfiguration", "OFF", "cognito-mfa", ""),
    ("identity-pool", "userPoolTier", "ESSENTIALS", "cognito-threat-protection", ""),
    ("identity-pool", "deletionProtection", "INACTIVE", "cognito-deletion-protection", ""),
    (
        "identity-pool",
        "adminCreateUserConfig.allowAdminCreateUserOnly",
        False,
        "cognito-admin-create-only",
        "",
    ),
    ("identity-pool", "protect", False, "protect-stateful-prod", ""),
    ("identity-people", "allowedOauthFlows", ["implicit"], "cognito-client-hardening", ""),
    ("images-model-server", "imageTagMutability", "MUTABLE", "ecr-immutable-tags", ""),
    ("images-model-server", "imageScanningConfiguration.scanOnPush", False, "ecr-scan-on-push", ""),
    ("images-model-server", "encryptionConfigurations", [{"encryptionType": "AES256"}], "ecr-kms", ""),
    (
        "images-model-server-lifecycle",
        "policy",
        json.dumps({"rules": []}),
        "ecr-lifecycle-policy",
        "images-model-server",
    ),
    (
        "network-default-security-group",
        "ingress",
        [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}],
        "vpc-default-sg-closed",
        "network-vpc",
    ),
    ("network-flow-log", "trafficType", "REJECT", "vpc-flow-logs", "network-vpc"),
    ("network-private-a", "mapPublicIpOnLaunch", True, "subnet-no-auto-public-ip", ""),
    (
        "network-private-a",
        "mapPublicIpOnLaunch",
        True,
        "eks-nodes-private-subnets",
        "cluster-eks-system-node-group",
    ),
    (
        "network-private-a",
        "mapPublicIpOnLaunch",
        True,
        "eks-nodes-private-subnets",
        "cluster-pools-node-class",
    ),
    ("account-ebs-encryption", "enabled", False, "ebs-encryption-by-default", "inference-platform-prod"),
]

STRANGERS = {
    "stranger-abroad": "approved-region-and-account",
    "stranger-address": "no-unattached-eip",
    "stranger-admin": "iam-kms-decrypt-scoped iam-no-admin-star iam-no-privilege-escalation "
    "iam-no-service-wildcard iam-passrole-scoped iam-resource-star-justified",
    "stranger-alarm": "alarm-has-actions",
    "stranger-api": "apigw-authorizer-required apigw-no-wildcard-cors",
    "stranger-bucket": "s3-access-logging s3-lifecycle-required s3-no-acls s3-public-access-block s3-sse-kms "
    "s3-tls-only-policy s3-versioning",
    "stranger-cache": "apigw-no-cache-dev",
    "stranger-caller": "lambda-permission-scoped",
    "stranger-cluster": "eks-api-auth-mode eks-cni-network-policy eks-control-plane-logs-all "
    "eks-deletion-protection eks-no-extended-support-billing eks-no-public-endpoint eks-private-endpoint-on "
    "eks-public-cidrs-restricted eks-secrets-kms eks-supported-version",
    "stranger-config": "sagemaker-data-capture sagemaker-endpoint-kms sagemaker-ha-instance-count "
    "sagemaker-instance-allow-list sagemaker-instance-count-cap savings-plan-advisory",
    "stranger-disk": "ebs-encrypted ebs-size-cap gp3-over-gp2",
    "stranger-domain": "apigw-tls12-domain",
    "stranger-door": "sg-described sg-no-world-ingress sg-restricted-egress",
    "stranger-endpoint": "sagemaker-autoscaling-required sagemaker-dev-scale-to-zero",
    "stranger-function": "lambda-dlq-for-async lambda-log-group-managed",
    "stranger-guests": "cognito-no-guest-identities",
    "stranger-images": "ecr-not-public",
    "stranger-instance": "graviton-advisory",
    "stranger-model": "sagemaker-model-in-vpc sagemaker-model-network-isolation "
    "sagemaker-model-private-image",
    "stranger-node": "gpu-instance-allow-list no-secrets-in-user-data node-no-public-ip nodes-imds-hop-limit "
    "nodes-imdsv2-required previous-generation-instances",
    "stranger-nodes": "eks-nodegroup-no-open-ssh gpu-instance-allow-list gpu-nodegroup-scale-to-zero "
    "gpu-nodes-tainted max-node-count savings-plan-advisory spot-in-nonprod",
    "stranger-notebook": "sagemaker-notebook-hardened",
    "stranger-phone": "approved-aws-services",
    "stranger-pods": "k8s-image-pinned k8s-pod-security k8s-resource-limits",
    "stranger-public-nodes": "eks-nodes-private-subnets",
    "stranger-secret": "secret-cmk-and-rotation",
    "stranger-stage": "apigw-waf-associated",
    "stranger-subnet": "subnet-no-auto-public-ip",
    "stranger-trail-a": "cloudtrail-baseline",
    "stranger-trail-b": "cloudtrail-baseline",
    "stranger-untagged": "required-tags",
    "stranger-url": "lambda-url-auth",
    "stranger-user": "iam-no-users-or-keys",
    "stranger-vpc": "gateway-endpoints-s3-ddb private-endpoints-prod vpc-default-sg-closed vpc-flow-logs",
    "stranger-warm": "lambda-no-provisioned-concurrency-dev",
    # What the strangers together do to the stack.
    "inference-platform-prod": "cloudtrail-single-management-trail estimated-monthly-cost-cap "
    "interface-endpoint-budget max-node-count nat-gateway-count",
}
"""Resource of planted/strangers.py -> the rules that it breaks."""

# What the platform itself does not do yet, and rules whose faults are not in resources.
NOT_PLANTED = {"budget-required", "budget-action-dev", "cost-anomaly-monitor", "waiver-hygiene"}


def test_each_planted_fault_is_refused_by_its_rule_and_nothing_else_is(
    tmp_path: Path, engine: dict[str, str]
) -> None:
    """Also proves that every rule fires in the engine, on real resources."""
    without = judged(tmp_path / "without", engine, [])
    found = judged(tmp_path / "with", engine, FAULTS, strangers=True)
    expected = {(rule, on or resource) for resource, _, _, rule, on in FAULTS}
    expected |= {(rule, resource) for resource, rules in STRANGERS.items() for rule in rules.split()}
    assert found - without == expected
    assert {rule for rule, _ in expected} == {rule.id for rule in RULES} - NOT_PLANTED


def judged(
    folder: Path, engine: dict[str, str], faults: Sequence[Any], *, strangers: bool = False
) -> set[tuple[str, str]]:
    """(rule, resource) of all that the rules say of the platform in prod, every rule being mandatory."""
    project, packages = folder / "project", folder / "packages"
    shutil.copytree(Path(__file__).with_name("planted"), project)
    for kind in ("aws-arm64", "aws-x86_64", "local"):
        (packages / kind).mkdir(parents=True)
        for name in ZIPS:
            (packages / kind / f"{name}.zip").write_bytes(b"")
    (project / "Pulumi.yaml").write_text("name: inference-platform\nruntime: python\n")
    planted = {
        "repository": str(ROOT),
        "strangers": strangers,
        "faults": [dict(zip(("resource", "path", "value"), fault, strict=False)) for fault in faults],
    }
    (folder / "planted.json").write_text(json.dumps(planted))
    levels = {
        rule: {"enforcementLevel": "mandatory", **each.settings}
        for rule, each in settings.load(settings.STRICTEST, RULES).items()
    }
    (folder / "levels.json").write_text(json.dumps(levels))
    events = folder / "events.json"
    events.touch()
    environment = {**engine, "PLANTED": str(folder / "planted.json"), "INFERENCE_PACKAGES": str(packages)}

    def pulumi(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *command], cwd=project, env=environment, capture_output=True, text=True
        )

    pulumi("stack", "init", "prod")
    salt = yaml.safe_load((project / "Pulumi.prod.yaml").read_text())
    config = yaml.safe_load((ROOT / "environments/Pulumi.prod.yaml").read_text())["config"]
    (project / "Pulumi.prod.yaml").write_text(yaml.safe_dump({**salt, "config": config}))
    done = pulumi(
        *("preview", "--non-interactive", "--color", "never", "--stack", "prod"),
        *("--policy-pack", str(ROOT / "policies"), "--policy-pack-config", str(folder / "levels.json")),
        *("--event-log", str(events)),
    )
    said = [json.loads(line).get("policyEvent") for line in events.read_text().splitlines()]
    violations = {(each["policyName"], each["resourceUrn"].rpartition("::")[2]) for each in said if each}
    assert violations and "Traceback" not in done.stdout, done.stdout + done.stderr
    pulumi("stack", "rm", "--yes", "--force", "prod")
    return violations
