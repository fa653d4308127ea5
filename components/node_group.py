"""A managed node group: an Auto Scaling group of Bottlerocket nodes that EKS updates."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from components.bottlerocket import DATA_DEVICE, SOCI_PARALLEL_PULL
from components.node_role import NodeRole, NodeRoleArgs

GPU_TAINT = "nvidia.com/gpu"
"""Keeps pods that ask for no GPU off the nodes that have one."""
SYSTEM_TAINT = "CriticalAddonsOnly"
"""Keeps everything but the platform's own pods off the nodes that the cluster cannot do without."""


@dataclass(frozen=True, kw_only=True)
class NodeGroupArgs:
    """Arguments of `NodeGroup`."""

    tags: Mapping[str, str]
    cluster_name: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    description: str
    instance_types: Sequence[str]
    """EC2 instance types, in the order of preference."""
    architecture: Literal["arm64", "x86_64"]
    """Of the instance types."""
    min_size: int
    """Fewest nodes."""
    max_size: int
    """Most nodes."""
    gpu: bool = False
    """Whether the nodes have GPUs: their image has the driver, and only GPU pods run there."""
    data_volume_gib: int = 30
    """Size of the volume that holds images and logs, in GiB."""
    after: Sequence[pulumi.Resource] = ()
    """What a node needs to become ready, e.g. the network add-on."""


class NodeGroup(pulumi.ComponentResource):
    """Nodes over all given subnets, reached by Session Manager only.

    Volumes are encrypted with the account's default key for EBS: with another one, Auto Scaling's
    service-linked role would have to be named in that key's policy.
    """

    node_group: aws.eks.NodeGroup

    def __init__(self, name: str, args: NodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:node_group:NodeGroup", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = NodeRole(f"{name}-node", NodeRoleArgs(tags=args.tags, description=args.description), child)
        template = aws.ec2.LaunchTemplate(
            f"{name}-launch-template",
            description=args.description,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,  # out of reach for pods: they have roles of their own
            },
            block_device_mappings=[
                {"device_name": "/dev/xvda", "ebs": _volume(4)},
                {"device_name": DATA_DEVICE, "ebs": _volume(args.data_volume_gib)},
            ],
            user_data=base64.b64encode(SOCI_PARALLEL_PULL.encode()).decode() if args.gpu else None,
            tag_specifications=[
                {"resource_type": kind, "tags": args.tags}
                for kind in ("instance", "volume", "network-interface")
            ],
            tags=args.tags,
            opts=child,
        )
        system = f"BOTTLEROCKET_{'ARM_64' if args.architecture == 'arm64' else 'x86_64'}"
        self.node_group = aws.eks.NodeGroup(
            f"{name}-node-group",
            cluster_name=args.cluster_name,
            node_role_arn=role.arn,
            subnet_ids=args.subnet_ids,
            ami_type=f"{system}_NVIDIA" if args.gpu else system,
            instance_types=args.instance_types,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={
                "min_size": args.min_size,
                "max_size": args.max_size,
                "desired_size": args.min_size,
            },
            update_config={"max_unavailable": 1},
            node_repair_config={"enabled": True},
            taints=[
                {
                    "key": GPU_TAINT if args.gpu else SYSTEM_TAINT,
                    "value": "present",
                    "effect": "NO_SCHEDULE",
                }
            ],
            tags=args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*role.policies, *args.after],
                ignore_changes=["scalingConfig.desiredSize"],
            ),
        )
        self.register_outputs({})


def _volume(size_gib: int) -> aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgsDict:
    return {
        "volume_size": size_gib,
        "volume_type": "gp3",
        "encrypted": "true",
        "delete_on_termination": "true",
    }
