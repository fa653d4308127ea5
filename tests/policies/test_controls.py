"""The mapping of rules to the controls of frameworks."""

import json
from pathlib import Path

import policies
from policies.rules import RULES

FRAMEWORKS = json.loads((Path(policies.__file__).parent / "controls.json").read_text())

# What no framework asks for: mostly what things cost, and how the platform governs itself.
OWN = """
approved-aws-services
budget-action-dev
budget-required
cost-anomaly-monitor
eks-no-extended-support-billing
estimated-monthly-cost-cap
gateway-endpoints-s3-ddb
gpu-nodegroup-scale-to-zero
gpu-nodes-tainted
iam-permissions-boundary
interface-endpoint-budget
lambda-no-provisioned-concurrency-dev
max-node-count
protect-stateful-prod
required-tags
s3-no-force-destroy-prod
sagemaker-autoscaling-required
sagemaker-data-capture
sagemaker-dev-scale-to-zero
sagemaker-instance-allow-list
sagemaker-instance-count-cap
waiver-hygiene
"""


def mapped() -> set[str]:
    return {
        rule
        for framework in FRAMEWORKS.values()
        for rules in framework["controls"].values()
        for rule in rules
    }


def test_every_rule_of_the_mapping_exists() -> None:
    assert mapped() <= {rule.id for rule in RULES}


def test_every_rule_is_mapped_or_is_our_own() -> None:
    assert sorted({rule.id for rule in RULES} - mapped()) == OWN.split()


def test_the_frameworks_of_the_auditors_are_there() -> None:
    assert {
        "AWS Foundational Security Best Practices",
        "CIS AWS 3.0.0",
        "CIS EKS 1.8.0",
        "NIST 800-53 r5",
    } < set(FRAMEWORKS)
    assert {"checkov", "trivy"} < set(FRAMEWORKS)


def test_a_control_names_each_rule_once_in_order() -> None:
    for framework in FRAMEWORKS.values():
        assert framework["title"]
        for control, rules in framework["controls"].items():
            assert rules and rules == sorted(set(rules)), control
