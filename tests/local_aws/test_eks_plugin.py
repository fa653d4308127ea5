"""What the eks plug-in refuses, and the pure parts of its expansion (`test_eks_engine.py` does the rest)."""

from typing import Any

import pulumi_eks
import pytest

from local_aws.eks_addons import _cni_values
from local_aws.eks_plugin import _HELD, _OPTIONS, _ami_type, _problems

CLUSTER: dict[str, Any] = {
    "authenticationMode": "API",
    "skipDefaultNodeGroup": True,
    "subnetIds": ["subnet-1"],
    "vpcId": "vpc-1",
}
NODE_GROUP: dict[str, Any] = {"cluster": "a cluster", "nodeRoleArn": "arn:aws:iam::000000000000:role/nodes"}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in CLUSTER.items() if name != key}


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("Cluster", CLUSTER),
        ("Cluster", CLUSTER | {"fargate": False, "vpcCniOptions": {"enableNetworkPolicy": True}}),
        ("ManagedNodeGroup", NODE_GROUP),
        ("Addon", {"cluster": "a cluster", "addonName": "coredns"}),
    ],
)
def test_what_is_held_is_not_refused(component: str, given: dict[str, Any]) -> None:
    assert _problems(f"eks:index:{component}", given) == {}


CLOSED = {"publicAccessCidrs": ["10.0.0.0/8"], "endpointPublicAccess": False}


@pytest.mark.parametrize(
    ("component", "given", "path", "reason"),
    [
        ("Cluster", CLUSTER | {"fargate": True}, "fargate", "does not expand"),
        ("Cluster", CLUSTER | {"storageClasses": "gp3"}, "storageClasses", "does not expand"),
        ("Cluster", CLUSTER | {"inventedInput": 0}, "inventedInput", "does not expand"),
        ("Cluster", CLUSTER | {"vpcCniOptions": {"eniMtu": 1}}, "vpcCniOptions.eniMtu", "does not expand"),
        ("Cluster", CLUSTER | {"authenticationMode": "CONFIG_MAP"}, "authenticationMode", "must be API"),
        ("Cluster", CLUSTER | {"skipDefaultNodeGroup": False}, "skipDefaultNodeGroup", "must be true"),
        ("Cluster", without("vpcId"), "vpcId", "must be given"),
        ("Cluster", without("subnetIds"), "subnetIds", "must be given"),
        ("Cluster", CLUSTER | {"privateSubnetIds": ["a"]}, "subnetIds", "either"),
        ("Cluster", CLUSTER | CLOSED, "publicAccessCidrs", "needs endpointPublicAccess"),
        ("ManagedNodeGroup", NODE_GROUP | {"amiId": "ami-1"}, "amiId", "does not expand"),
        ("ManagedNodeGroup", NODE_GROUP | {"nodeRole": "a role"}, "nodeRole", "either"),
        ("ManagedNodeGroup", {"cluster": "a cluster"}, "nodeRole", "either"),
        ("ManagedNodeGroup", NODE_GROUP | {"enableIMDSv2": True, "diskSize": 9}, "diskSize", "excludes"),
        ("Addon", {"addonName": "coredns", "podIdentity": 1}, "podIdentity", "does not expand"),
        ("NodeGroupV2", {}, "type", "expands eks:index:Addon"),
    ],
)
def test_what_is_not_held_is_refused_by_name(
    component: str, given: dict[str, Any], path: str, reason: str
) -> None:
    problems = _problems(f"eks:index:{component}", given)
    assert problems.keys() == {path}
    assert reason in problems[path]


@pytest.mark.parametrize(
    ("args", "held"),
    [
        (pulumi_eks.ClusterArgs, _HELD["eks:index:Cluster"]),
        (pulumi_eks.ManagedNodeGroupArgs, _HELD["eks:index:ManagedNodeGroup"]),
        (pulumi_eks.AddonArgs, _HELD["eks:index:Addon"]),
        (pulumi_eks.VpcCniOptionsArgs, _OPTIONS["vpcCniOptions"]),
        (pulumi_eks.CoreDnsAddonOptionsArgs, _OPTIONS["corednsAddonOptions"]),
        (pulumi_eks.KubeProxyAddonOptionsArgs, _OPTIONS["kubeProxyAddonOptions"]),
    ],
)
def test_every_input_held_is_one_that_the_sdk_has(args: type, held: set[str]) -> None:
    getters = [value.fget for value in vars(args).values() if isinstance(value, property)]
    names = {getattr(getter, "_pulumi_name", None) or getter.__name__ for getter in getters if getter}
    assert held - names == set()


@pytest.mark.parametrize(
    ("system", "types", "gpu", "expected"),
    [
        ("AL2023", ["m7i.large"], None, "AL2023_x86_64_STANDARD"),
        ("AL2023", ["m7g.large", "c7gn.xlarge"], None, "AL2023_ARM_64_STANDARD"),
        ("AL2023", ["g6.xlarge"], True, "AL2023_x86_64_NVIDIA"),
        ("Bottlerocket", ["t4g.small"], False, "BOTTLEROCKET_ARM_64"),
        ("Bottlerocket", ["g5g.xlarge"], True, "BOTTLEROCKET_ARM_64_NVIDIA"),
        ("Bottlerocket", None, None, "BOTTLEROCKET_x86_64"),
    ],
)
def test_the_ami_type_follows_from_system_processor_and_gpu(
    system: str, types: list[str] | None, gpu: bool | None, expected: str
) -> None:
    assert _ami_type(system, types, gpu) == expected
    assert expected in {kind.value for kind in pulumi_eks.AmiType}


def test_own_values_of_the_cni_add_on_win_over_the_defaults() -> None:
    own = {"env": {"WARM_ENI_TARGET": "0"}, "init": {"image": {"tag": "1"}}, "enableNetworkPolicy": "false"}
    values = _cni_values({"enableNetworkPolicy": True, "configurationValues": own})
    assert values["env"]["WARM_ENI_TARGET"] == "0"
    assert values["env"]["AWS_VPC_ENI_MTU"] == "9001"
    assert values["init"] == {"image": {"tag": "1"}, "env": {"DISABLE_TCP_EARLY_DEMUX": "false"}}
    assert values["enableNetworkPolicy"] == "false"
    assert _cni_values({"enableNetworkPolicy": True})["enableNetworkPolicy"] == "true"
