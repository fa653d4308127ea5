"""EKS add-ons: parts of the cluster that AWS builds for the cluster's version and patches."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from components.node_group import SYSTEM_TAINT
from components.pod_identity import PodIdentity, PodIdentityArgs
from naming import Names


@dataclass(frozen=True, kw_only=True)
class ClusterAddonsArgs:
    """Arguments of `ClusterAddons`."""

    names: Names
    tags: Mapping[str, str]
    cluster_name: pulumi.Input[str]


class ClusterAddons(pulumi.ComponentResource):
    """What each node needs to become ready, and (`schedule`) what then runs on some node.

    Each is in the version that EKS prefers for the cluster's Kubernetes when the add-on is made, and stays in
    it until someone names another.
    """

    on_every_node: Sequence[pulumi.Resource]

    def __init__(
        self, name: str, args: ClusterAddonsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:cluster_addons:ClusterAddons", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        agent = self._addon("eks-pod-identity-agent", after=[])
        cni = self._identity(
            "cni",
            "kube-system",
            "aws-node",
            "The network plug-in attaches addresses to nodes",
            managed_policy="AmazonEKS_CNI_Policy",
        )
        self.on_every_node = [
            agent,
            self._addon("kube-proxy", after=[]),
            self._addon(
                "vpc-cni",
                after=[agent, cni],
                values={
                    "enableNetworkPolicy": "true",
                    # https://docs.aws.amazon.com/eks/latest/best-practices/prefix-mode-linux.html
                    "env": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
                },
            ),
        ]
        self.register_outputs({})

    def schedule(self, nodes: Sequence[pulumi.Resource]) -> Sequence[pulumi.Resource]:
        """The add-ons that EKS reports as degraded until a node takes them: made after `nodes`."""
        observability = self._identity(
            "observability",
            "amazon-cloudwatch",
            "cloudwatch-agent",
            "The CloudWatch agent writes metrics, logs and traces",
            managed_policy="CloudWatchAgentServerPolicy",
            # X-Ray has no resources to name.
            statements=[iam.allow("Traces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"])],
        )
        return [
            self._addon("coredns", after=nodes),
            self._addon(
                "metrics-server",
                after=nodes,
                values={"tolerations": [{"key": SYSTEM_TAINT, "operator": "Exists"}]},
            ),
            # Also runs NVIDIA's DCGM exporter on nodes that have a GPU.
            self._addon("amazon-cloudwatch-observability", after=[*nodes, observability]),
        ]

    def _addon(
        self, addon: str, *, after: Sequence[pulumi.Resource], values: Mapping[str, Any] | None = None
    ) -> aws.eks.Addon:
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            addon_name=addon,
            cluster_name=self._args.cluster_name,
            configuration_values=json.dumps(values, sort_keys=True) if values is not None else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _identity(
        self,
        role: str,
        namespace: str,
        service_account: str,
        description: str,
        *,
        managed_policy: str,
        statements: Sequence[iam.Statement] = (),
    ) -> PodIdentity:
        return PodIdentity(
            f"{self._name}-{role}",
            PodIdentityArgs(
                names=self._args.names,
                tags=self._args.tags,
                cluster_name=self._args.cluster_name,
                namespace=namespace,
                service_account=service_account,
                description=description,
                managed_policies=[managed_policy],
                statements=statements,
            ),
            opts=self._child,
        )
