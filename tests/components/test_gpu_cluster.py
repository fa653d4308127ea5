"""The control plane, its nodes and its add-ons."""

import json
from typing import Any

import pytest

from tests.components.gpu_programs import NAMES, TAGS, built
from tests.components.recorded import Recorded

CLUSTER = "eks:index:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built(
        baseline={"instance_type": "g6.xlarge"},
        access={"operators": {"principal_arn": "arn:aws:iam::111111111111:role/ops", "level": "admin"}},
    )


def cluster(recorded: Recorded) -> Any:
    return recorded.one(CLUSTER).inputs


def addon(recorded: Recorded, name: str) -> Any:
    [found] = [each for each in recorded.all(ADDON) if each.inputs["addonName"] == name]
    return found


def test_the_api_is_reached_from_inside_the_vpc_only(recorded: Recorded) -> None:
    assert cluster(recorded)["endpointPrivateAccess"] is True
    assert cluster(recorded)["endpointPublicAccess"] is False


def test_secrets_are_encrypted_and_the_cluster_cannot_be_deleted_by_mistake(recorded: Recorded) -> None:
    assert cluster(recorded)["encryptionConfigKeyArn"] == NAMES.arn("kms", "key/secrets")
    assert cluster(recorded)["deletionProtection"] is True
    assert cluster(recorded)["upgradePolicy"] == {"supportType": "STANDARD"}


def test_all_control_plane_logs_go_to_an_encrypted_group_that_exists_before(recorded: Recorded) -> None:
    assert set(cluster(recorded)["enabledClusterLogTypes"]) == {
        "api",
        "audit",
        "authenticator",
        "controllerManager",
        "scheduler",
    }
    group = recorded.named("cluster-eks-logs")
    assert group.inputs["name"] == "/aws/eks/inference-platform-dev/cluster"
    assert group.inputs["retentionInDays"] == 30
    assert group.inputs["kmsKeyId"] == NAMES.arn("kms", "key/logs")
    assert group.urn in recorded.one(CLUSTER).depends_on


def test_access_is_by_entries_alone(recorded: Recorded) -> None:
    assert cluster(recorded)["authenticationMode"] == "API"
    entry = cluster(recorded)["accessEntries"]["operators"]
    assert entry["principalArn"] == "arn:aws:iam::111111111111:role/ops"
    assert entry["accessPolicies"]["admin"]["policyArn"].endswith("/AmazonEKSClusterAdminPolicy")
    assert entry["tags"]["component"] == "gpu-cluster"


def test_nothing_is_made_that_nobody_asked_for(recorded: Recorded) -> None:
    """No default nodes, no default groups, no add-ons outside EKS's own."""
    inputs = cluster(recorded)
    assert inputs["skipDefaultNodeGroup"] is True
    assert inputs["skipDefaultSecurityGroups"] is True
    assert inputs["bootstrapSelfManagedAddons"] is False
    assert inputs["useDefaultVpcCni"] is True
    assert inputs["kubeProxyAddonOptions"] == inputs["corednsAddonOptions"] == {"enabled": False}


def test_only_eks_for_this_account_assumes_the_control_planes_role(recorded: Recorded) -> None:
    [trust] = json.loads(recorded.named("cluster-eks-role").inputs["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "eks.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "111111111111"}}


def test_system_nodes_are_arm64_over_the_zones_and_for_system_pods(recorded: Recorded) -> None:
    nodes = recorded.named("cluster-eks-system-node-group").inputs
    assert nodes["amiType"] == "BOTTLEROCKET_ARM_64"
    assert nodes["scalingConfig"] == {"minSize": 2, "maxSize": 3, "desiredSize": 2}
    assert len(nodes["subnetIds"]) == 2
    assert [taint["key"] for taint in nodes["taints"]] == ["CriticalAddonsOnly"]


def test_a_node_group_keeps_the_size_that_something_else_gave_it(recorded: Recorded) -> None:
    for group in recorded.all(NODE_GROUP):
        assert group.ignore_changes == ("scalingConfig.desiredSize",)


def test_the_gpu_baseline_is_there_when_asked_for_and_tainted(recorded: Recorded) -> None:
    nodes = recorded.named("cluster-eks-gpu-baseline-node-group").inputs
    assert nodes["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"
    assert [(taint["key"], taint["effect"]) for taint in nodes["taints"]] == [
        ("nvidia.com/gpu", "NO_SCHEDULE")
    ]
    assert len(built().all(NODE_GROUP)) == 1


def test_pods_cannot_reach_instance_metadata_and_disks_are_encrypted(recorded: Recorded) -> None:
    for template in recorded.all(TEMPLATE):
        metadata = template.inputs["metadataOptions"]
        assert (metadata["httpTokens"], metadata["httpPutResponseHopLimit"]) == ("required", 1)
        for mapping in template.inputs["blockDeviceMappings"]:
            assert mapping["ebs"]["encrypted"] == "true"
            assert mapping["ebs"]["volumeType"] == "gp3"


def test_instances_and_their_disks_carry_the_cost_tags(recorded: Recorded) -> None:
    wanted = TAGS.component("gpu-cluster").items()
    for template in recorded.all(TEMPLATE):
        for specification in template.inputs["tagSpecifications"]:
            assert wanted <= specification["tags"].items()


def test_pods_can_be_kept_apart_and_nodes_hand_out_blocks_of_addresses(recorded: Recorded) -> None:
    values = json.loads(addon(recorded, "vpc-cni").inputs["configurationValues"])
    assert values["enableNetworkPolicy"] == "true"
    assert values["env"]["ENABLE_PREFIX_DELEGATION"] == "true"


def test_add_ons_come_in_the_order_in_which_they_can_become_ready(recorded: Recorded) -> None:
    nodes = recorded.named("cluster-eks-system-node-group")
    for name in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent"):
        assert addon(recorded, name).urn in nodes.depends_on
    for name in ("coredns", "metrics-server", "amazon-cloudwatch-observability"):
        assert nodes.urn in addon(recorded, name).depends_on


def test_what_uses_the_kubernetes_api_waits_for_nodes_and_add_ons(recorded: Recorded) -> None:
    provider = recorded.named("cluster-eks-kubernetes")
    waits_for = {recorded.named("cluster-eks-system-node-group").urn, addon(recorded, "coredns").urn}
    assert waits_for <= set(provider.depends_on)
    releases = [each for each in recorded.resources if each.type == "kubernetes:helm.sh/v3:Release"]
    assert releases
    assert all(provider.urn in each.provider for each in releases)


def test_the_network_plug_ins_permissions_are_its_own_and_not_the_nodes(recorded: Recorded) -> None:
    attached = [
        (each.name, each.inputs["policyArn"].rpartition("/")[2])
        for each in recorded.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    ]
    assert [name for name, policy in attached if policy == "AmazonEKS_CNI_Policy"] == [
        "cluster-eks-addons-cni-AmazonEKS_CNI_Policy"
    ]
    association = recorded.named("cluster-eks-addons-cni-association").inputs
    assert (association["namespace"], association["serviceAccount"]) == ("kube-system", "aws-node")


def test_only_named_groups_reach_the_kubernetes_api() -> None:
    rules = [
        rule
        for rule in built(api_clients={"deploy": "sg-deploy"}).all(
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
        )
        if rule.inputs["toPort"] == 443 and rule.inputs["securityGroupId"] == "sg-nodes"
    ]
    assert [rule.inputs["referencedSecurityGroupId"] for rule in rules] == ["sg-deploy"]
    assert rules[0].inputs["description"] == "Kubernetes API from deploy"
