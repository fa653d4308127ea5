"""The cluster with everything around it and on it, built from a catalogue as the program builds it."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pydantic import TypeAdapter

from components.build_project import BuildDefaults
from components.cluster import Cluster, ClusterArgs
from components.function import FunctionDefaults
from components.images import Images, ImagesArgs
from components.models import Models, ModelsArgs
from components.network import NatStrategy, Network, NetworkArgs
from components.router import Router, RouterArgs
from components.tags import Tags
from environments.compute import Catalogue, EksModel, gpu_capacity
from naming import Names
from tests.components.platform_args import package
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
    nat: NatStrategy = NatStrategy.ONE_PER_AZ,
    opts: pulumi.ResourceOptions | None = None,
    **cluster_args: Any,
) -> None:
    """Registers all of it; the keyword arguments are further arguments of the cluster."""
    site: dict[str, Any] = {"names": NAMES, "tags": TAGS}
    entries = catalogue(models)
    keys: dict[str, Any] = {"data_key_arn": DATA_KEY, "logs_key_arn": NAMES.arn("kms", "key/logs")}
    network = Network(
        "network",
        NetworkArgs(
            **site, cluster_name=NAMES.prefix, cidr="10.20.0.0/16", logs_key_arn=keys["logs_key_arn"], nat=nat
        ),
        opts,
    )
    images = Images(
        "images",
        ImagesArgs(
            builds=BuildDefaults(**site, **keys),
            model_server_source=package("model-server-image"),
            architectures=["x86_64", "arm64"],
        ),
        opts,
    )
    capacity = gpu_capacity(entries)
    cluster = Cluster(
        "cluster",
        ClusterArgs(
            **site,
            **keys,
            network=network,
            secrets_key_arn=NAMES.arn("kms", "key/secrets"),
            instance_types=capacity.instance_types,
            gpus=capacity.gpus,
            **cluster_args,
        ),
        opts,
    )
    made = Models(
        "model",
        ModelsArgs(
            catalogue={model: entry.settings() for model, entry in entries.items()},
            functions=FunctionDefaults(**site, **keys),
            package=package("model-server"),
            images=images,
            models_bucket=NAMES.bucket("models"),
            network=network,
            cluster=cluster,
        ),
        opts,
    )
    Router(
        "router",
        RouterArgs(
            **site,
            cluster=cluster,
            images=images,
            routes=made.routes,
            vpc_cidr=network.cidr,
            data_key_arn=DATA_KEY,
            usage_table="inference-platform-dev-jobs",
        ),
        cluster.inside(opts),
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


def built(models: Mapping[str, Any] = MODELS, **arguments: Any) -> Recorded:
    """What `platform` registers."""
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
