"""S3 buckets: models, data (`input/`, `output/`, `capture/`) and access logs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import iam
from components.bucket import LifecycleRule, SecureBucket, SecureBucketArgs
from components.tags import Tags
from naming import Names

_PARTS_DAYS = 14
"""Parts of jobs are needed for as long as a failed one can be tried again: the age of a dead letter. Answers
of queries can be asked for again."""


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Arguments of `Storage`."""

    names: Names
    tags: Tags
    kms_key_arn: pulumi.Input[str]
    noncurrent_days: int = 30
    results_days: int = 90
    """Days that job outputs are kept."""
    access_logs_days: int = 365
    force_destroy: bool = False
    require_tls: bool = True
    protect: bool = True


class Storage(pulumi.ComponentResource):
    """The platform's buckets.

    Models go to Intelligent-Tiering at once (they are read often or never). Job inputs and outputs go to
    Glacier Instant Retrieval after 30 days, where they are kept that long, and expire.
    """

    models: SecureBucket
    data: SecureBucket
    logs: SecureBucket

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:storage:Storage", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        def bucket(
            role: str,
            *,
            lifecycle: Sequence[LifecycleRule],
            statements: Sequence[iam.Statement] = (),
            logs: SecureBucket | None = None,
            event_bridge: bool = False,
        ) -> SecureBucket:
            return SecureBucket(
                f"{name}-{role}",
                SecureBucketArgs(
                    names=args.names,
                    tags=args.tags,
                    role=role,
                    kms_key_arn=args.kms_key_arn if logs else None,
                    access_logs_bucket=logs.bucket if logs else None,
                    lifecycle=lifecycle,
                    statements=statements,
                    noncurrent_days=args.noncurrent_days,
                    force_destroy=args.force_destroy,
                    require_tls=args.require_tls,
                    protect=args.protect,
                    event_bridge=event_bridge,
                ),
                opts=child,
            )

        self.logs = bucket(
            "logs",
            lifecycle=[_expiry_rule("access-logs", "", args.access_logs_days)],
            statements=[_log_delivery_statement(args.names)],
        )
        self.models = bucket("models", lifecycle=[_tiering_rule()], logs=self.logs, event_bridge=True)
        self.data = bucket(
            "data",
            lifecycle=[
                _expiry_rule("inputs", "input/", args.results_days),
                _expiry_rule("results", "output/", args.results_days),
                _expiry_rule("parts", "work/", _PARTS_DAYS),
                _expiry_rule("queries", "queries/", _PARTS_DAYS),
                _expiry_rule("capture", "capture/", args.results_days),
            ],
            logs=self.logs,
            event_bridge=True,
        )
        self.register_outputs(
            {"models": self.models.bucket, "data": self.data.bucket, "logs": self.logs.bucket}
        )


def _log_delivery_statement(names: Names) -> iam.Statement:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
    return {
        "Sid": "AccessLogDelivery",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{names.bucket_arn('logs')}/s3/*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": names.account_id},
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{names.prefix}-{names.account_id}-*"},
        },
    }


def _tiering_rule() -> LifecycleRule:
    return {
        "id": "tiering",
        "status": "Enabled",
        "filter": {"prefix": "models/"},
        "transitions": [{"days": 0, "storage_class": "INTELLIGENT_TIERING"}],
    }


def _expiry_rule(rule_id: str, prefix: str, days: int) -> LifecycleRule:
    """Objects under `prefix` expire after `days`; Glacier Instant Retrieval bills 90 days at least, so only
    objects that stay that long after the move at day 30 go there."""
    rule: LifecycleRule = {
        "id": rule_id,
        "status": "Enabled",
        "filter": {"prefix": prefix},
        "expiration": {"days": days},
    }
    if days >= 120:
        rule["transitions"] = [{"days": 30, "storage_class": "GLACIER_IR"}]
    return rule
