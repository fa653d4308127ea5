"""The EKS cluster: a private control plane, nodes for system pods, and the add-ons that all pods need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes

from components import iam
from components.cluster_addons import ClusterAddons, ClusterAddonsArgs
from components.node_group import NodeGroup, NodeGroupArgs
from components.tags import Tags
from naming import Names

_LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
_ACCESS_POLICIES = {"admin": "AmazonEKSClusterAdminPolicy", "view": "AmazonEKSAdminViewPolicy"}


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """A principal that may use the Kubernetes API, beside the one that creates the cluster."""

    principal_arn: pulumi.Input[str]
    """Role or user."""
    level: Literal["admin", "view"] = "view"
    """`view` reads everything, secrets included."""


@dataclass(frozen=True, kw_only=True)
class GpuBaseline:
    """GPU nodes that always run, for models that must never be cold; the others come from Karpenter."""

    instance_type: str
    """EC2 instance type with GPUs."""
    nodes: int = 1
    """How many there are."""


@dataclass(frozen=True, kw_only=True)
class GpuClusterArgs:
    """Arguments of `GpuCluster`."""

    names: Names
    tags: Tags
    vpc_id: pulumi.Input[str]
    control_plane_subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets over two zones at least, in which the API server can be reached."""
    node_subnet_ids: Sequence[pulumi.Input[str]]
    """Private subnets of nodes and pods."""
    secrets_key_arn: pulumi.Input[str]
    """Encrypts Kubernetes secrets; it must stay for as long as the cluster does."""
    logs_key_arn: pulumi.Input[str]
    log_retention_days: int = 30
    kubernetes_version: str = "1.35"
    """Minor version; EKS supports one for 14 months, after which it upgrades the cluster by itself."""
    access: Mapping[str, ClusterAccess] = field(default_factory=dict)
    """Who uses the Kubernetes API, by a name of its own: nobody else does, not even who makes the cluster.
    So the principal that deploys must be among them, with level `admin`."""
    api_clients: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Security groups that reach the API server, by a name of their own, e.g. the one of the deploy jobs."""
    deletion_protection: bool = True
    """Whether EKS refuses to delete the cluster."""
    system_instance_type: str = "m7g.large"
    """Machine of the nodes for system pods; Graviton."""
    system_nodes: int = 2
    """Nodes for system pods, one zone each; during an update there is one more."""
    baseline: GpuBaseline | None = None


class GpuCluster(pulumi.ComponentResource):
    """A cluster that is named like the environment, and whose API is reached from inside the VPC only.

    Everything that uses `kubernetes` waits for the nodes and add-ons, and is removed before they are.
    """

    cluster_name: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    """Group of the control plane and of all nodes."""
    kubernetes: kubernetes.Provider
    kubeconfig: pulumi.Output[str]
    """How the API server is reached, as JSON; no credentials."""
    baseline_name: pulumi.Output[str] | None
    """Node group of the GPU nodes that always run; None where there are none."""

    def __init__(self, name: str, args: GpuClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:gpu_cluster:GpuCluster", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("gpu-cluster")
        cluster = self._control_plane()
        self.security_group_id = cluster.cluster_security_group_id
        for client, group_id in args.api_clients.items():
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-api-from-{client}",
                security_group_id=self.security_group_id,
                referenced_security_group_id=group_id,
                description=f"Kubernetes API from {client}",
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=self._tags,
                opts=self._child,
            )
        # The name is fixed, but whoever needs it needs the cluster.
        self.kubeconfig = cluster.kubeconfig_json
        self.cluster_name = self.kubeconfig.apply(lambda _: args.names.prefix)

        addons = ClusterAddons(
            f"{name}-addons",
            ClusterAddonsArgs(names=args.names, tags=self._tags, cluster_name=self.cluster_name),
            opts=self._child,
        )
        system = self._nodes(
            "system",
            addons,
            description="System pods: DNS, controllers, the router",
            instance_types=[args.system_instance_type],
            architecture="arm64",
            min_size=args.system_nodes,
            max_size=args.system_nodes + 1,
        )
        self.baseline_name = None
        if args.baseline is not None:
            baseline = self._nodes(
                "gpu-baseline",
                addons,
                description="GPU nodes that always run",
                instance_types=[args.baseline.instance_type],
                architecture="x86_64",
                min_size=args.baseline.nodes,
                max_size=args.baseline.nodes + 1,
                gpu=True,
                data_volume_gib=100,
            )
            # `<cluster>:<node group>`
            self.baseline_name = baseline.node_group.id.apply(lambda id_: id_.rpartition(":")[2])
        scheduled = addons.schedule([system.node_group])
        self.kubernetes = kubernetes.Provider(
            f"{name}-kubernetes",
            kubeconfig=cluster.kubeconfig_json,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[system.node_group, *scheduled]),
        )
        self.register_outputs({"cluster_name": self.cluster_name})

    def _control_plane(self) -> eks.Cluster:
        args, name = self._args, self._name
        # EKS would make the group itself, without retention or key.
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/eks/{args.names.prefix}/cluster",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.logs_key_arn,
            tags=self._tags,
            opts=self._child,
        )
        role = aws.iam.Role(
            f"{name}-role",
            # https://docs.aws.amazon.com/eks/latest/userguide/cross-service-confused-deputy-prevention.html
            assume_role_policy=iam.trust("eks.amazonaws.com", args.names.account_id),
            description="The cluster's control plane",
            tags=self._tags,
            opts=self._child,
        )
        permissions = aws.iam.RolePolicyAttachment(
            f"{name}-role-policy",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
            opts=self._child,
        )
        return eks.Cluster(
            f"{name}-cluster",
            name=args.names.prefix,
            version=args.kubernetes_version,
            vpc_id=args.vpc_id,
            subnet_ids=args.control_plane_subnet_ids,
            endpoint_private_access=True,
            endpoint_public_access=False,
            service_role=role,
            encryption_config_key_arn=args.secrets_key_arn,
            enabled_cluster_log_types=_LOG_TYPES,
            authentication_mode=eks.AuthenticationMode.API,
            access_entries={who: self._access_entry(access) for who, access in args.access.items()},
            upgrade_policy={"support_type": "STANDARD"},
            deletion_protection=args.deletion_protection,
            # Nodes and add-ons are made below; EKS's own security group connects them to the control plane.
            skip_default_node_group=True,
            skip_default_security_groups=True,
            create_instance_role=False,
            bootstrap_self_managed_addons=False,
            use_default_vpc_cni=True,
            kube_proxy_addon_options={"enabled": False},
            coredns_addon_options={"enabled": False},
            tags=self._tags,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[logs, permissions], transforms=[_without_hidden_admin]
            ),
        )

    def _access_entry(self, access: ClusterAccess) -> eks.AccessEntryArgsDict:
        policy = f"arn:aws:eks::aws:cluster-access-policy/{_ACCESS_POLICIES[access.level]}"
        return {
            "principal_arn": access.principal_arn,
            "access_policies": {access.level: {"policy_arn": policy, "access_scope": {"type": "cluster"}}},
            "tags": self._tags,
        }

    def _nodes(
        self,
        role: str,
        addons: ClusterAddons,
        *,
        description: str,
        instance_types: Sequence[str],
        architecture: Literal["arm64", "x86_64"],
        min_size: int,
        max_size: int,
        gpu: bool = False,
        data_volume_gib: int = 30,
    ) -> NodeGroup:
        return NodeGroup(
            f"{self._name}-{role}",
            NodeGroupArgs(
                tags={**self._tags, "Name": f"{self._args.names.prefix}-{role}"},
                cluster_name=self.cluster_name,
                subnet_ids=self._args.node_subnet_ids,
                description=description,
                instance_types=instance_types,
                architecture=architecture,
                min_size=min_size,
                max_size=max_size,
                gpu=gpu,
                data_volume_gib=data_volume_gib,
                after=addons.on_every_node,
            ),
            opts=self._child,
        )


def _without_hidden_admin(
    args: pulumi.ResourceTransformArgs,
) -> pulumi.ResourceTransformResult | None:
    """Leaves the principal that makes the cluster no rights beside its access entry, if it has one.

    pulumi-eks has no argument for it. The provider takes it when the cluster is made, and never again.
    """
    if args.type_ != "aws:eks/cluster:Cluster":
        return None
    access = {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    return pulumi.ResourceTransformResult({**args.props, "accessConfig": access}, args.opts)
