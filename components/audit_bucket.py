"""The bucket that audit records go to, which no role of the platform can delete from."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.bucket import SecureBucket, SecureBucketArgs
from components.tags import Tags
from naming import Names

ROLE = "audit"
"""Last part of the bucket's name."""


@dataclass(frozen=True, kw_only=True)
class AuditBucketArgs:
    """Arguments of `AuditBucket`."""

    names: Names
    tags: Tags
    kms_key_arn: pulumi.Input[str]
    access_logs_bucket: pulumi.Input[str]
    """Bucket that receives access logs."""
    trail_name: str
    """Name of the trail that writes into it."""
    retention_days: int = 400
    """Days that records are kept."""
    lock_days: int = 0
    """Days in which nobody can delete a record, the account's root included; 0 means no lock."""
    force_destroy: bool = False
    require_tls: bool = True
    protect: bool = True


class AuditBucket(pulumi.ComponentResource):
    """Takes records from CloudTrail and Config, of this account only.

    Every role of the platform carries the tag `platform`, and the bucket's policy denies such principals to
    delete, to shorten the retention and to change the policy. Records go when they expire, by S3's own hand.
    """

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: AuditBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:audit_bucket:AuditBucket", name, None, opts)
        secure = SecureBucket(
            name,
            SecureBucketArgs(
                names=args.names,
                tags=args.tags,
                role=ROLE,
                kms_key_arn=args.kms_key_arn,
                access_logs_bucket=args.access_logs_bucket,
                lifecycle=[
                    {
                        "id": "records",
                        "status": "Enabled",
                        "filter": {"prefix": ""},
                        "transitions": [{"days": 90, "storage_class": "GLACIER_IR"}],
                        "expiration": {"days": args.retention_days},
                    }
                ],
                statements=_statements(args),
                noncurrent_days=max(30, args.lock_days),
                force_destroy=args.force_destroy,
                require_tls=args.require_tls,
                protect=args.protect,
                object_lock=args.lock_days > 0,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.lock_days:
            aws.s3.BucketObjectLockConfiguration(
                f"{name}-lock",
                bucket=secure.bucket,
                rule={"default_retention": {"mode": "COMPLIANCE", "days": args.lock_days}},
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.bucket = secure.bucket
        self.register_outputs({"bucket": self.bucket})


def _statements(args: AuditBucketArgs) -> list[iam.Statement]:
    """https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html"""
    names = args.names
    arn = names.bucket_arn(ROLE)
    from_trail = {"StringEquals": {"aws:SourceArn": names.arn("cloudtrail", f"trail/{args.trail_name}")}}
    from_account = {"StringEquals": {"aws:SourceAccount": names.account_id}}

    def service(sid: str, principal: str, action: str, resource: str, condition: object) -> iam.Statement:
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": f"{principal}.amazonaws.com"},
            "Action": action,
            "Resource": resource,
            "Condition": condition,
        }

    return [
        service("TrailLooks", "cloudtrail", "s3:GetBucketAcl", arn, from_trail),
        service(
            "TrailWrites",
            "cloudtrail",
            "s3:PutObject",
            f"{arn}/cloudtrail/AWSLogs/{names.account_id}/*",
            from_trail,
        ),
        service("ConfigLooks", "config", "s3:GetBucketAcl", arn, from_account),
        service("ConfigLists", "config", "s3:ListBucket", arn, from_account),
        service(
            "ConfigWrites",
            "config",
            "s3:PutObject",
            f"{arn}/config/AWSLogs/{names.account_id}/Config/*",
            from_account,
        ),
        {
            "Sid": "PlatformDeletesNothing",
            "Effect": "Deny",
            "Principal": "*",
            "Action": [
                "s3:BypassGovernanceRetention",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:PutBucketPolicy",
                "s3:PutBucketVersioning",
                "s3:PutLifecycleConfiguration",
            ],
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"StringEquals": {"aws:PrincipalTag/platform": names.platform}},
        },
    ]
