"""A model as SageMaker starts it: its containers, where its files come from, and what instances can reach."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from components.names import Names
from components.sagemaker_hosting import Container, EndpointNetwork, Hosting, Serverless, beside

MODEL_SERVER = "model-server"
"""Name of the model server's container in logs and metrics of a pipeline."""


def containers(
    hosting: Hosting, names: Names, *, model: str, version: str, image: pulumi.Input[str], log_level: str
) -> dict[str, Any]:
    """The properties of a SageMaker model that name its containers.

    The model server finds the version's folder in /opt/ml/model. On instances that is as it lies in the
    bucket; a serverless endpoint takes an archive of it only.
    https://docs.aws.amazon.com/sagemaker/latest/dg/large-model-inference-uncompressed.html
    https://docs.aws.amazon.com/sagemaker/latest/dg/inference-pipelines.html
    """
    folder = f"s3://{names.bucket('models')}/models/{model}/{version}/"
    server: dict[str, Any] = {
        "image": image,
        # SageMaker calls the container from outside of it.
        "environment": {"HOST": "0.0.0.0", "LOG_LEVEL": log_level},  # noqa: S104
    }
    if isinstance(hosting, Serverless):
        return {"primary_container": {**server, "model_data_url": f"{folder}model.tar.gz"}}
    source = {"s3_uri": folder, "s3_data_type": "S3Prefix", "compression_type": "None"}
    server["model_data_source"] = {"s3_data_sources": [source]}
    if not beside(hosting):
        return {"primary_container": server}

    def other(container: Container) -> dict[str, Any]:
        return {
            "container_hostname": container.name,
            "image": container.image,
            "environment": container.environment,
        }

    return {
        "containers": [
            *map(other, hosting.before),
            {"container_hostname": MODEL_SERVER, **server},
            *map(other, hosting.after),
        ],
        "inference_execution_config": {"mode": "Serial"},
    }


def security_group(
    name: str, network: EndpointNetwork, model: str, tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """A group whose members are reached by nobody and reach S3 only.

    The containers reach nothing at all, for they are isolated; SageMaker fetches files and writes captured
    requests in their stead, through the VPC.
    https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
    """
    group = aws.ec2.SecurityGroup(
        f"{name}-security-group",
        vpc_id=network.vpc_id,
        description=f"SageMaker instances of model {model}",
        tags=tags,
        opts=opts,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-to-s3",
        security_group_id=group.id,
        description="Model files and captured requests in S3",
        prefix_list_id=network.s3_prefix_list_id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        tags=tags,
        opts=opts,
    )
    return group.id
