"""The role with which SageMaker feeds a model's containers and watches them; no container gets it itself.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createmodel-perms
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import iam
from components.ecr import registry_host
from components.job_topics import JobTopics
from components.sagemaker_hosting import Async, Hosting, Serverless, beside
from naming import Names


@dataclass(frozen=True, kw_only=True)
class ExecutionRoleArgs:
    """Arguments of `ExecutionRole`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of the role."""
    model: str
    """Name of the model; its files and data are in folders of that name."""
    image: pulumi.Input[str]
    """Image of the model server, in the account's registry."""
    hosting: Hosting
    """What it runs on, with the settings of that."""
    data_key_arn: pulumi.Input[str]
    """Key of the buckets, the topics and the instances' volumes."""
    log_group: str
    """Name of the endpoint's log group."""
    alarm_names: Sequence[str]
    """Alarms that SageMaker looks at while it deploys."""
    security_group_ids: Sequence[pulumi.Input[str]] = ()
    """Security groups of the instances."""
    topics: JobTopics | None = None
    """Where finished and failed jobs are told of (async)."""


class ExecutionRole(pulumi.ComponentResource):
    """A role that reaches one model's folders, images, logs and metrics only.

    Raises:
        ValueError: an image is not in the account's registry.
    """

    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: ExecutionRoleArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:sagemaker_role:ExecutionRole", name, None, opts)
        known = {
            "key": args.data_key_arn,
            "images": [args.image, *(container.image for container in beside(args.hosting))],
            "subnets": () if isinstance(args.hosting, Serverless) else args.hosting.network.subnet_ids,
            "groups": args.security_group_ids,
            "topics": [args.topics.success_arn, args.topics.error_arn] if args.topics else [],
        }
        self.arn = iam.role(
            name,
            trust_policy=iam.trust("sagemaker.amazonaws.com", args.names.account_id),
            statements=pulumi.Output.all(**known).apply(lambda found: list(_statements(args, **found))),
            description=f"SageMaker runs model {args.model}",
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        ).arn
        self.register_outputs({"arn": self.arn})


def _statements(
    args: ExecutionRoleArgs,
    key: str,
    images: Sequence[str],
    subnets: Sequence[str],
    groups: Sequence[str],
    topics: Sequence[str],
) -> Iterator[iam.Statement]:
    yield from _model(args.names, args.model, key)
    yield from _images(args.names, images)
    yield from _watching(args.names, args.log_group, args.alarm_names)
    if not isinstance(args.hosting, Serverless):
        yield from _instances(args.names, key, subnets, groups)
        if args.hosting.capture_percent:
            yield from _capture(args.names, args.model, key)
    if isinstance(args.hosting, Async):
        yield from _jobs(args.names, args.model, key, topics)


def _model(names: Names, model: str, key_arn: str) -> Iterator[iam.Statement]:
    """Reading the files of one model."""
    bucket, folder = names.bucket_arn("models"), f"models/{model}/*"
    yield iam.allow("ListModel", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [folder]}})
    yield iam.allow("ReadModel", ["s3:GetObject"], [f"{bucket}/{folder}"])
    yield iam.allow("Decrypt", ["kms:Decrypt"], [key_arn])


def _images(names: Names, images: Sequence[str]) -> Iterator[iam.Statement]:
    """Pulling images. Raises ValueError for one that is not in the account's registry."""
    host = registry_host(names)
    for image in images:
        if not image.startswith(f"{host}/"):
            raise ValueError(f"image {image} is not in the account's registry; push it to {host}")
    repositories = {image.removeprefix(f"{host}/").partition("@")[0].partition(":")[0] for image in images}
    yield iam.allow("LogIn", ["ecr:GetAuthorizationToken"], ["*"])  # has no resources to name
    yield iam.allow(
        "PullImages",
        ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        [names.arn("ecr", f"repository/{repository}") for repository in sorted(repositories)],
    )


def _watching(names: Names, log_group: str, alarm_names: Sequence[str]) -> Iterator[iam.Statement]:
    """Logs and metrics of one endpoint, and the alarms that are looked at while it is deployed."""
    group = names.arn("logs", f"log-group:{log_group}")
    yield iam.allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{group}:*"])
    yield iam.allow("FindLogs", ["logs:CreateLogGroup", "logs:DescribeLogStreams"], [group, f"{group}:*"])
    # The action has no resources to name, only namespaces: these are SageMaker's.
    namespaces = {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/Endpoints"]}
    yield iam.allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], {"StringEquals": namespaces})
    # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    alarms = [names.arn("cloudwatch", f"alarm:{alarm}") for alarm in alarm_names]
    yield iam.allow("RollbackAlarms", ["cloudwatch:DescribeAlarms"], alarms)


def _instances(
    names: Names, key_arn: str, subnet_ids: Sequence[str], group_ids: Sequence[str]
) -> Iterator[iam.Statement]:
    """Encrypted volumes, and network interfaces in the given subnets and groups."""
    for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    yield iam.allow("EncryptVolumes", ["kms:CreateGrant"], [key_arn], for_aws)
    interfaces = names.arn("ec2", "network-interface/*")
    subnets = [names.arn("ec2", f"subnet/{subnet}") for subnet in subnet_ids]
    groups = [names.arn("ec2", f"security-group/{group}") for group in group_ids]
    yield iam.allow("MakeInterfaces", ["ec2:CreateNetworkInterface"], [interfaces, *subnets, *groups])
    yield iam.allow(
        "UseInterfaces",
        [
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
        ],
        [interfaces],
        {"ArnEquals": {"ec2:Subnet": subnets}},
    )
    # They have no resources to name.
    described = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
    yield iam.allow("SeeNetwork", [f"ec2:Describe{kind}" for kind in described], ["*"])


def _capture(names: Names, model: str, key_arn: str) -> Iterator[iam.Statement]:
    """Writing captured requests and answers."""
    yield iam.allow("Capture", ["s3:PutObject"], [f"{names.bucket_arn('data')}/capture/{model}/*"])
    yield iam.allow("EncryptCaptured", ["kms:GenerateDataKey"], [key_arn])


def _jobs(names: Names, model: str, key_arn: str, topic_arns: Sequence[str]) -> Iterator[iam.Statement]:
    """Reading requests of jobs, writing answers and telling of them.

    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-create-endpoint-prerequisites.html
    """
    bucket, folder = names.bucket_arn("data"), f"work/{model}/*"
    yield iam.allow("ListJobs", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [folder]}})
    actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    yield iam.allow("Answer", actions, [f"{bucket}/{folder}"])
    yield iam.allow("EncryptAnswers", ["kms:GenerateDataKey"], [key_arn])
    yield iam.allow("Tell", ["sns:Publish"], topic_arns)
