"""The cluster as models need it: nodes that come and go, controllers, a way in, and a namespace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from components.api_document import Json
from components.charts import Charts, ChartsArgs
from components.cluster_entry import ClusterEntry, ClusterEntryArgs
from components.cluster_integration import model_integrations, openai_integrations
from components.gpu_cluster import ClusterAccess, GpuBaseline, GpuCluster, GpuClusterArgs
from components.jobs_queue import queue_prefix
from components.karpenter import Karpenter, KarpenterArgs
from components.network import Network
from components.network_policies import ModelNamespace, ModelNamespaceArgs
from components.node_pools import NodePools, NodePoolsArgs
from components.router_pod import PORT
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """Arguments of `Cluster`."""

    names: Names
    tags: Tags
    network: Network
    data_key_arn: pulumi.Input[str]
    """Encrypts the nodes' disks."""
    logs_key_arn: pulumi.Input[str]
    secrets_key_arn: pulumi.Input[str]
    """Encrypts Kubernetes secrets; it must stay for as long as the cluster does."""
    log_retention_days: int = 30
    kubernetes_version: str = "1.35"
    access: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Who uses the Kubernetes API, by a name of its own: the fields of a `ClusterAccess`."""
    api_clients: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Security groups that reach the API server, by a name of their own, e.g. the one of the deploy jobs."""
    deletion_protection: bool = True
    """Whether the cluster and its load balancer refuse deletion."""
    system_instance_type: str = "m7g.large"
    system_nodes: int = 2
    baseline: Mapping[str, Any] | None = None
    """GPU nodes that always run: the fields of a `GpuBaseline`."""
    instance_types: Sequence[str] = ()
    """GPU instance types that models ask for; none means no GPU node at all."""
    gpus: int = 0
    """Most GPUs at a time; see `NodePoolsArgs`."""
    capacity_types: Sequence[Literal["spot", "on-demand"]] = ("spot", "on-demand")
    capacity_reservation_ids: Sequence[str] = ()
    idle_minutes: int = 10
    """How long an empty GPU node stays."""
    certificate_arn: pulumi.Input[str] | None = None
    """Certificate of a TLS listener; None is plain TCP inside the VPC."""
    require_tls: bool = True
    """Whether queues deny calls without TLS; only the embedded AWS turns it off."""


class Cluster(pulumi.ComponentResource):
    """An EKS cluster with Karpenter, KEDA and the load balancer controller, and the front of its router.

    What runs on it waits for `after` and uses `kubernetes`.
    """

    cluster_name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    """How the API server is reached, as JSON; no credentials."""
    security_group_id: pulumi.Output[str]
    """Group of the control plane and of all nodes."""
    baseline_name: pulumi.Output[str] | None
    """Node group of the GPU nodes that always run; None where there are none."""
    namespace: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]
    """Target group whose targets are the router's pods."""
    callers_security_group_id: pulumi.Output[str]
    """Members reach the router through the load balancer."""
    charts: Charts
    openai: pulumi.Output[Mapping[str, Json]]
    """OpenAI-compatible path -> its integration in API Gateway."""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:cluster:Cluster", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        cluster = self._control_plane()
        self.cluster_name, self._kubernetes = cluster.cluster_name, cluster.kubernetes
        self.kubeconfig, self.security_group_id = cluster.kubeconfig, cluster.security_group_id
        self.baseline_name = cluster.baseline_name
        entry = ClusterEntry(
            f"{name}-entry",
            ClusterEntryArgs(
                names=args.names,
                tags=args.tags,
                vpc_id=args.network.vpc_id,
                subnet_ids=args.network.intra_subnet_ids,
                nodes_security_group_id=cluster.security_group_id,
                target_port=PORT,
                certificate_arn=args.certificate_arn,
                deletion_protection=args.deletion_protection,
            ),
            opts=self._child,
        )
        karpenter = Karpenter(
            f"{name}-karpenter",
            KarpenterArgs(
                names=args.names,
                tags=args.tags,
                cluster_name=self.cluster_name,
                volumes_key_arn=args.data_key_arn,
                isolated_vpc=args.network.isolated,
                require_tls=args.require_tls,
            ),
            opts=self._child,
        )
        inside = self.inside(self._child)
        self.charts = Charts(
            f"{name}-charts",
            ChartsArgs(
                names=args.names,
                tags=args.tags,
                cluster_name=self.cluster_name,
                vpc_id=args.network.vpc_id,
                interruption_queue_name=karpenter.queue_name,
                target_group_arns=[entry.target_group_arn],
                queue_prefix=queue_prefix(args.names),
                isolated_vpc=args.network.isolated,
            ),
            opts=inside,
        )
        if args.instance_types:
            NodePools(
                f"{name}-pools",
                NodePoolsArgs(
                    names=args.names,
                    tags=args.tags,
                    cluster_name=self.cluster_name,
                    security_group_id=cluster.security_group_id,
                    instance_profile=karpenter.instance_profile,
                    volumes_key_arn=args.data_key_arn,
                    instance_types=args.instance_types,
                    gpus=args.gpus,
                    capacity_types=args.capacity_types,
                    capacity_reservation_ids=args.capacity_reservation_ids,
                    idle_minutes=args.idle_minutes,
                    after=[self.charts.karpenter],
                ),
                opts=inside,
            )
        labels = {"app.kubernetes.io/part-of": args.names.platform, "environment": args.names.environment}
        self.namespace = ModelNamespace(
            f"{name}-space", ModelNamespaceArgs(labels=labels), opts=inside
        ).namespace
        self.target_group_arn = entry.target_group_arn
        self.callers_security_group_id = entry.callers_security_group_id
        scheme = "https" if args.certificate_arn is not None else "http"
        self._entry = pulumi.Output.all(
            url=pulumi.Output.concat(f"{scheme}://", entry.dns_name, f":{entry.port}"),
            vpc_link_id=entry.vpc_link_id,
            load_balancer_arn=entry.load_balancer_arn,
        )
        self.openai = self._entry.apply(lambda known: openai_integrations(**known))
        self.register_outputs({"cluster_name": self.cluster_name, "namespace": self.namespace})

    def integrations(self, model: str) -> pulumi.Output[Mapping[str, Json]]:
        """Operation (`infer`, `metadata`, `ready`) -> its integration in API Gateway, for a model here."""
        return self._entry.apply(lambda known: model_integrations(model=model, **known))

    def inside(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
        """The same options for what goes to the Kubernetes API, too."""
        own = pulumi.ResourceOptions(providers=[self._kubernetes])
        return pulumi.ResourceOptions.merge(opts, own)

    def _control_plane(self) -> GpuCluster:
        args = self._args
        return GpuCluster(
            f"{self._name}-eks",
            GpuClusterArgs(
                names=args.names,
                tags=args.tags,
                vpc_id=args.network.vpc_id,
                control_plane_subnet_ids=args.network.intra_subnet_ids,
                node_subnet_ids=args.network.private_subnet_ids,
                secrets_key_arn=args.secrets_key_arn,
                logs_key_arn=args.logs_key_arn,
                log_retention_days=args.log_retention_days,
                kubernetes_version=args.kubernetes_version,
                access={who: ClusterAccess(**given) for who, given in args.access.items()},
                api_clients=args.api_clients,
                deletion_protection=args.deletion_protection,
                system_instance_type=args.system_instance_type,
                system_nodes=args.system_nodes,
                baseline=GpuBaseline(**args.baseline) if args.baseline else None,
            ),
            opts=self._child,
        )
