"""`pulumi-resource-eks` for the local environment and for offline plans: `python -m local_aws.eks_plugin`.

The components of pulumi-eks 4.4 are expanded into the resources that the official plug-in makes; the aws
plug-in then makes or plans them. What needs an account to look something up (AMIs, newest versions, the
default VPC) or a cluster to talk to is not expanded: an input that asks for it is refused by name.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Collection
from importlib.metadata import version
from threading import Thread
from typing import Any

import pulumi_aws as aws
import pulumi_eks as eks
from pulumi import ComponentResource, InputPropertiesError, Inputs, Output, ResourceOptions
from pulumi.provider import ConstructResult, Provider
from pulumi.provider import main as serve

from local_aws.eks_addons import Given, addon
from local_aws.eks_cluster import Cluster

_ADDON = {"configurationValues", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"}
_ADDON_OPTIONS = {*_ADDON, "enabled", "version"}
_OPTIONS = {
    "corednsAddonOptions": _ADDON_OPTIONS,
    "kubeProxyAddonOptions": _ADDON_OPTIONS,
    "vpcCniOptions": {*_ADDON, "addonVersion", "enableNetworkPolicy", "serviceAccountRoleArn"},
}
_CLUSTER = """accessEntries authenticationMode bootstrapSelfManagedAddons clusterSecurityGroup
    clusterSecurityGroupTags clusterTags createOidcProvider deletionProtection enableConfigMapMutable
    enabledClusterLogTypes encryptionConfigKeyArn endpointPrivateAccess endpointPublicAccess instanceRole
    ipFamily kubernetesServiceIpAddressRange name nodeSecurityGroupTags privateSubnetIds
    providerCredentialOpts publicAccessCidrs publicSubnetIds serviceRole skipDefaultNodeGroup
    skipDefaultSecurityGroups subnetIds tags upgradePolicy useDefaultVpcCni version vpcId"""
_PASSED_ON = """capacityType diskSize forceUpdateVersion instanceTypes labels nodeGroupName
    nodeGroupNamePrefix releaseVersion remoteAccess tags taints"""
_NODE_GROUP = """amiType cluster clusterName enableIMDSv2 gpu ignoreScalingChanges launchTemplate nodeRole
    nodeRoleArn operatingSystem scalingConfig subnetIds version"""
_HELD = {
    "eks:index:Addon": {
        *_ADDON,
        "addonName",
        "addonVersion",
        "cluster",
        "preserve",
        "serviceAccountRoleArn",
        "tags",
    },
    "eks:index:Cluster": {*_CLUSTER.split(), *_OPTIONS},
    "eks:index:ManagedNodeGroup": {*_PASSED_ON.split(), *_NODE_GROUP.split()},
}


class ManagedNodeGroup(ComponentResource):
    """A node group of EKS, with a launch template where the program sets `enableIMDSv2`."""

    def __init__(self, name: str, given: Given, opts: ResourceOptions | None) -> None:
        super().__init__("eks:index:ManagedNodeGroup", name, given, opts)
        cluster, subnets = _cluster_of(given)
        template, ami_type = given.get("launchTemplate"), given.get("amiType")
        if ami_type is None and "operatingSystem" in given:
            facts = (given["operatingSystem"], given.get("instanceTypes"), given.get("gpu"))
            ami_type = Output.all(*facts).apply(lambda found: _ami_type(*found))
        if "enableIMDSv2" in given:
            options = aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_tokens="required" if given["enableIMDSv2"] else "optional",
                http_put_response_hop_limit=2,
                http_endpoint="enabled",
            )
            child = ResourceOptions(parent=self)
            made = aws.ec2.LaunchTemplate(f"{name}-launchTemplate", metadata_options=options, opts=child)
            template = {"id": made.id, "version": made.latest_version.apply(str)}
        scaling: Any = Output.from_input(given.get("scalingConfig") or {}).apply(
            lambda sizes: {"desiredSize": 2, "minSize": 1, "maxSize": 2} | dict(sizes)
        )
        role = given["nodeRole"].arn if "nodeRole" in given else given["nodeRoleArn"]
        passed: Any = {_snake(key): given[key] for key in _PASSED_ON.split() if key in given}
        ignored = ["scalingConfig.desiredSize"] if given.get("ignoreScalingChanges") else None
        node_group = aws.eks.NodeGroup(
            name,
            ami_type=ami_type,
            cluster_name=given.get("clusterName") or cluster.name,
            launch_template=template,
            node_role_arn=role,
            scaling_config=scaling,
            subnet_ids=given.get("subnetIds") or subnets,
            version=given.get("version") or (None if "launchTemplate" in given else cluster.version),
            opts=ResourceOptions(parent=self, ignore_changes=ignored),
            **passed,
        )
        self.outputs = {"nodeGroup": node_group, "placementGroupName": ""}
        self.register_outputs(self.outputs)


class Addon(ComponentResource):
    """One add-on; a child of its cluster, wherever the program declares it."""

    def __init__(self, name: str, given: Given, opts: ResourceOptions | None) -> None:
        below = ResourceOptions.merge(opts, ResourceOptions(parent=given["cluster"]))
        super().__init__("eks:index:Addon", name, given, below)
        cluster, _ = _cluster_of(given)
        left_out = dict.fromkeys(("resolveConflictsOnCreate", "resolveConflictsOnUpdate", "preserve"))
        child = ResourceOptions(parent=self)
        addon(name, given["addonName"], cluster, left_out | given, given.get("tags"), child)
        self.outputs: dict[str, Any] = {}
        self.register_outputs({})


class EksProvider(Provider):
    """Answers the engine's Construct calls."""

    def construct(
        self, name: str, resource_type: str, inputs: Inputs, options: ResourceOptions | None = None
    ) -> ConstructResult:
        given: Given = {key: value for key, value in inputs.items() if value is not None}
        problems = _problems(resource_type, given)
        if problems:
            listed: Any = [{"property_path": path, "reason": reason} for path, reason in problems.items()]
            raise InputPropertiesError(f"{resource_type} {name} cannot be expanded locally", listed)
        kinds = {"eks:index:Cluster": Cluster, "eks:index:ManagedNodeGroup": ManagedNodeGroup}
        made: Any = kinds.get(resource_type, Addon)(name, given, options)
        return ConstructResult(made.urn, made.outputs)


def _problems(resource_type: str, given: Given) -> dict[str, str]:
    """Property path -> why it is refused."""
    if resource_type not in _HELD:
        return {"type": f"the local eks plug-in expands {', '.join(_HELD)} only"}
    problems = _unknown(given, _HELD[resource_type])
    for key, held in _OPTIONS.items():
        problems |= _unknown(given.get(key) or {}, held, f"{key}.")
    if resource_type == "eks:index:Cluster":
        problems |= _cluster_problems(given)
    if resource_type == "eks:index:ManagedNodeGroup":
        problems |= _node_group_problems(given)
    return problems


def _unknown(given: Given, held: Collection[str], path: str = "") -> dict[str, str]:
    reason = "the local eks plug-in does not expand this input"
    return {path + key: reason for key, value in given.items() if key not in held and value is not False}


def _cluster_problems(given: Given) -> dict[str, str]:
    problems = {}
    if given.get("authenticationMode") != "API":
        problems["authenticationMode"] = "must be API: the aws-auth ConfigMap is deprecated"
    if not given.get("skipDefaultNodeGroup"):
        problems["skipDefaultNodeGroup"] = (
            "must be true: default nodes need an AMI; declare a ManagedNodeGroup"
        )
    if "vpcId" not in given:
        problems["vpcId"] = "must be given: the default VPC is looked up in the account"
    sides = given.keys() & {"publicSubnetIds", "privateSubnetIds"}
    if ("subnetIds" in given) == bool(sides):
        problems["subnetIds"] = "either subnetIds, or publicSubnetIds and privateSubnetIds must be given"
    if "publicAccessCidrs" in given and given.get("endpointPublicAccess") is False:
        problems["publicAccessCidrs"] = "needs endpointPublicAccess"
    return problems


def _node_group_problems(given: Given) -> dict[str, str]:
    problems = {}
    if ("nodeRole" in given) == ("nodeRoleArn" in given):
        problems["nodeRole"] = "either nodeRole or nodeRoleArn must be given"
    for key in given.keys() & {"launchTemplate", "diskSize"} if "enableIMDSv2" in given else ():
        problems[key] = "excludes enableIMDSv2: set both in a launch template of your own"
    return problems


def _cluster_of(given: Given) -> tuple[Any, Any]:
    """The aws.eks.Cluster and the subnets of the input `cluster`: an eks.Cluster, or the `core` of one."""
    cluster = given["cluster"]
    if isinstance(cluster, eks.Cluster):
        return cluster.eks_cluster, cluster.core.subnet_ids
    return cluster["cluster"], cluster["subnetIds"]


def _ami_type(system: str, instance_types: list[str] | None, gpu: bool | None) -> str:
    """The EKS-optimized AMI of an operating system for the instances' processor."""
    arm = any(re.match(r"[a-z]+[0-9]+g", kind) for kind in instance_types or [])
    processor = "ARM_64" if arm else "x86_64"
    if system == "Bottlerocket":
        return f"BOTTLEROCKET_{processor}{'_NVIDIA' if gpu else ''}"
    return f"{system}_{processor}_{'NVIDIA' if gpu else 'STANDARD'}"


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", key).lower()


def _end_with_engine() -> None:
    engine = os.getppid()
    while os.getppid() == engine:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    # The engine gives all its plug-ins 5 s together: no time for the interpreter to take modules apart.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    Thread(target=_end_with_engine, daemon=True).start()
    serve(EksProvider(version("pulumi-eks")), sys.argv[1:])
