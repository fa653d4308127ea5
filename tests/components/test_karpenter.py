"""Karpenter's permissions, its nodes' role and its interruption queue."""

import json

import pytest

from components.karpenter import queue_policy
from components.network import NatStrategy
from tests.components.gpu_programs import NAMES, built, statements
from tests.components.recorded import Recorded

CLUSTER = "inference-platform-dev"
OWNED = f"kubernetes.io/cluster/{CLUSTER}"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


def test_nodes_may_join_the_cluster(recorded: Recorded) -> None:
    entry = recorded.named("cluster-karpenter-access-entry").inputs
    assert entry["type"] == "EC2_LINUX"
    assert entry["principalArn"].endswith(":cluster-karpenter-node-role")


def test_nodes_get_an_instance_profile_that_exists(recorded: Recorded) -> None:
    profile = recorded.named("cluster-karpenter-instance-profile")
    assert profile.inputs["role"] == "cluster-karpenter-node-role-1234567"
    node_class = recorded.named("cluster-pools-node-class").inputs["spec"]
    assert node_class["instanceProfile"] == "cluster-karpenter-instance-profile-1234567"
    assert "role" not in node_class


def test_the_controller_changes_nothing_in_iam(recorded: Recorded) -> None:
    actions = [
        action
        for statement in statements(recorded, "cluster-karpenter-controller").values()
        for action in statement["Action"]
        if action.startswith("iam:")
    ]
    assert sorted(actions) == ["iam:GetInstanceProfile", "iam:ListInstanceProfiles", "iam:PassRole"]
    passing = statements(recorded, "cluster-karpenter-controller")["PassNodeRole"]
    assert passing["Resource"] == ["arn:aws:mock:us-east-1:111111111111:cluster-karpenter-node-role"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_without_a_way_out_of_the_vpc_nothing_is_asked_that_cannot_be_reached() -> None:
    isolated = built(nat=NatStrategy.NONE)
    assert statements(built(), "cluster-karpenter-controller").keys() - statements(
        isolated, "cluster-karpenter-controller"
    ).keys() == {"ReadPrices", "ListInstanceProfiles", "ReadInstanceProfiles"}
    assert isolated.named("cluster-charts-karpenter").inputs["values"]["settings"]["isolatedVPC"] is True


@pytest.mark.parametrize("sid", ["UseOwnLaunchTemplates", "TagInstances", "Delete"])
def test_it_touches_only_what_carries_the_clusters_tag(recorded: Recorded, sid: str) -> None:
    condition = statements(recorded, "cluster-karpenter-controller")[sid]["Condition"]
    assert condition["StringEquals"][f"aws:ResourceTag/{OWNED}"] == "owned"
    assert condition["StringLike"] == {"aws:ResourceTag/karpenter.sh/nodepool": "*"}


@pytest.mark.parametrize("sid", ["Create", "TagOnCreation"])
def test_it_creates_only_what_carries_the_clusters_tag(recorded: Recorded, sid: str) -> None:
    condition = statements(recorded, "cluster-karpenter-controller")[sid]["Condition"]
    assert condition["StringEquals"][f"aws:RequestTag/{OWNED}"] == "owned"
    assert condition["StringEquals"]["aws:RequestTag/eks:eks-cluster-name"] == CLUSTER


def test_only_reading_is_allowed_on_everything(recorded: Recorded) -> None:
    anywhere = {
        action
        for statement in statements(recorded, "cluster-karpenter-controller").values()
        if statement["Resource"] == ["*"]
        for action in statement["Action"]
    }
    assert anywhere
    assert all(action.partition(":")[2].startswith(("Describe", "Get", "List")) for action in anywhere)


def test_it_may_encrypt_volumes_with_their_key_through_ec2_alone(recorded: Recorded) -> None:
    for sid in ("EncryptVolumes", "AttachVolumes"):
        statement = statements(recorded, "cluster-karpenter-controller")[sid]
        assert statement["Resource"] == [NAMES.arn("kms", "key/data")]
        assert statement["Condition"]["StringEquals"] == {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}


def test_only_the_service_account_of_this_cluster_gets_the_role(recorded: Recorded) -> None:
    [trust] = json.loads(recorded.named("cluster-karpenter-controller-role").inputs["assumeRolePolicy"])[
        "Statement"
    ]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert set(trust["Action"]) == {"sts:AssumeRole", "sts:TagSession"}
    assert trust["Condition"]["StringEquals"] == {
        "aws:SourceAccount": "111111111111",
        "aws:RequestTag/kubernetes-namespace": "kube-system",
        "aws:RequestTag/kubernetes-service-account": "karpenter",
    }
    assert trust["Condition"]["ArnEquals"] == {
        "aws:SourceArn": f"arn:aws:eks:us-east-1:111111111111:cluster/{CLUSTER}"
    }
    values = recorded.named("cluster-charts-karpenter").inputs["values"]
    assert values["serviceAccount"] == {"name": "karpenter"}


def test_every_kind_of_interruption_reaches_the_queue(recorded: Recorded) -> None:
    rules = {
        rule.name: json.loads(rule.inputs["eventPattern"])["detail-type"][0]
        for rule in recorded.all("aws:cloudwatch/eventRule:EventRule")
    }
    assert set(rules.values()) == {
        "AWS Health Event",
        "EC2 Spot Instance Interruption Warning",
        "EC2 Instance Rebalance Recommendation",
        "EC2 Instance State-change Notification",
        "EC2 Capacity Reservation Instance Interruption Warning",
    }
    targets = recorded.all("aws:cloudwatch/eventTarget:EventTarget")
    assert {target.inputs["arn"] for target in targets} == {
        "arn:aws:mock:us-east-1:111111111111:cluster-karpenter-interruptions"
    }
    assert len(targets) == len(rules)
    values = recorded.named("cluster-charts-karpenter").inputs["values"]
    assert values["settings"]["interruptionQueue"] == "cluster-karpenter-interruptions-1234567"


def test_only_these_rules_write_into_the_queue_and_only_over_tls() -> None:
    rules = ["arn:aws:events:us-east-1:111111111111:rule/a"]
    allowed, denied = json.loads(queue_policy("arn:queue", rules))["Statement"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": rules}}
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
