"""Which GPU nodes Karpenter may start, and how they are set up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes

from components.bottlerocket import DATA_DEVICE, SOCI_PARALLEL_PULL
from components.node_group import GPU_TAINT
from components.tags import Tags
from naming import Names

BOTTLEROCKET_VERSION = "v1.64.0"
"""Release of the nodes' system, with NVIDIA's driver and device plug-in in it. A new one replaces
all nodes."""
_NODE_CLASS = "gpu"


@dataclass(frozen=True, kw_only=True)
class NodePoolsArgs:
    """Arguments of `NodePools`."""

    names: Names
    tags: Tags
    cluster_name: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    """Security group of the nodes."""
    instance_profile: pulumi.Input[str]
    """Name of the instance profile that nodes run with."""
    volumes_key_arn: pulumi.Input[str]
    """KMS key of the nodes' volumes."""
    instance_types: Sequence[str]
    """Accelerators that the models ask for."""
    gpus: int
    """Most GPUs at a time: what all models take at their maxima, and the spare replicas of an update."""
    capacity_types: Sequence[Literal["spot", "on-demand"]] = ("spot", "on-demand")
    """Karpenter tries the cheapest of them first; spot nodes may be taken back within two minutes."""
    capacity_reservation_ids: Sequence[str] = ()
    """On-demand capacity reservations, which are paid for whether used or not, and so are used first."""
    idle_minutes: int = 10
    """How long an empty node stays; longer than a model's own wait for work is of no use."""
    after: Sequence[pulumi.Resource] = ()
    """Karpenter's release: it must run to remove the nodes when the pools go."""


class NodePools(pulumi.ComponentResource):
    """Reserved GPU nodes first, then spot and on-demand ones, and no more than the catalogue can use.

    A node leaves when it is empty and only then: moving a model from a half-used node would cost the minutes
    in which it loads. Deleting a pool ends its nodes before anything that they need is deleted.
    """

    def __init__(self, name: str, args: NodePoolsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:node_pools:NodePools", name, None, opts)
        self._name, self._args = name, args
        node_class = kubernetes.apiextensions.CustomResource(
            f"{name}-node-class",
            api_version="karpenter.k8s.aws/v1",
            kind="EC2NodeClass",
            metadata={"name": _NODE_CLASS},
            spec=self._node_class_spec(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after),
        )
        if args.capacity_reservation_ids:
            self._pool("gpu-reserved", 100, ["reserved"], node_class)
        self._pool("gpu", 10, args.capacity_types, node_class)
        self.register_outputs({})

    def _node_class_spec(self) -> Mapping[str, Any]:
        args = self._args
        reserved = {
            "capacityReservationSelectorTerms": [{"id": id_} for id_ in args.capacity_reservation_ids]
        }
        return {
            "amiSelectorTerms": [{"alias": f"bottlerocket@{BOTTLEROCKET_VERSION}"}],
            "instanceProfile": args.instance_profile,
            "subnetSelectorTerms": [{"tags": {"karpenter.sh/discovery": args.cluster_name}}],
            "securityGroupSelectorTerms": [{"id": args.security_group_id}],
            "associatePublicIPAddress": False,
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 1,  # out of reach for pods: they have roles of their own
            },
            # Images and pods' volumes on the instance's own NVMe disks, which are encrypted in hardware.
            "instanceStorePolicy": "RAID0",
            "blockDeviceMappings": [
                {"deviceName": "/dev/xvda", "ebs": self._volume("4Gi")},
                {"deviceName": DATA_DEVICE, "ebs": self._volume("100Gi", iops=6000, throughput=500)},
            ],
            "userData": SOCI_PARALLEL_PULL,
            "tags": {**args.tags.component("gpu-nodes"), "Name": f"{args.names.prefix}-gpu"},
            **(reserved if args.capacity_reservation_ids else {}),
        }

    def _volume(self, size: str, **speed: int) -> Mapping[str, Any]:
        return {
            "volumeSize": size,
            "volumeType": "gp3",
            "encrypted": True,
            "kmsKeyID": self._args.volumes_key_arn,
            "deleteOnTermination": True,
            **speed,
        }

    def _pool(
        self, pool: str, weight: int, capacity_types: Sequence[str], node_class: pulumi.Resource
    ) -> None:
        args = self._args
        kubernetes.apiextensions.CustomResource(
            f"{self._name}-{pool}",
            api_version="karpenter.sh/v1",
            kind="NodePool",
            metadata={"name": pool},
            spec={
                "weight": weight,  # the highest is tried first
                "limits": {GPU_TAINT: str(args.gpus)},
                "disruption": {
                    "consolidationPolicy": "WhenEmpty",
                    "consolidateAfter": f"{args.idle_minutes}m",
                    "budgets": [
                        {"nodes": "100%", "reasons": ["Empty"]},
                        {"nodes": "1", "reasons": ["Drifted"]},
                    ],
                },
                "template": {
                    "spec": {
                        "nodeClassRef": {
                            "group": "karpenter.k8s.aws",
                            "kind": "EC2NodeClass",
                            "name": _NODE_CLASS,
                        },
                        "expireAfter": "720h",  # a month: no node misses a system update for longer
                        "terminationGracePeriod": "1h",  # then pods that block a drain go anyway
                        "taints": [{"key": GPU_TAINT, "value": "present", "effect": "NoSchedule"}],
                        "requirements": [
                            _in("node.kubernetes.io/instance-type", args.instance_types),
                            _in("karpenter.sh/capacity-type", capacity_types),
                            _in("kubernetes.io/arch", ["amd64"]),
                        ],
                    }
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[node_class]),
        )


def _in(key: str, values: Sequence[str]) -> Mapping[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}
