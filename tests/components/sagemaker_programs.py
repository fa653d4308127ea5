"""Models on SageMaker, one in each mode and a pipeline, built as the program builds them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pulumi

from components.model_network import ModelNetwork
from components.sagemaker_backend import SageMakerBackend, SageMakerBackendArgs
from components.sagemaker_hosting import Async, Container, Hosting, RealTime, Serverless
from components.sagemaker_scaling import InstanceScale
from tests.components.platform_args import ACCOUNT, DATA_KEY, LOGS_KEY, NAMES, REGION, TAGS
from tests.components.recorded import Recorded, deployed

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"
IMAGE = f"{REGISTRY}/inference-platform-dev/model-server:8f14e45f-x86_64"
NETWORK = ModelNetwork(
    vpc_id="vpc-00000000000000001",
    subnet_ids=["subnet-0000000000000000a", "subnet-0000000000000000b"],
    s3_prefix_list_id="pl-6da54004",
)
REAL_TIME = RealTime(
    instance="ml.g5.xlarge",
    scale=InstanceScale(min=2, max=4, target=8),
    network=NETWORK,
    capture_percent=10,
)
ASYNC = Async(
    instance="ml.m5.xlarge",
    scale=InstanceScale(min=0, max=2, target=5),
    network=NETWORK,
    max_concurrent_invocations_per_instance=4,
)
SERVERLESS = Serverless(memory_mb=4096, max_concurrency=10)
PIPELINE = replace(
    REAL_TIME,
    before=[
        Container(
            name="scale", image=f"{REGISTRY}/inference-platform-dev/scale@sha256:0f", environment={"A": "b"}
        )
    ],
    after=[Container(name="label", image=f"{REGISTRY}/inference-platform-dev/label:1")],
)
HOSTINGS: Mapping[str, Hosting] = {
    "fraud": REAL_TIME,
    "documents": ASYNC,
    "scores": SERVERLESS,
    "ranking": PIPELINE,
}


@dataclass
class Named(Recorded):
    """Also gives resources names, as the provider does."""

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        id_, outputs = super().outputs(type_, name, {"name": f"{name}-0a1b2c3", **inputs})
        if type_ == "aws:ec2/securityGroup:SecurityGroup":
            id_ = "sg-00000000000000001"
        return id_, outputs


def backend(
    model: str, hosting: Hosting | None = None, opts: pulumi.ResourceOptions | None = None, **more: Any
) -> SageMakerBackend:
    """Registers one model; `more` are further arguments of the component."""
    args = SageMakerBackendArgs(
        names=NAMES,
        tags=TAGS,
        data_key_arn=DATA_KEY,
        logs_key_arn=LOGS_KEY,
        model=model,
        hosting=hosting or HOSTINGS[model],
        **{"version": "v1", "image": IMAGE, "queue_arn": QUEUE, **more},
    )
    return SageMakerBackend(f"model-{model}", args, opts)


def recorded(model: str, hosting: Hosting | None = None, **more: Any) -> Named:
    """What one model registers; `exports` are what it gives to others."""
    found = Named()

    def build() -> pulumi.Output[Any]:
        made = backend(model, hosting, **more)
        given = {"update_request": made.update_request, "integrations": made.integrations}
        return pulumi.Output.all(**given).apply(found.exports.update)

    deployed(build, recorded=found)
    return found
