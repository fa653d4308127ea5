"""The controllers that come as Helm charts: Karpenter, KEDA and the AWS Load Balancer Controller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components import iam, karpenter
from components.image_cache import cached_image
from components.node_group import SYSTEM_TAINT
from components.pod_identity import PodIdentity, PodIdentityArgs
from components.tags import Tags
from naming import Names

KARPENTER_VERSION = "1.14.1"
KEDA_VERSION = "2.21.0"
LOAD_BALANCER_CONTROLLER_VERSION = "1.14.1"
_ON_SYSTEM_NODES = [{"key": SYSTEM_TAINT, "operator": "Exists"}]
_LOAD_BALANCER_CONTROLLER_IMAGE = "public.ecr.aws/eks/aws-load-balancer-controller"

IMAGES = (
    f"public.ecr.aws/karpenter/controller:{KARPENTER_VERSION}",
    f"ghcr.io/kedacore/keda:{KEDA_VERSION}",
    f"ghcr.io/kedacore/keda-metrics-apiserver:{KEDA_VERSION}",
    f"ghcr.io/kedacore/keda-admission-webhooks:{KEDA_VERSION}",
    f"{_LOAD_BALANCER_CONTROLLER_IMAGE}:v2.{LOAD_BALANCER_CONTROLLER_VERSION.removeprefix('1.')}",
)
"""Images of the charts, which an image cache must hold where the cluster has no way out."""


@dataclass(frozen=True, kw_only=True)
class ChartsArgs:
    """Arguments of `Charts`."""

    names: Names
    tags: Tags
    cluster_name: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    interruption_queue_name: pulumi.Input[str]
    """SQS queue from which Karpenter hears that a node will go."""
    target_group_arns: Sequence[pulumi.Input[str]]
    """The only target groups that the load balancer controller may change."""
    queue_prefix: str
    """How the names of the queues begin whose length KEDA may read."""
    isolated_vpc: bool = False
    """Whether the VPC has no NAT: Karpenter then asks nothing of the price list, which has no endpoint."""
    cached_images: bool = True
    """Whether images come through the account's pull-through cache."""


class Charts(pulumi.ComponentResource):
    """Pinned releases, each with the AWS permissions of what it does here and nothing else.

    CustomResourceDefinitions of Karpenter have a chart of their own: Helm upgrades none that stand in a
    chart's `crds` folder.
    """

    karpenter: kubernetes.helm.v3.Release
    keda: kubernetes.helm.v3.Release
    load_balancer_controller: kubernetes.helm.v3.Release

    def __init__(self, name: str, args: ChartsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:charts:Charts", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.karpenter = self._karpenter()
        self.keda = self._keda()
        self.load_balancer_controller = self._load_balancer_controller()
        self.register_outputs({})

    def _karpenter(self) -> kubernetes.helm.v3.Release:
        args = self._args
        definitions = self._release(
            "karpenter-crd",
            "oci://public.ecr.aws/karpenter/karpenter-crd",
            KARPENTER_VERSION,
            karpenter.NAMESPACE,
            {},
        )
        return self._release(
            "karpenter",
            "oci://public.ecr.aws/karpenter/karpenter",
            KARPENTER_VERSION,
            karpenter.NAMESPACE,
            {
                "serviceAccount": {"name": karpenter.SERVICE_ACCOUNT},
                "controller": {
                    "image": {"repository": self._image("public.ecr.aws/karpenter/controller")},
                    "resources": _resources(cpu="250m", memory="512Mi"),
                },
                "settings": {
                    "clusterName": args.cluster_name,
                    "eksControlPlane": True,
                    "interruptionQueue": args.interruption_queue_name,
                    "isolatedVPC": args.isolated_vpc,
                },
            },
            after=[definitions],
        )

    def _keda(self) -> kubernetes.helm.v3.Release:
        account, service_account = "keda", "keda-operator"
        queues = self._args.names.arn("sqs", f"{self._args.queue_prefix}*")
        identity = self._identity(
            "keda",
            account,
            service_account,
            "KEDA reads how many jobs wait",
            [iam.allow("CountJobs", ["sqs:GetQueueAttributes"], [queues])],
        )
        registry = self._image("ghcr.io/kedacore/keda").removesuffix("/kedacore/keda")
        return self._release(
            "keda",
            "oci://ghcr.io/kedacore/charts/keda",
            KEDA_VERSION,
            account,
            {
                "serviceAccount": {"operator": {"name": service_account}},
                "operator": {"replicaCount": 2},
                "tolerations": _ON_SYSTEM_NODES,
                "image": {part: {"registry": registry} for part in ("keda", "metricsApiServer", "webhooks")},
                "resources": {
                    "operator": _resources(cpu="100m", memory="256Mi"),
                    "metricServer": _resources(cpu="100m", memory="256Mi"),
                    "webhooks": _resources(cpu="50m", memory="64Mi"),
                },
            },
            after=[identity],
        )

    def _load_balancer_controller(self) -> kubernetes.helm.v3.Release:
        args = self._args
        service_account = "aws-load-balancer-controller"
        identity = self._identity(
            "load-balancer-controller",
            "kube-system",
            service_account,
            "The load balancer controller registers the router's pods as targets",
            pulumi.Output.all(*args.target_group_arns).apply(target_statements),
        )
        return self._release(
            "load-balancer-controller",
            "aws-load-balancer-controller",
            LOAD_BALANCER_CONTROLLER_VERSION,
            "kube-system",
            {
                "clusterName": args.cluster_name,
                # Told, because instance metadata is out of the pods' reach.
                "region": args.names.region,
                "vpcId": args.vpc_id,
                "image": {"repository": self._image(_LOAD_BALANCER_CONTROLLER_IMAGE)},
                "serviceAccount": {"name": service_account},
                "resources": _resources(cpu="50m", memory="128Mi"),
                "tolerations": _ON_SYSTEM_NODES,
                # It binds pods to target groups that exist, and makes no load balancer of its own.
                "enableServiceMutatorWebhook": False,
                "enableBackendSecurityGroup": False,
                "createIngressClassResource": False,
                "enableShield": False,
                "enableWaf": False,
                "enableWafv2": False,
            },
            repository="https://aws.github.io/eks-charts",
            after=[identity],
        )

    def _image(self, image: str) -> str:
        """Where nodes pull an image from, without its tag."""
        if not self._args.cached_images:
            return image
        return cached_image(self._args.names, f"{image}:tag").removesuffix(":tag")

    def _release(
        self,
        role: str,
        chart: str,
        version: str,
        namespace: str,
        values: Mapping[str, Any],
        *,
        repository: str | None = None,
        after: Sequence[pulumi.Resource] = (),
    ) -> kubernetes.helm.v3.Release:
        return kubernetes.helm.v3.Release(
            f"{self._name}-{role}",
            name=role,
            chart=chart,
            version=version,
            namespace=namespace,
            create_namespace=namespace != "kube-system",
            repository_opts={"repo": repository} if repository else None,
            values=values,
            atomic=True,  # a release that fails leaves nothing half made
            timeout=600,  # seconds
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _identity(
        self,
        role: str,
        namespace: str,
        service_account: str,
        description: str,
        statements: pulumi.Input[Sequence[iam.Statement]],
    ) -> PodIdentity:
        return PodIdentity(
            f"{self._name}-{role}-pods",
            PodIdentityArgs(
                names=self._args.names,
                tags=self._args.tags.component("gpu-cluster"),
                cluster_name=self._args.cluster_name,
                namespace=namespace,
                service_account=service_account,
                description=description,
                statements=statements,
            ),
            opts=self._child,
        )


def target_statements(target_group_arns: Sequence[str]) -> list[iam.Statement]:
    """What binding pods to existing target groups takes.

    https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/installation/ (policy for
    TargetGroupBinding only), less changing the target group itself.
    """
    return [
        iam.allow(
            "Read",
            [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeInstances",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeVpcs",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            ["*"],  # neither service knows resources for Describe actions
        ),
        iam.allow(
            "Register",
            ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
            list(target_group_arns),
        ),
    ]


def _resources(*, cpu: str, memory: str) -> Mapping[str, Mapping[str, str]]:
    """Requests, and the memory limit: a controller may use an idle processor, but not another's memory."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
