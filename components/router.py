"""The always-on router: one address for every model of the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components import iam
from components.cluster import Cluster
from components.image_cache import cached_image
from components.images import Images
from components.jobs_queue import queue_prefix
from components.metric import PLATFORM
from components.network_policies import (
    NAMESPACE,
    ROUTER_LABEL,
    aws_apis,
    dns,
    from_addresses,
    from_namespace,
    network_policy,
    pod_identity_agent,
    to_models,
)
from components.pod_identity import PodIdentity, PodIdentityArgs
from components.router_pod import BALANCER_IMAGE, PORT, Route, pod_spec
from components.tags import Tags
from naming import Names

_NAME = "router"


@dataclass(frozen=True, kw_only=True)
class RouterArgs:
    """Arguments of `Router`."""

    names: Names
    tags: Tags
    cluster: Cluster
    """Where it runs, and whose target group its pods become targets of."""
    images: Images
    """Images of the model server; the one for arm64 holds the router, too."""
    routes: Mapping[str, Route]
    """Model name -> where it is served."""
    vpc_cidr: str
    """Addresses from which the load balancer comes."""
    data_key_arn: pulumi.Input[str]
    """Key of the jobs queues."""
    usage_table: pulumi.Input[str]
    """Name of the table of jobs, in which it takes down what tenants use."""
    replicas: int = 2
    """Pods, over zones and nodes."""


class Router(pulumi.ComponentResource):
    """Replicas over zones and nodes, bound to the load balancer's target group.

    The router proper checks the model's name, counts its requests in flight, and answers for a model that
    has no replica with 503 and a message that wakes it. Requests to language models pass on through
    vllm-router, which knows their pods; it would answer from another model where the name were wrong.
    """

    def __init__(self, name: str, args: RouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:router:Router", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._labels = {
            "app.kubernetes.io/part-of": args.names.platform,
            "app.kubernetes.io/component": "router",
            ROUTER_LABEL: "true",
        }
        identity = PodIdentity(
            f"{name}-pods",
            PodIdentityArgs(
                names=args.names,
                tags=args.tags.component("router"),
                cluster_name=args.cluster.cluster_name,
                namespace=NAMESPACE,
                service_account=_NAME,
                description="The router wakes models and takes down their use",
                statements=pulumi.Output.all(args.data_key_arn, args.usage_table).apply(
                    lambda known: [
                        *wake_statements(args.names, known[0]),
                        *usage_statements(args.names, known[1]),
                    ]
                ),
            ),
            opts=self._child,
        )
        access = self._read_pods()
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=self._metadata(),
            spec={
                "replicas": args.replicas,
                "revision_history_limit": 3,
                "strategy": {
                    "type": "RollingUpdate",
                    "rolling_update": {"max_surge": 1, "max_unavailable": 0},
                },
                "selector": {"match_labels": {ROUTER_LABEL: "true"}},
                "template": {"metadata": {"labels": self._labels}, "spec": self._pod()},
            },
            # Credentials are handed to pods that start after the association is made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[identity, *access]),
        )
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=self._metadata(),
            spec={
                "selector": {ROUTER_LABEL: "true"},
                "ports": [{"name": "http", "port": PORT, "target_port": "http"}],
            },
            opts=self._child,
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=self._metadata(),
            spec={"max_unavailable": 1, "selector": {"match_labels": {ROUTER_LABEL: "true"}}},
            opts=self._child,
        )
        ports = sorted({route.port for route in args.routes.values()})
        network_policy(
            f"{name}-network-policy",
            policy_name=_NAME,
            namespace=args.cluster.namespace,
            labels=self._labels,
            pods={ROUTER_LABEL: "true"},
            ingress=[from_addresses(args.vpc_cidr, PORT), from_namespace("keda", PORT)],
            egress=[
                dns(),
                pod_identity_agent(),
                aws_apis(),
                *([to_models(ports)] if ports else []),  # a rule without ports is open on all
            ],
            opts=self._child,
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-targets",
            api_version="elbv2.k8s.aws/v1beta1",
            kind="TargetGroupBinding",
            metadata=self._metadata(),
            spec={
                "targetGroupARN": args.cluster.target_group_arn,
                "targetType": "ip",
                "serviceRef": {"name": service.metadata.name, "port": PORT},
            },
            # Deleted while its controller still runs, so that the targets are deregistered.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[deployment, args.cluster.charts.load_balancer_controller]
            ),
        )
        self.register_outputs({})

    def _metadata(self) -> kubernetes.meta.v1.ObjectMetaArgsDict:
        return {"name": _NAME, "namespace": self._args.cluster.namespace, "labels": self._labels}

    def _pod(self) -> kubernetes.core.v1.PodSpecArgsDict:
        args = self._args
        return pod_spec(
            image=args.images.model_server_images["arm64"],
            balancer_image=cached_image(args.names, BALANCER_IMAGE),
            routes=args.routes,
            usage_table=args.usage_table,
            region=args.names.region,
            service_account=_NAME,
            labels={ROUTER_LABEL: "true"},
        )

    def _read_pods(self) -> Sequence[pulumi.Resource]:
        """A service account that may watch the pods of its namespace: vllm-router finds its workers so."""
        account = kubernetes.core.v1.ServiceAccount(
            f"{self._name}-service-account",
            metadata=self._metadata(),
            automount_service_account_token=False,
            opts=self._child,
        )
        role = kubernetes.rbac.v1.Role(
            f"{self._name}-read-pods",
            metadata=self._metadata(),
            rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
            opts=self._child,
        )
        binding = kubernetes.rbac.v1.RoleBinding(
            f"{self._name}-read-pods-binding",
            metadata=self._metadata(),
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
            subjects=[
                {
                    "kind": "ServiceAccount",
                    "name": account.metadata.name,
                    "namespace": self._args.cluster.namespace,
                }
            ],
            opts=self._child,
        )
        return [account, binding]


def wake_statements(names: Names, data_key_arn: str) -> list[iam.Statement]:
    """Sending messages to the jobs queues of this environment, which are encrypted, where none wait."""
    actions = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    return [
        iam.allow("WakeModels", actions, [names.arn("sqs", f"{queue_prefix(names)}*")]),
        iam.allow("Encrypt", ["kms:GenerateDataKey", "kms:Decrypt"], [data_key_arn]),
    ]


def usage_statements(names: Names, table: str) -> list[iam.Statement]:
    """Counting synchronous use: in those items of the table of jobs, and as metrics of the platform's own."""
    mine = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["requests#*"]}}
    return [
        iam.allow("CountUsage", ["dynamodb:UpdateItem"], [names.arn("dynamodb", f"table/{table}")], mine),
        # The action has no resources to name, only namespaces.
        iam.allow(
            "Metrics",
            ["cloudwatch:PutMetricData"],
            ["*"],
            {"StringEquals": {"cloudwatch:namespace": PLATFORM}},
        ),
    ]
