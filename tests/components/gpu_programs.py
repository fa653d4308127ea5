"""The cluster with everything around it and on it, built from a catalogue as the program builds it."""

import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pulumi
from pulumi.runtime import mocks, rpc
from pydantic import TypeAdapter

from components.charts import Charts, ChartsArgs
from components.cluster_entry import ClusterEntry, ClusterEntryArgs
from components.gpu_backend import GpuBackend, GpuBackendArgs
from components.gpu_cluster import GpuCluster, GpuClusterArgs
from components.jobs_queue import queue_prefix
from components.karpenter import Karpenter, KarpenterArgs
from components.model_server import Replica
from components.names import Names
from components.network_policies import ModelNamespace, ModelNamespaceArgs
from components.node_pools import NodePools, NodePoolsArgs
from components.replica_scaler import ReplicaScale
from components.router import Router, RouterArgs
from components.router_pod import PORT, Route
from components.tags import Tags
from environments.compute import Catalogue, EksModel, gpu_capacity
from tests.components.recorded import Recorded, Resource, deployed

NAMES = Names(platform="inference-platform", environment="dev", account_id="111111111111", region="us-east-1")
TAGS = Tags(platform="inference-platform", environment="dev", owner="platform-team", cost_center="ml-dev")
DATA_KEY = NAMES.arn("kms", "key/data")
MODELS: Mapping[str, Any] = {
    "minilm": {
        "backend": "eks",
        "engine": "onnx",
        "version": "v1",
        "accelerator": "g6.xlarge",
        "scale": {"min": 0, "max": 4, "target": 8},
    },
    "llama": {
        "backend": "eks",
        "engine": "vllm",
        "version": "v1",
        "accelerator": "g6e.12xlarge",
        "weights": f"s3://{NAMES.bucket('models')}/models/llama/v1/",
        "weights_gib": 90,
        "scale": {"min": 1, "max": 2},
    },
}


def catalogue(models: Mapping[str, Any] = MODELS) -> dict[str, EksModel]:
    entries = TypeAdapter(Catalogue).validate_python(models)
    return {name: entry for name, entry in entries.items() if isinstance(entry, EksModel)}


def platform(
    models: Mapping[str, Any] = MODELS,
    *,
    cluster: Mapping[str, Any] | None = None,
    pools: Mapping[str, Any] | None = None,
    entry: Mapping[str, Any] | None = None,
    isolated_vpc: bool = False,
    opts: pulumi.ResourceOptions | None = None,
) -> None:
    """Registers all of it; the keyword arguments are further arguments of the components."""
    site: dict[str, Any] = {"names": NAMES, "tags": TAGS}
    entries = catalogue(models)
    subnets = ["subnet-00000000000000001", "subnet-00000000000000002"]
    gpu_cluster = GpuCluster(
        "cluster",
        GpuClusterArgs(
            **site,
            vpc_id="vpc-00000000000000001",
            control_plane_subnet_ids=subnets,
            node_subnet_ids=subnets,
            secrets_key_arn=NAMES.arn("kms", "key/secrets"),
            logs_key_arn=NAMES.arn("kms", "key/logs"),
            **(cluster or {}),
        ),
        opts,
    )
    inside = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[gpu_cluster.kubernetes]))
    cluster_entry = ClusterEntry(
        "entry",
        ClusterEntryArgs(
            **site,
            vpc_id="vpc-00000000000000001",
            subnet_ids=subnets,
            nodes_security_group_id=gpu_cluster.security_group_id,
            target_port=PORT,
            **(entry or {}),
        ),
        opts,
    )
    karpenter = Karpenter(
        "karpenter",
        KarpenterArgs(
            **site,
            cluster_name=gpu_cluster.cluster_name,
            volumes_key_arn=DATA_KEY,
            isolated_vpc=isolated_vpc,
        ),
        opts,
    )
    charts = Charts(
        "charts",
        ChartsArgs(
            **site,
            cluster_name=gpu_cluster.cluster_name,
            vpc_id="vpc-00000000000000001",
            interruption_queue_name=karpenter.queue_name,
            target_group_arns=[cluster_entry.target_group_arn],
            queue_prefix=queue_prefix(NAMES),
            isolated_vpc=isolated_vpc,
        ),
        inside,
    )
    capacity = gpu_capacity(entries)
    NodePools(
        "pools",
        NodePoolsArgs(
            **site,
            cluster_name=gpu_cluster.cluster_name,
            security_group_id=gpu_cluster.security_group_id,
            instance_profile=karpenter.instance_profile,
            volumes_key_arn=DATA_KEY,
            instance_types=capacity.instance_types,
            gpus=capacity.gpus,
            after=[charts.karpenter],
            **(pools or {}),
        ),
        inside,
    )
    space = ModelNamespace("models", ModelNamespaceArgs(labels={"environment": "dev"}), inside)
    backends = {
        model: GpuBackend(
            f"model-{model}",
            GpuBackendArgs(
                **site,
                cluster_name=gpu_cluster.cluster_name,
                namespace=space.namespace,
                model=model,
                engine=entry_.engine,
                version=entry_.version,
                accelerator=entry_.accelerator,
                replica=Replica(**entry_.replica()),
                scale=ReplicaScale(**entry_.scale.model_dump()),
                image=f"{NAMES.account_id}.dkr.ecr.us-east-1.amazonaws.com/{entry_.engine}:v1",
                models_bucket=NAMES.bucket("models"),
                data_key_arn=DATA_KEY,
                weights=entry_.weights,
                after=[charts.keda],
            ),
            inside,
        )
        for model, entry_ in entries.items()
    }
    Router(
        "router",
        RouterArgs(
            **site,
            cluster_name=gpu_cluster.cluster_name,
            namespace=space.namespace,
            image=f"{NAMES.account_id}.dkr.ecr.us-east-1.amazonaws.com/model-server:v1",
            balancer_image=f"{NAMES.account_id}.dkr.ecr.us-east-1.amazonaws.com/vllm-router:v0.1.17",
            routes={
                model: Route(
                    engine=entries[model].engine,
                    host=backend.host,
                    port=backend.port,
                    queue_url=backend.jobs.url,
                    openai=entries[model].openai_route,
                )
                for model, backend in backends.items()
            },
            target_group_arn=cluster_entry.target_group_arn,
            vpc_cidr="10.20.0.0/16",
            data_key_arn=DATA_KEY,
            after=[charts.load_balancer_controller],
        ),
        inside,
    )


class Cloud(Recorded):
    """An imaginary AWS with a cluster: what components read of EKS, EC2, IAM and SQS."""

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        id_, outputs = super().outputs(type_, name, inputs)
        outputs.setdefault("name", f"{name}-1234567")
        if type_ == "aws:sqs/queue:Queue":
            outputs["url"] = f"https://sqs.us-east-1.amazonaws.com/111111111111/{outputs['name']}"
        if type_ == "aws:ec2/launchTemplate:LaunchTemplate":
            outputs["latestVersion"] = 1
        if type_ == "aws:lb/loadBalancer:LoadBalancer":
            outputs["dnsName"] = f"{name}.elb.us-east-1.amazonaws.com"
        if type_.startswith("kubernetes:"):
            outputs = dict(inputs)
        return id_, outputs

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ != "eks:index:Cluster":
            return super().new_resource(args)
        return args.name, {"kubeconfigJson": "{}", "clusterSecurityGroupId": "sg-nodes"}


def built(models: Mapping[str, Any] = MODELS, **arguments: Any) -> Recorded:
    """What `platform` registers."""
    # A resource that is an input (the cluster's role) would be read back from the engine, by a task that
    # outlives the program; its URN says as much.
    with patch.object(rpc, "deserialize_resource", lambda reference, *_: reference["urn"]):
        return deployed(lambda: platform(models, **arguments), recorded=Cloud())


def statements(recorded: Recorded, role: str) -> dict[str, dict[str, Any]]:
    """Sid -> statement of the inline policy of a role, by the name of the component that makes the role."""
    document = json.loads(recorded.named(f"{role}-role-policy").inputs["policy"])
    return {statement["Sid"]: statement for statement in document["Statement"]}


def objects(recorded: Recorded) -> list[Resource]:
    """Everything that goes to the Kubernetes API."""
    return [
        resource
        for resource in recorded.resources
        if resource.type.startswith("kubernetes:") and "helm.sh" not in resource.type
    ]
