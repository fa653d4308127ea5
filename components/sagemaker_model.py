"""A model as SageMaker starts it: its containers, its files, and what they can reach."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from components.job_topics import JobTopics
from components.names import Names
from components.sagemaker_hosting import Async, Container, EndpointNetwork, Hosting, Serverless
from components.sagemaker_role import (
    capture_statements,
    image_statements,
    instance_statements,
    job_statements,
    model_statements,
    watch_statements,
)

MODEL_SERVER = "model-server"
"""Name of the model server's container in logs and metrics of a pipeline."""


@dataclass(frozen=True, kw_only=True)
class HostedModelArgs:
    """Arguments of `HostedModel`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of its resources."""
    model: str
    """Name of the model; its files and data are in folders of that name."""
    version: str
    """Version whose files the model server gets."""
    image: pulumi.Input[str]
    """Image of the model server, in the account's registry."""
    hosting: Hosting
    """What it runs on, with the settings of that."""
    data_key_arn: pulumi.Input[str]
    """Key of the buckets, the topics and the instances' volumes."""
    log_group: str
    """Name of the endpoint's log group."""
    log_level: str
    """Least severe level that the model server logs."""
    alarm_names: Sequence[str]
    """Alarms that SageMaker looks at while it deploys."""
    topics: JobTopics | None = None
    """Where finished and failed jobs are told of (async)."""


class HostedModel(pulumi.ComponentResource):
    """Isolated containers with one model's files; the role behind them reaches that model's folders only.

    A stack that no longer wants the model leaves it in AWS, because an endpoint that runs on it would lose
    the means to start another instance.

    Raises:
        ValueError: an image is not in the account's registry.
    """

    model_name: pulumi.Output[str]

    def __init__(self, name: str, args: HostedModelArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:sagemaker_model:HostedModel", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._network: aws.sagemaker.ModelVpcConfigArgsDict | None = None
        if not isinstance(args.hosting, Serverless):
            network = args.hosting.network
            self._network = {
                "subnets": network.subnet_ids,
                "security_group_ids": [self._security_group(network)],
            }
        role = iam.role(
            name,
            trust_policy=iam.trust("sagemaker.amazonaws.com", args.names.account_id),
            statements=pulumi.Output.all(
                images=[args.image, *(container.image for container in beside(args.hosting))],
                key=args.data_key_arn,
                network=self._network,
                topics=[args.topics.success_arn, args.topics.error_arn] if args.topics else [],
            ).apply(lambda known: list(self._statements(**known))),
            description=f"SageMaker runs model {args.model}",
            tags=args.tags,
            opts=self._child,
        )
        model = aws.sagemaker.Model(
            f"{name}-model",
            execution_role_arn=role.arn,
            enable_network_isolation=self._network is not None,
            vpc_config=self._network,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            **containers(args),
        )
        self.model_name = model.name
        self.register_outputs({"model_name": self.model_name})

    def _security_group(self, network: EndpointNetwork) -> pulumi.Output[str]:
        """A group whose members are reached by nobody and reach S3 only.

        The containers reach nothing at all; SageMaker fetches files and writes captured requests in their
        stead, through the VPC.
        https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
        """
        args = self._args
        group = aws.ec2.SecurityGroup(
            f"{self._name}-security-group",
            vpc_id=network.vpc_id,
            description=f"SageMaker instances of model {args.model}",
            tags=args.tags,
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-to-s3",
            security_group_id=group.id,
            description="Model files and captured requests in S3",
            prefix_list_id=network.s3_prefix_list_id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=args.tags,
            opts=self._child,
        )
        return group.id

    def _statements(
        self, images: Sequence[str], key: str, network: Mapping[str, Any] | None, topics: Sequence[str]
    ) -> Iterator[iam.Statement]:
        args, names, model = self._args, self._args.names, self._args.model
        yield from model_statements(names, model, key)
        yield from image_statements(names, images)
        yield from watch_statements(names, args.log_group, args.alarm_names)
        if network is not None:
            [group] = network["security_group_ids"]
            yield from instance_statements(names, key, network["subnets"], group)
        if not isinstance(args.hosting, Serverless) and args.hosting.capture_percent:
            yield from capture_statements(names, model, key)
        if isinstance(args.hosting, Async):
            yield from job_statements(names, model, key, topics)


def beside(hosting: Hosting) -> Sequence[Container]:
    """The containers of a pipeline, but for the model server."""
    return () if isinstance(hosting, Serverless) else (*hosting.before, *hosting.after)


def containers(args: HostedModelArgs) -> dict[str, Any]:
    """The properties of a SageMaker model that name its containers.

    The model server finds the version's folder in /opt/ml/model. On instances that is how it lies in the
    bucket; a serverless endpoint takes an archive of it only.
    https://docs.aws.amazon.com/sagemaker/latest/dg/large-model-inference-uncompressed.html
    https://docs.aws.amazon.com/sagemaker/latest/dg/inference-pipelines.html
    """
    folder = f"s3://{args.names.bucket('models')}/models/{args.model}/{args.version}/"
    server: dict[str, Any] = {
        "image": args.image,
        # SageMaker calls the container from outside of it.
        "environment": {"HOST": "0.0.0.0", "LOG_LEVEL": args.log_level},  # noqa: S104
    }
    if isinstance(args.hosting, Serverless):
        return {"primary_container": {**server, "model_data_url": f"{folder}model.tar.gz"}}
    source = {"s3_uri": folder, "s3_data_type": "S3Prefix", "compression_type": "None"}
    server["model_data_source"] = {"s3_data_sources": [source]}
    if not beside(args.hosting):
        return {"primary_container": server}

    def other(container: Container) -> dict[str, Any]:
        return {
            "container_hostname": container.name,
            "image": container.image,
            "environment": container.environment,
        }

    return {
        "containers": [
            *map(other, args.hosting.before),
            {"container_hostname": MODEL_SERVER, **server},
            *map(other, args.hosting.after),
        ],
        "inference_execution_config": {"mode": "Serial"},
    }
