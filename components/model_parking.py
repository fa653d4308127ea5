"""What parks models in the cluster: a function in the VPC that may change one annotation of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.function import (
    Function,
    FunctionArgs,
    FunctionDefaults,
    FunctionNetwork,
    failure_statement,
    tell_failures,
)
from components.network import Network
from components.network_policies import NAMESPACE
from components.packages import Package
from components.parking import FUNCTION

_GROUP = "inference:parking"
"""Kubernetes group of the function's role."""


@dataclass(frozen=True, kw_only=True)
class ModelParkingArgs:
    """Arguments of `ModelParking`."""

    defaults: FunctionDefaults
    """Shared with the other functions: names, tags, keys and logs."""
    package: Package
    network: Network
    cluster: Cluster
    models: Sequence[str]
    """Names of the models that it may park."""


class ModelParking(pulumi.ComponentResource):
    """A function that reaches the cluster's private API server, and there may patch the models' scalers only.

    KEDA's rules are Kubernetes objects: no AWS API holds a model at no replica. Its callers are the schedules
    and the alarms on idle GPUs (`CostGuard`).
    """

    def __init__(self, name: str, args: ModelParkingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:model_parking:ModelParking", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.defaults.tags.component("cost-guard")
        place = args.cluster.kubeconfig.apply(api_server)
        function = Function(
            f"{name}-function",
            FunctionArgs(
                defaults=args.defaults,
                component="cost-guard",
                role_name=FUNCTION,
                description="Parks models in the cluster and wakes them",
                package=args.package,
                handler="serving.parking.handler",
                environment={
                    "CLUSTER_NAME": args.cluster.cluster_name,
                    "CLUSTER_URL": place.apply(lambda found: found["server"]),
                    "CLUSTER_CA": place.apply(lambda found: found["certificate-authority-data"]),
                    "NAMESPACE": NAMESPACE,
                },
                network=FunctionNetwork(
                    subnet_ids=args.network.private_subnet_ids, security_group_id=self._way_to_the_cluster()
                ),
                statements=[failure_statement(args.defaults.names)],
                timeout_s=30,
                reserved_concurrency=max(1, len(args.models)),
            ),
            opts=self._child,
        )
        with_alias = pulumi.ResourceOptions(parent=self, depends_on=[function])
        tell_failures(f"{name}-failures", function.function_name, args.defaults.names, with_alias)
        self._may_patch(function.role_arn)
        self.register_outputs({})

    def _way_to_the_cluster(self) -> pulumi.Output[str]:
        """A security group from which nothing but the API server is reached."""
        group = aws.ec2.SecurityGroup(
            f"{self._name}-group",
            vpc_id=self._args.network.vpc_id,
            description="The function that parks models",
            tags=self._tags,
            opts=self._child,
        )
        cluster = self._args.cluster.security_group_id
        to_api: dict[str, Any] = {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "tags": self._tags}
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-to-api",
            security_group_id=group.id,
            referenced_security_group_id=cluster,
            description="Kubernetes API",
            **to_api,
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-from-function",
            security_group_id=cluster,
            referenced_security_group_id=group.id,
            description="Kubernetes API from the function that parks models",
            **to_api,
            opts=self._child,
        )
        return group.id

    def _may_patch(self, role_arn: pulumi.Output[str]) -> None:
        args = self._args
        aws.eks.AccessEntry(
            f"{self._name}-access-entry",
            cluster_name=args.cluster.cluster_name,
            principal_arn=role_arn,
            type="STANDARD",
            kubernetes_groups=[_GROUP],
            tags=self._tags,
            opts=self._child,
        )
        metadata: kubernetes.meta.v1.ObjectMetaArgsDict = {
            "name": FUNCTION,
            "namespace": args.cluster.namespace,
            "labels": {"app.kubernetes.io/part-of": args.defaults.names.platform},
        }
        role = kubernetes.rbac.v1.Role(
            f"{self._name}-patch-scalers",
            metadata=metadata,
            rules=[
                {
                    "api_groups": ["keda.sh"],
                    "resources": ["scaledobjects"],
                    "resource_names": [f"model-{model}" for model in sorted(args.models)],
                    "verbs": ["patch"],
                }
            ],
            opts=self._child,
        )
        kubernetes.rbac.v1.RoleBinding(
            f"{self._name}-patch-scalers-binding",
            metadata=metadata,
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
            subjects=[{"api_group": "rbac.authorization.k8s.io", "kind": "Group", "name": _GROUP}],
            opts=self._child,
        )


def api_server(kubeconfig: str) -> Mapping[str, str]:
    """Of a kubeconfig (JSON): the API server's `server` and its `certificate-authority-data` (base64)."""
    found: Mapping[str, str] = json.loads(kubeconfig)["clusters"][0]["cluster"]
    return found
