"""What holds for every rule, whatever it is about."""

from dataclasses import replace
from typing import Any

import pytest

from policies.rule import ResourceRule, Rule, Sample
from policies.rules import RULES

IDS = """
alarm-has-actions
apigw-access-logs
apigw-authorizer-required
apigw-no-cache-dev
apigw-no-data-trace
apigw-no-wildcard-cors
apigw-request-validation
apigw-throttling
apigw-tls12-domain
apigw-waf-associated
apigw-xray
approved-aws-services
approved-region-and-account
budget-action-dev
budget-required
cloudtrail-baseline
cloudtrail-single-management-trail
cognito-admin-create-only
cognito-client-hardening
cognito-deletion-protection
cognito-mfa
cognito-no-guest-identities
cognito-password-policy
cognito-threat-protection
cost-anomaly-monitor
ebs-encrypted
ebs-encryption-by-default
ebs-size-cap
ecr-immutable-tags
ecr-kms
ecr-lifecycle-policy
ecr-not-public
ecr-scan-on-push
eks-api-auth-mode
eks-cni-network-policy
eks-control-plane-logs-all
eks-deletion-protection
eks-no-extended-support-billing
eks-no-public-endpoint
eks-nodegroup-no-open-ssh
eks-nodes-private-subnets
eks-private-endpoint-on
eks-public-cidrs-restricted
eks-secrets-kms
eks-supported-version
estimated-monthly-cost-cap
gateway-endpoints-s3-ddb
gp3-over-gp2
gpu-instance-allow-list
gpu-nodegroup-scale-to-zero
gpu-nodes-tainted
graviton-advisory
iam-kms-decrypt-scoped
iam-no-admin-star
iam-no-broad-managed-policies
iam-no-privilege-escalation
iam-no-service-wildcard
iam-no-users-or-keys
iam-passrole-scoped
iam-permissions-boundary
iam-resource-star-justified
iam-trust-policy-scoped
interface-endpoint-budget
k8s-image-pinned
k8s-pod-security
k8s-resource-limits
kms-deletion-window
kms-key-count-cap
kms-no-wildcard-principal
kms-rotation
lambda-arm64
lambda-dlq-for-async
lambda-env-kms
lambda-in-vpc
lambda-log-group-managed
lambda-no-plaintext-secrets
lambda-no-provisioned-concurrency-dev
lambda-permission-scoped
lambda-reserved-concurrency
lambda-runtime-supported
lambda-timeout-memory-caps
lambda-tracing-active
lambda-url-auth
log-group-kms
log-retention-bounded
max-node-count
nat-gateway-count
no-secrets-in-user-data
no-unattached-eip
node-no-public-ip
nodes-imds-hop-limit
nodes-imdsv2-required
previous-generation-instances
private-endpoints-prod
protect-stateful-prod
required-tags
s3-access-logging
s3-lifecycle-required
s3-no-acls
s3-no-force-destroy-prod
s3-public-access-block
s3-sse-kms
s3-tls-only-policy
s3-versioning
sagemaker-autoscaling-required
sagemaker-data-capture
sagemaker-dev-scale-to-zero
sagemaker-endpoint-kms
sagemaker-ha-instance-count
sagemaker-instance-allow-list
sagemaker-instance-count-cap
sagemaker-model-in-vpc
sagemaker-model-network-isolation
sagemaker-model-private-image
sagemaker-notebook-hardened
savings-plan-advisory
secret-cmk-and-rotation
sg-described
sg-no-world-ingress
sg-restricted-egress
spot-in-nonprod
subnet-no-auto-public-ip
vpc-default-sg-closed
vpc-flow-logs
waf-has-rules-and-default
waf-metrics-and-logging
waiver-hygiene
"""

# Its examples are entries of the waiver file, not resources; tests/policies/test_waivers.py has them.
WITH_EXAMPLES = [rule for rule in RULES if rule.id != "waiver-hygiene"]


def named(rule: Rule) -> str:
    return rule.id


def test_the_set_of_rules_is_pinned() -> None:
    assert sorted(rule.id for rule in RULES) == IDS.split()


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_metadata_says_what_why_and_how(rule: Rule) -> None:
    assert 10 <= len(rule.title) <= 110 and not rule.title.endswith(".")
    assert len(rule.why) >= 30 and rule.why.endswith(".")
    assert len(rule.fix) >= 15 and not rule.fix.endswith(".")
    assert rule.types and rule.good and rule.bad


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_the_good_example_is_kept_and_the_bad_one_refused(rule: Rule, check: Any) -> None:
    assert check(rule.id, rule.good) == []
    found = check(rule.id, rule.bad)
    assert found and not any(finding.undecided for finding in found)


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_a_resource_of_another_type_is_not_judged(rule: Rule, check: Any) -> None:
    other = Sample(type="random:index/randomId:RandomId", props=rule.bad[0].props)
    assert check(rule.id, [other]) == []


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_an_unknown_value_never_makes_a_violation_pass(rule: Rule, check: Any, with_one_unknown: Any) -> None:
    """Each property of the bad example in turn is unknown: the rule still says something."""
    for samples in with_one_unknown(rule.bad):
        assert check(rule.id, samples), samples


# What `required-tags` can set depends on its thresholds: tests/policies/test_rules_cost.py.
WITH_REMEDIES = [
    rule for rule in RULES if isinstance(rule, ResourceRule) and rule.remedy and rule.id != "required-tags"
]


@pytest.mark.parametrize("rule", WITH_REMEDIES, ids=named)
def test_a_remedy_makes_the_bad_example_good(
    rule: ResourceRule, check: Any, configs: Any, as_resource: Any, patched: Any
) -> None:
    (bad,) = rule.bad
    assert rule.remedy is not None
    patches = rule.remedy(as_resource(bad), configs[rule.id].settings)
    assert check(rule.id, [replace(bad, props=patched(bad.props, patches))]) == []
