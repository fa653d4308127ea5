"""What remediation sets, in every form of resource that it knows."""

from typing import Any

import pytest

from policies.resources import UNKNOWN, Undecided
from policies.rule import ResourceRule, Sample
from policies.rules import RULES

LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE = "aws:ec2/instance:Instance"
NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
BUCKET = "aws:s3/bucket:Bucket"


@pytest.mark.parametrize(
    ("rule_id", "type_", "props", "becomes"),
    [
        (
            "kms-rotation",
            "aws:kms/key:Key",
            {"description": "a"},
            {"description": "a", "enableKeyRotation": True},
        ),
        (
            "nodes-imdsv2-required",
            LAUNCH_TEMPLATE,
            {"metadataOptions": {"httpPutResponseHopLimit": 1}},
            {"metadataOptions": {"httpPutResponseHopLimit": 1, "httpTokens": "required"}},
        ),
        (
            "nodes-imdsv2-required",
            NODE_CLASS,
            {"spec": {"role": "r", "metadataOptions": {"httpTokens": "optional"}}},
            {"spec": {"role": "r", "metadataOptions": {"httpTokens": "required"}}},
        ),
        ("ebs-encrypted", "aws:ebs/volume:Volume", {"size": 1}, {"size": 1, "encrypted": True}),
        (
            "ebs-encrypted",
            LAUNCH_TEMPLATE,
            {"blockDeviceMappings": [{"deviceName": "a", "ebs": {"volumeSize": 1}}, {"noDevice": "b"}]},
            {
                "blockDeviceMappings": [
                    {"deviceName": "a", "ebs": {"volumeSize": 1, "encrypted": "true"}},
                    {"noDevice": "b"},
                ]
            },
        ),
        (
            "ebs-encrypted",
            INSTANCE,
            {"rootBlockDevice": {"volumeSize": 1}, "ebsBlockDevices": [{"deviceName": "a"}]},
            {
                "rootBlockDevice": {"volumeSize": 1, "encrypted": True},
                "ebsBlockDevices": [{"deviceName": "a", "encrypted": True}],
            },
        ),
        (
            "gp3-over-gp2",
            NODE_CLASS,
            {"spec": {"blockDeviceMappings": [{"ebs": {"volumeType": "gp2"}}]}},
            {"spec": {"blockDeviceMappings": [{"ebs": {"volumeType": "gp3"}}]}},
        ),
        ("gp3-over-gp2", "aws:ebs/volume:Volume", {"size": 1}, {"size": 1, "type": "gp3"}),
        (
            "ecr-scan-on-push",
            "aws:ecr/repository:Repository",
            {"name": "a"},
            {"name": "a", "imageScanningConfiguration": {"scanOnPush": True}},
        ),
        (
            "required-tags",
            BUCKET,
            {"tags": {"owner": "me", "extra": "x"}},
            {"tags": {"owner": "me", "extra": "x", "environment": "prod", "cost-center": "c"}},
        ),
        ("required-tags", BUCKET, {}, {"tags": {"owner": "o", "environment": "prod", "cost-center": "c"}}),
        ("required-tags", "aws:autoscaling/group:Group", {}, {}),
    ],
)
def test_it_sets_what_is_missing_and_leaves_the_rest(
    rule_id: str, type_: str, props: Any, becomes: Any, as_resource: Any, patched: Any
) -> None:
    (rule,) = (rule for rule in RULES if rule.id == rule_id)
    assert isinstance(rule, ResourceRule) and rule.remedy is not None
    settings = {
        "tags": ["environment", "owner", "cost-center", "component"],
        "fillIn": {"owner": "o", "cost-center": "c", "unasked": "u"},
        "allowedValues": {},
    }
    patches = rule.remedy(as_resource(Sample(type=type_, props=props)), settings)
    assert patched(props, patches) == becomes


def test_rules_that_can_correct_are_these() -> None:
    assert sorted(rule.id for rule in RULES if isinstance(rule, ResourceRule) and rule.remedy) == [
        "ebs-encrypted",
        "ecr-scan-on-push",
        "gp3-over-gp2",
        "kms-rotation",
        "nodes-imdsv2-required",
        "required-tags",
    ]


def test_an_unknown_list_of_disks_is_left_to_the_rule_to_report(as_resource: Any) -> None:
    (rule,) = (rule for rule in RULES if rule.id == "ebs-encrypted")
    given = as_resource(Sample(type=LAUNCH_TEMPLATE, props={"blockDeviceMappings": UNKNOWN}))
    assert isinstance(rule, ResourceRule) and rule.remedy is not None
    with pytest.raises(Undecided):
        list(rule.remedy(given, {}))
