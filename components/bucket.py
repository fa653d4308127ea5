"""One S3 bucket with everything around it that makes it safe to keep data in."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.tags import Tags
from naming import Names

LifecycleRule = aws.s3.BucketLifecycleConfigurationRuleArgsDict


@dataclass(frozen=True, kw_only=True)
class SecureBucketArgs:
    """Arguments of `SecureBucket`."""

    names: Names
    tags: Tags
    role: str
    """What the bucket is for; the last part of its name."""
    kms_key_arn: pulumi.Input[str] | None = None
    """Key of the default encryption; None means S3-managed keys (all that access-log delivery can use)."""
    access_logs_bucket: pulumi.Input[str] | None = None
    """Bucket that receives access logs; None for the log bucket itself."""
    lifecycle: Sequence[LifecycleRule] = ()
    """Rules beside the ones every bucket has."""
    statements: Sequence[iam.Statement] = ()
    """Bucket policy statements beside the TLS ones."""
    noncurrent_days: int = 30
    """Days that an overwritten or deleted object version is kept."""
    force_destroy: bool = False
    require_tls: bool = True
    protect: bool = True
    object_lock: bool = False
    """Whether object versions can be locked; decided when the bucket is made."""
    event_bridge: bool = False
    """Whether object events go to EventBridge."""


class SecureBucket(pulumi.ComponentResource):
    """A private, versioned, encrypted bucket: owner enforced, TLS 1.2 only, logged, with a lifecycle."""

    bucket: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: SecureBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:storage:SecureBucket", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args.names.bucket(args.role),
            force_destroy=args.force_destroy,
            object_lock_enabled=args.object_lock or None,
            tags=args.tags.component("storage"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.bucket, self.arn = bucket.bucket, bucket.arn
        aws.s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.bucket,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child,
        )
        access_block = aws.s3.BucketPublicAccessBlock(
            f"{name}-public-access-block",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.bucket,
            rules=[
                {
                    "apply_server_side_encryption_by_default": (
                        {"sse_algorithm": "aws:kms", "kms_master_key_id": args.kms_key_arn}
                        if args.kms_key_arn is not None
                        else {"sse_algorithm": "AES256"}
                    ),
                    "bucket_key_enabled": args.kms_key_arn is not None,
                }
            ],
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        lifecycle = aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.bucket,
            rules=[_cleanup_rule(args.noncurrent_days), *args.lifecycle],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        statements = [*(_tls_statements(args) if args.require_tls else ()), *args.statements]
        if statements:
            aws.s3.BucketPolicy(
                f"{name}-policy",
                bucket=bucket.bucket,
                policy=iam.policy(*statements),
                # S3 answers 409 when the access block and the policy change at once; and the policy may deny
                # what the others need.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[access_block, versioning, lifecycle]),
            )
        if args.access_logs_bucket is not None:
            aws.s3.BucketLogging(
                f"{name}-logging",
                bucket=bucket.bucket,
                target_bucket=args.access_logs_bucket,
                target_prefix=f"s3/{args.role}/",
                opts=child,
            )
        if args.event_bridge:
            aws.s3.BucketNotification(f"{name}-events", bucket=bucket.bucket, eventbridge=True, opts=child)
        self.register_outputs({"bucket": self.bucket, "arn": self.arn})


def _tls_statements(args: SecureBucketArgs) -> list[iam.Statement]:
    arn = args.names.bucket_arn(args.role)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return [
        {"Sid": "TlsOnly", **deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Sid": "Tls12", **deny, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    ]


def _cleanup_rule(noncurrent_days: int) -> LifecycleRule:
    return {
        "id": "cleanup",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
        "noncurrent_version_expiration": {"noncurrent_days": noncurrent_days},
    }
