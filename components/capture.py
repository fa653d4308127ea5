"""The stream that carries the statistics of a model's requests to the data bucket."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from naming import Names


@dataclass(frozen=True, kw_only=True)
class CaptureStreamArgs:
    """Arguments of `CaptureStream`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of its resources."""
    model: str
    """Whose requests are counted."""
    data_bucket_arn: pulumi.Input[str]
    """Bucket that receives the records, below `capture/<model>/`."""
    data_key_arn: pulumi.Input[str]
    """Key that encrypts them."""
    share: float = 0.1
    """Share of the requests that is counted."""
    raw: bool = False
    """Whether rows of input are kept as they came."""
    flush_s: int = 60
    """Seconds of counts in one record."""
    buffer_s: int = 300
    """How long records wait for others to be in one object with, seconds."""


class CaptureStream(pulumi.ComponentResource):
    """A Firehose stream of one model, which may write below that model's prefix and nowhere else."""

    stream_name: str
    environment: Mapping[str, str]
    """Variables of the model's server."""

    def __init__(
        self, name: str, args: CaptureStreamArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:capture:CaptureStream", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names, prefix = args.names, f"capture/{args.model}/"
        self.stream_name = names.function(f"capture-{args.model}")
        self.environment = {
            "CAPTURE_STREAM": self.stream_name,
            "CAPTURE_SHARE": f"{args.share:g}",
            "CAPTURE_RAW": str(args.raw).lower(),
            "CAPTURE_FLUSH_S": f"{args.flush_s:g}",
        }
        role = iam.role(
            name,
            trust_policy=iam.trust("firehose.amazonaws.com", names.account_id),
            statements=pulumi.Output.from_input(args.data_key_arn).apply(
                lambda key: [
                    iam.allow(
                        "Write",
                        ["s3:PutObject", "s3:AbortMultipartUpload"],
                        [f"{names.bucket_arn('data')}/{prefix}*"],
                    ),
                    iam.allow("Place", ["s3:GetBucketLocation"], [names.bucket_arn("data")]),
                    iam.allow("Encrypt", ["kms:GenerateDataKey", "kms:Decrypt"], [key]),
                ]
            ),
            description=f"Carries the statistics of model {args.model} to S3",
            tags=args.tags,
            opts=child,
        )
        aws.kinesis.FirehoseDeliveryStream(
            f"{name}-stream",
            name=self.stream_name,
            destination="extended_s3",
            extended_s3_configuration={
                "role_arn": role.arn,
                "bucket_arn": args.data_bucket_arn,
                "prefix": prefix + "!{timestamp:yyyy/MM/dd/HH}/",
                "error_output_prefix": f"{prefix}errors/!{{firehose:error-output-type}}/",
                "buffering_interval": args.buffer_s,
                "buffering_size": 5,
                "compression_format": "UNCOMPRESSED",
                "kms_key_arn": args.data_key_arn,
            },
            server_side_encryption={
                "enabled": True,
                "key_type": "CUSTOMER_MANAGED_CMK",
                "key_arn": args.data_key_arn,
            },
            tags=args.tags,
            opts=child,
        )
        self.register_outputs({"stream_name": self.stream_name})

    def statement(self, names: Names) -> iam.Statement:
        """What the model's server needs to send records."""
        stream = names.arn("firehose", f"deliverystream/{self.stream_name}")
        return iam.allow("Capture", ["firehose:PutRecord"], [stream])
