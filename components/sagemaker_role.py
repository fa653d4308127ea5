"""What SageMaker may do for a model: feed its containers and watch them. No container gets the role itself.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createmodel-perms
"""

from collections.abc import Iterator, Sequence

from components import iam
from components.ecr import registry_host
from components.names import Names


def model_statements(names: Names, model: str, key_arn: str) -> Iterator[iam.Statement]:
    """Reading the files of one model."""
    bucket, folder = names.bucket_arn("models"), f"models/{model}/*"
    yield iam.allow("ListModel", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [folder]}})
    yield iam.allow("ReadModel", ["s3:GetObject"], [f"{bucket}/{folder}"])
    yield iam.allow("Decrypt", ["kms:Decrypt"], [key_arn])


def image_statements(names: Names, images: Sequence[str]) -> Iterator[iam.Statement]:
    """Pulling images.

    Raises:
        ValueError: an image is not in the account's registry.
    """
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


def watch_statements(names: Names, log_group: str, alarm_names: Sequence[str]) -> Iterator[iam.Statement]:
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


def instance_statements(
    names: Names, key_arn: str, subnet_ids: Sequence[str], security_group_id: str
) -> Iterator[iam.Statement]:
    """Encrypted volumes, and network interfaces in the given subnets and group."""
    for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    yield iam.allow("EncryptVolumes", ["kms:CreateGrant"], [key_arn], for_aws)
    interfaces = names.arn("ec2", "network-interface/*")
    subnets = [names.arn("ec2", f"subnet/{subnet}") for subnet in subnet_ids]
    group = names.arn("ec2", f"security-group/{security_group_id}")
    yield iam.allow("MakeInterfaces", ["ec2:CreateNetworkInterface"], [interfaces, *subnets, group])
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


def capture_statements(names: Names, model: str, key_arn: str) -> Iterator[iam.Statement]:
    """Writing captured requests and answers."""
    yield iam.allow("Capture", ["s3:PutObject"], [f"{names.bucket_arn('data')}/capture/{model}/*"])
    yield iam.allow("EncryptCaptured", ["kms:GenerateDataKey"], [key_arn])


def job_statements(
    names: Names, model: str, key_arn: str, topic_arns: Sequence[str]
) -> Iterator[iam.Statement]:
    """Reading jobs, writing results and telling of them.

    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-create-endpoint-prerequisites.html
    """
    bucket = names.bucket_arn("data")
    folders = {"s3:prefix": [f"{kind}/{model}/*" for kind in ("input", "output")]}
    yield iam.allow("ListJobs", ["s3:ListBucket"], [bucket], {"StringLike": folders})
    yield iam.allow("ReadJobs", ["s3:GetObject"], [f"{bucket}/input/{model}/*"])
    results = ["s3:AbortMultipartUpload", "s3:PutObject"]
    yield iam.allow("WriteResults", results, [f"{bucket}/output/{model}/*"])
    yield iam.allow("EncryptResults", ["kms:GenerateDataKey"], [key_arn])
    yield iam.allow("Tell", ["sns:Publish"], topic_arns)
