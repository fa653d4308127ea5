"""SageMaker's own monitor of data quality: a job that reads what an endpoint captured, again and again."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.event_alerts import tell
from components.tags import Tags
from naming import Names

# Accounts of AWS that hold the monitor's image, by region:
# https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-pre-built-container.html
_ACCOUNTS = {
    "ap-northeast-1": "574779866223",
    "ap-south-1": "126357580389",
    "ap-southeast-1": "245545462676",
    "ap-southeast-2": "563025443158",
    "ca-central-1": "536280801234",
    "eu-central-1": "048819808253",
    "eu-north-1": "895015795356",
    "eu-west-1": "468650794304",
    "eu-west-2": "749857270468",
    "eu-west-3": "680080141114",
    "sa-east-1": "539772159869",
    "us-east-1": "156813124566",
    "us-east-2": "777275614652",
    "us-west-1": "890145073186",
    "us-west-2": "159807026194",
}
_REPOSITORY = "sagemaker-model-monitor-analyzer"
_INSTANCE = "ml.m5.large"
_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_INSIDE = "/opt/ml/processing"


@dataclass(frozen=True, kw_only=True)
class DataQualityArgs:
    """Arguments of `DataQuality`."""

    names: Names
    tags: Tags
    model: str
    endpoint_name: pulumi.Input[str]
    """Endpoint that captures; it gives the schedule its name."""
    record_reader: pulumi.Input[pulumi.Asset]
    """The script that makes rows of captured requests (serving/monitor_record.py)."""
    data_bucket: pulumi.Input[str]
    """Bucket of what is captured, and of the reports."""
    data_key_arn: pulumi.Input[str]
    """Key of the bucket and of the job's volume."""
    topic_arn: pulumi.Input[str]
    """Topic that hears of violations."""
    every_minutes: int = 60
    """Minutes between two runs; rounded up to hours that divide a day, which is all that SageMaker takes."""


class DataQuality(pulumi.ComponentResource):
    """Checks that captured requests have the features of the live version, of its types and with no gaps.

    The constraints are those of the live version: the watch on drift renews them (serving/drift_app.py).

    Raises:
        ValueError: the monitor's image is not known in the region.
    """

    def __init__(self, name: str, args: DataQualityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:data_quality:DataQuality", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names, tags = args.names, args.tags.component("drift")
        if names.region not in _ACCOUNTS:
            raise ValueError(
                f"model {args.model}: SageMaker's monitor has no known image in {names.region}; "
                f"set its capture_percent to 0, or choose one of {', '.join(_ACCOUNTS)}"
            )
        folder = f"s3://{names.bucket('data')}/capture/{args.model}"
        reader = aws.s3.BucketObjectv2(
            f"{name}-record-reader",
            bucket=args.data_bucket,
            key=f"capture/{args.model}/reports/record_reader.py",
            source=args.record_reader,
            kms_key_id=args.data_key_arn,
            server_side_encryption="aws:kms",
            tags=tags,
            opts=child,
        )
        role = iam.role(
            name,
            trust_policy=iam.trust("sagemaker.amazonaws.com", names.account_id),
            statements=pulumi.Output.from_input(args.data_key_arn).apply(
                lambda key: statements(names, args.model, key)
            ),
            description=f"SageMaker checks what model {args.model} is asked",
            tags=tags,
            opts=child,
        )
        definition = aws.sagemaker.DataQualityJobDefinition(
            f"{name}-job",
            data_quality_app_specification={
                "image_uri": f"{_registry(names)}/{_REPOSITORY}",
                "record_preprocessor_source_uri": f"{folder}/reports/record_reader.py",
            },
            data_quality_baseline_config={
                "constraints_resource": {"s3_uri": f"{folder}/reports/constraints.json"}
            },
            data_quality_job_input={
                "endpoint_input": {"endpoint_name": args.endpoint_name, "local_path": f"{_INSIDE}/input"}
            },
            data_quality_job_output_config={
                "kms_key_id": args.data_key_arn,
                "monitoring_outputs": {
                    "s3_output": {"s3_uri": f"{folder}/reports/quality", "local_path": f"{_INSIDE}/output"}
                },
            },
            job_resources={
                "cluster_config": {
                    "instance_count": 1,
                    "instance_type": _INSTANCE,
                    "volume_size_in_gb": 20,
                    "volume_kms_key_id": args.data_key_arn,
                }
            },
            # Files come and go through SageMaker; the container itself talks to nobody.
            network_config={"enable_network_isolation": True},
            stopping_condition={"max_runtime_in_seconds": 1800},
            role_arn=role.arn,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role, reader]),
        )
        schedule = aws.sagemaker.MonitoringSchedule(
            f"{name}-schedule",
            name=args.endpoint_name,
            monitoring_schedule_config={
                "monitoring_type": "DataQuality",
                "monitoring_job_definition_name": definition.name,
                "schedule_config": {"schedule_expression": schedule_expression(args.every_minutes)},
            },
            tags=tags,
            opts=child,
        )
        tell(
            f"{name}-violations",
            description=f"Requests to model {args.model} do not have the features that it was trained on",
            event_pattern=schedule.arn.apply(_violations),
            topic_arn=args.topic_arn,
            tags=tags,
            opts=child,
        )
        self.register_outputs({})


def schedule_expression(every_minutes: int) -> str:
    """SageMaker's kind of cron: every hour, or every so many hours of a day from midnight, UTC.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-schedule-expression.html
    """
    hours = next(hours for hours in (1, 2, 3, 4, 6, 8, 12, 24) if hours >= math.ceil(every_minutes / 60))
    return {1: "cron(0 * ? * * *)", 24: "cron(0 0 ? * * *)"}.get(hours, f"cron(0 0/{hours} ? * * *)")


def statements(names: Names, model: str, data_key_arn: str) -> Sequence[iam.Statement]:
    """Reading what one model's endpoint captured, writing reports beside it, and the monitor's image."""
    bucket, folder = names.bucket_arn("data"), f"capture/{model}/*"
    repository = f"arn:aws:ecr:{names.region}:{_ACCOUNTS[names.region]}:repository/{_REPOSITORY}"
    group = names.arn("logs", f"log-group:{_LOG_GROUP}")
    return [
        iam.allow("Find", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": [folder]}}),
        iam.allow("Place", ["s3:GetBucketLocation"], [bucket]),
        iam.allow("Captured", ["s3:GetObject"], [f"{bucket}/{folder}"]),
        iam.allow("Reports", ["s3:PutObject"], [f"{bucket}/capture/{model}/reports/quality/*"]),
        iam.allow("Encrypt", ["kms:Decrypt", "kms:GenerateDataKey"], [data_key_arn]),
        iam.allow(
            "Volume", ["kms:CreateGrant"], [data_key_arn], {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        ),
        iam.allow("LogIn", ["ecr:GetAuthorizationToken"], ["*"]),  # has no resources to name
        iam.allow(
            "PullImage",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            [repository],
        ),
        iam.allow(
            "Logs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [group, f"{group}:*"],
        ),
    ]


def _registry(names: Names) -> str:
    return f"{_ACCOUNTS[names.region]}.dkr.ecr.{names.region}.amazonaws.com"


def _violations(schedule_arn: str) -> str:
    """Runs of one schedule that found violations.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html
    """
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Processing Job State Change"],
        "detail": {
            "MonitoringScheduleArn": [schedule_arn],
            "ProcessingJobStatus": ["Completed"],
            "ExitMessage": [{"prefix": "CompletedWithViolations"}],
        },
    }
    return json.dumps(pattern, sort_keys=True)
