"""The three ways in which SageMaker hosts a model, and what each comes to in an endpoint's configuration."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pulumi
from pulumi_aws import sagemaker

from components.job_topics import JobTopics
from components.model_network import ModelNetwork
from components.sagemaker_scaling import InstanceScale
from naming import Names

VARIANT = "main"
"""Name of the only production variant; a deployment must find the same name."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of an inference pipeline, before or after the model server.

    It answers `/ping` and `/invocations` on the port that SAGEMAKER_BIND_TO_PORT names; what it answers is
    what the next container is asked.
    """

    name: str
    """Its name in logs and metrics."""
    image: pulumi.Input[str]
    """Its image, in the account's registry."""
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Its environment variables."""


@dataclass(frozen=True, kw_only=True)
class OnInstances:
    """What hosting on instances takes, whether somebody waits for the answers or not."""

    instance: str
    """Instance type, e.g. ml.g5.xlarge."""
    scale: InstanceScale
    network: ModelNetwork
    capture_percent: int = 0
    """Share of requests that are kept with their answers."""
    before: Sequence[Container] = ()
    """Containers that requests go through before the model server."""
    after: Sequence[Container] = ()
    """Containers that answers go through after the model server."""


@dataclass(frozen=True, kw_only=True)
class RealTime(OnInstances):
    """Instances that answer at once."""

    mode: ClassVar = "real-time"


@dataclass(frozen=True, kw_only=True)
class Async(OnInstances):
    """Instances for jobs; none while there is no job."""

    mode: ClassVar = "async"
    max_concurrent_invocations_per_instance: int | None = None
    """Jobs that an instance works on at once; None leaves it to SageMaker."""


@dataclass(frozen=True, kw_only=True)
class Serverless:
    """No instances: CPU only, without VPC, isolation, capture or pipeline.

    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
    """

    mode: ClassVar = "serverless"
    memory_mb: int
    """Memory in MiB, a multiple of 1024 up to 6144; CPU follows it."""
    max_concurrency: int
    """Most requests in flight at once."""
    provisioned_concurrency: int = 0
    """Environments kept warm, billed hourly."""


Hosting = RealTime | Async | Serverless


def kind(hosting: Hosting) -> str:
    """Four digits for what no update of an endpoint can change: the mode, and the type of its instances.

    https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
    """
    return kind_of(hosting.mode, "" if isinstance(hosting, Serverless) else hosting.instance)


def kind_of(mode: str, instance: str) -> str:
    """The same from the mode and the instance type alone; no type for serverless."""
    return hashlib.sha256(f"{mode} {instance}".encode()).hexdigest()[:4]


def beside(hosting: Hosting) -> Sequence[Container]:
    """The containers of a pipeline, but for the model server; none where the model is no pipeline."""
    return () if isinstance(hosting, Serverless) else (*hosting.before, *hosting.after)


def production_variant(
    hosting: Hosting, model_name: pulumi.Input[str]
) -> sagemaker.EndpointConfigurationProductionVariantArgsDict:
    """What the model runs on."""
    if isinstance(hosting, Serverless):
        capacity: sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict = {
            "memory_size_in_mb": hosting.memory_mb,
            "max_concurrency": hosting.max_concurrency,
        }
        if hosting.provisioned_concurrency:
            capacity["provisioned_concurrency"] = hosting.provisioned_concurrency
        return {"variant_name": VARIANT, "model_name": model_name, "serverless_config": capacity}
    return {
        "variant_name": VARIANT,
        "model_name": model_name,
        "instance_type": hosting.instance,
        # One at least to begin with; scaling takes an endpoint for jobs to zero.
        "initial_instance_count": max(hosting.scale.min, 1),
        # Seconds for the files to arrive, and then for the container to pass `/ping`.
        "model_data_download_timeout_in_seconds": 1200,
        "container_startup_health_check_timeout_in_seconds": 600,
        # Not at random: no request waits behind a long one while another instance idles.
        "routing_configs": [{"routing_strategy": "LEAST_OUTSTANDING_REQUESTS"}],
    }


def data_capture(
    hosting: Hosting, names: Names, model: str, key_arn: pulumi.Input[str]
) -> sagemaker.EndpointConfigurationDataCaptureConfigArgsDict | None:
    """Requests and answers as JSON lines in the data bucket; None where none are kept.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
    """
    if isinstance(hosting, Serverless) or not hosting.capture_percent:
        return None
    return {
        "enable_capture": True,
        "initial_sampling_percentage": hosting.capture_percent,
        "destination_s3_uri": f"s3://{names.bucket('data')}/capture/{model}",
        "kms_key_id": key_arn,
        "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
        "capture_content_type_header": {"json_content_types": ["application/json"]},
    }


def async_inference(
    hosting: Async, names: Names, model: str, key_arn: pulumi.Input[str], topics: JobTopics
) -> sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict:
    """Where answers to parts of jobs go, and who hears of them.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AsyncInferenceOutputConfig.html
    """
    work = f"s3://{names.bucket('data')}/work/{model}"
    configuration: sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict = {
        "output_config": {
            "s3_output_path": f"{work}/answers",
            "s3_failure_path": f"{work}/failures",
            "kms_key_id": key_arn,
            "notification_config": {
                "success_topic": topics.success_arn,
                "error_topic": topics.error_arn,
            },
        }
    }
    if (most := hosting.max_concurrent_invocations_per_instance) is not None:
        configuration["client_config"] = {"max_concurrent_invocations_per_instance": most}
    return configuration
