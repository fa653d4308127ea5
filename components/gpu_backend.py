"""GPU inference: one model on nodes of the cluster, from no replica to many and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as kubernetes

from components import iam
from components.capture import CaptureStream
from components.model_server import ModelServer, Replica, onnx_server, pod_spec, vllm_server
from components.network_policies import (
    JOBS_LABEL,
    MODEL_LABEL,
    NAMESPACE,
    ROUTER_LABEL,
    aws_apis,
    dns,
    from_pods,
    network_policy,
    pod_identity_agent,
)
from components.pod_identity import PodIdentity, PodIdentityArgs
from components.replica_scaler import ReplicaScale, ReplicaScaler, ReplicaScalerArgs
from components.tags import Tags
from naming import Names

VLLM_IMAGE = "docker.io/vllm/vllm-openai:v0.33.0"
"""Engine of the language models, as its makers publish it."""


@dataclass(frozen=True, kw_only=True)
class GpuBackendArgs:
    """Arguments of `GpuBackend`."""

    names: Names
    tags: Tags
    cluster_name: pulumi.Input[str]
    namespace: pulumi.Input[str]
    model: str
    engine: Literal["onnx", "vllm"]
    """Server of its pods: the platform's own for ONNX models, or vLLM for language models."""
    version: str
    """Version to serve at first; deliveries move on from there (onnx)."""
    accelerator: str
    """EC2 instance type of the nodes."""
    replica: Replica
    scale: ReplicaScale
    image: pulumi.Input[str]
    """Image of the engine's server."""
    models_bucket: pulumi.Input[str]
    data_key_arn: pulumi.Input[str]
    queue_url: pulumi.Input[str]
    """The model's jobs queue, whose messages start its first replica."""
    capture: CaptureStream | None = None
    """Stream for the statistics of its requests (onnx); None means that none are kept."""
    weights: str | None = None
    """S3 folder of the weights (vllm); None is the version's own folder in the models bucket."""
    after: Sequence[pulumi.Resource] = ()
    """KEDA's release: its webhook and its kinds must be there."""


class GpuBackend(pulumi.ComponentResource):
    """Serves one model; its role reads that model's files and no other, and only the router and the worker on
    its jobs reach its pods.

    Deployments start at the smallest number of replicas; from then on KEDA sets it, and an update of the
    stack leaves it alone.
    """

    host: pulumi.Output[str]
    """Name that resolves to the addresses of the pods that are ready."""
    port: int

    def __init__(self, name: str, args: GpuBackendArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:gpu_backend:GpuBackend", name, None, opts)
        self._name, self._args = name, args
        folder = f"{args.names.bucket('models')}/models/{args.model}/{args.version}/"
        self._weights = args.weights or f"s3://{folder}"
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("gpu-backend")
        self._labels = {
            "app.kubernetes.io/part-of": args.names.platform,
            "app.kubernetes.io/component": "gpu-backend",
            "inference/engine": args.engine,
            MODEL_LABEL: args.model,
        }
        server = self._server()
        self.port = server.port
        identity = PodIdentity(
            f"{name}-pods",
            PodIdentityArgs(
                names=args.names,
                tags=self._tags,
                cluster_name=args.cluster_name,
                namespace=NAMESPACE,
                service_account=self._object_name,
                description=f"Serves model {args.model}",
                statements=pulumi.Output.from_input(args.data_key_arn).apply(self._statements),
            ),
            opts=self._child,
        )
        deployment = self._deployment(server, identity)
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=self._metadata(),
            # Headless: the router sees the pods, and that there are none.
            spec={
                "cluster_ip": "None",
                "selector": {MODEL_LABEL: args.model},
                "ports": [{"name": "http", "port": server.port, "target_port": "http"}],
            },
            opts=self._child,
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=self._metadata(),
            spec={
                "max_unavailable": 1,
                "selector": {"match_labels": {MODEL_LABEL: args.model}},
                "unhealthy_pod_eviction_policy": "AlwaysAllow",
            },
            opts=self._child,
        )
        network_policy(
            f"{name}-network-policy",
            policy_name=self._object_name,
            namespace=args.namespace,
            labels=self._labels,
            pods={MODEL_LABEL: args.model},
            ingress=[
                from_pods({ROUTER_LABEL: "true"}, server.port),
                from_pods({JOBS_LABEL: args.model}, server.port),
            ],
            egress=[dns(), pod_identity_agent(), aws_apis()],
            opts=self._child,
        )
        ReplicaScaler(
            f"{name}-scaler",
            ReplicaScalerArgs(
                names=args.names,
                labels=self._labels,
                namespace=args.namespace,
                model=args.model,
                deployment=deployment.metadata.name,
                queue_url=args.queue_url,
                scale=args.scale,
                after=args.after,
            ),
            opts=self._child,
        )
        self.host = pulumi.Output.concat(service.metadata.name, ".", args.namespace, ".svc.cluster.local")
        self.register_outputs({"host": self.host})

    @property
    def _object_name(self) -> str:
        return f"model-{self._args.model}"

    def _metadata(self) -> kubernetes.meta.v1.ObjectMetaArgsDict:
        return {"name": self._object_name, "namespace": self._args.namespace, "labels": self._labels}

    def _server(self) -> ModelServer:
        args = self._args
        if args.engine == "vllm":
            return vllm_server(
                image=args.image,
                model=args.model,
                weights=self._weights,
                gpus=args.replica.gpus,
                region=args.names.region,
            )
        return onnx_server(
            image=args.image,
            model=args.model,
            version=args.version,
            bucket=args.models_bucket,
            cpu_m=args.replica.cpu_m,
            region=args.names.region,
            table=args.names.function("delivery"),
            capture=args.capture.environment if args.capture else {},
        )

    def _statements(self, data_key_arn: str) -> list[iam.Statement]:
        args = self._args
        decrypt = iam.allow("Decrypt", ["kms:Decrypt"], [data_key_arn])
        if args.engine == "vllm":
            return [*weights_statements(self._weights), decrypt]
        files = f"{args.names.bucket_arn('models')}/models/{args.model}/*"
        return [
            iam.allow("ReadModel", ["s3:GetObject"], [files]),
            *rollout_statements(args.names, args.model),
            *([args.capture.statement(args.names)] if args.capture else ()),
            decrypt,
        ]

    def _deployment(self, server: ModelServer, identity: PodIdentity) -> kubernetes.apps.v1.Deployment:
        args = self._args
        account = kubernetes.core.v1.ServiceAccount(
            f"{self._name}-service-account",
            metadata=self._metadata(),
            automount_service_account_token=False,
            opts=self._child,
        )
        spec = pod_spec(
            server,
            args.replica,
            accelerator=args.accelerator,
            service_account=account.metadata.name,
        )
        return kubernetes.apps.v1.Deployment(
            f"{self._name}-deployment",
            metadata=self._metadata(),
            spec={
                "replicas": args.scale.min,
                "revision_history_limit": 3,
                "progress_deadline_seconds": 1800,
                # A new replica answers before an old one leaves; node pools hold one more for it.
                "strategy": {
                    "type": "RollingUpdate",
                    "rolling_update": {"max_surge": 1, "max_unavailable": 0},
                },
                "selector": {"match_labels": {MODEL_LABEL: args.model}},
                "template": {
                    "metadata": {"labels": self._labels},
                    "spec": {**spec, "topology_spread_constraints": [self._over_zones()]},
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # Credentials are handed to pods that start after the association is made.
                depends_on=[identity],
                ignore_changes=["spec.replicas"],
                custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m"),
            ),
        )

    def _over_zones(self) -> kubernetes.core.v1.TopologySpreadConstraintArgsDict:
        return {
            "max_skew": 1,
            "topology_key": "topology.kubernetes.io/zone",
            # Rather two replicas in one zone than one: GPUs are not to be had in every zone.
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": {MODEL_LABEL: self._args.model}},
        }


def rollout_statements(names: Names, model: str) -> list[iam.Statement]:
    """Reading what the model's replicas are to serve, and keeping what they say of themselves: rows of the
    deliveries' table (serving/rollout.py). None may say what is live."""
    table = [names.arn("dynamodb", f"table/{names.function('delivery')}")]

    def rows(kind: str) -> iam.Statement:
        return {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [f"{model}/{kind}"]}}

    return [
        iam.allow("Wanted", ["dynamodb:GetItem"], table, rows("serving")),
        iam.allow("Report", ["dynamodb:GetItem", "dynamodb:PutItem"], table, rows("replicas")),
    ]


def weights_statements(weights: str) -> list[iam.Statement]:
    """Reading one folder of one bucket, which takes listing it."""
    bucket, _, folder = weights.removeprefix("s3://").partition("/")
    prefix = folder.rstrip("/")
    return [
        iam.allow(
            "ListWeights",
            ["s3:ListBucket"],
            [f"arn:aws:s3:::{bucket}"],
            {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}},
        ),
        iam.allow("ReadWeights", ["s3:GetObject"], [f"arn:aws:s3:::{bucket}/{prefix}/*"]),
    ]
