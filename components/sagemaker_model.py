"""A model as SageMaker starts it: its containers, and where its files come from."""

from typing import Any

import pulumi

from components.sagemaker_hosting import Container, Hosting, Serverless, beside
from naming import Names

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
