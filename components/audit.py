"""Who did what, recorded so that it cannot be undone, and told when somebody must know."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam, metric
from components.audit_bucket import AuditBucket, AuditBucketArgs
from components.audit_events import AUDIT_EVENTS
from components.count_alarm import ring
from components.keys import account_statement
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """Arguments of `Audit`."""

    names: Names
    tags: Tags
    topic_arn: pulumi.Input[str]
    """Topic that hears of what must not wait."""
    access_logs_bucket: pulumi.Input[str]
    """Bucket that receives the access logs of the audit bucket."""
    management_trail: bool = True
    """Whether management events are recorded, too; once in an account is enough."""
    retention_days: int = 400
    """Days that records are kept, in the bucket and in the log group."""
    lock_days: int = 0
    """Days in which nobody can delete a record; 0 means no lock."""
    deletion_window_days: int = 30
    """Days (7 to 30) in which the deleted key can still be saved."""
    runbooks: str = "docs/runbooks"
    """Folder or URL of the runbook pages, as an alarm's text names them."""
    force_destroy: bool = False
    require_tls: bool = True
    protect: bool = True


class Audit(pulumi.ComponentResource):
    """A trail over all regions: validated, under a key of its own, in a bucket and in a log group.

    Data events are those of the models bucket, where a silent change would be served to clients. Metric
    filters on the log group count what somebody must hear of; an alarm on each tells within minutes.
    """

    bucket: pulumi.Output[str]
    key_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:audit:Audit", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("audit")
        self._trail_name = f"{args.names.prefix}-trail"
        key = self._key()
        bucket = AuditBucket(
            f"{name}-bucket",
            AuditBucketArgs(
                names=args.names,
                tags=args.tags,
                kms_key_arn=key.arn,
                access_logs_bucket=args.access_logs_bucket,
                trail_name=self._trail_name,
                retention_days=args.retention_days,
                lock_days=args.lock_days,
                force_destroy=args.force_destroy,
                require_tls=args.require_tls,
                protect=args.protect,
            ),
            opts=self._child,
        )
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/cloudtrail/{args.names.prefix}",
            retention_in_days=_log_days(args.retention_days),
            kms_key_id=key.arn,
            tags=self._tags,
            opts=self._child,
        )
        self._trail(bucket, key, log_group)
        for role in AUDIT_EVENTS if args.management_trail else ():
            self._alarm(role, log_group)
        self.bucket, self.key_arn = bucket.bucket, key.arn
        self.register_outputs({"bucket": self.bucket})

    def _key(self) -> aws.kms.Key:
        args, names = self._args, self._args.names
        trail_arn = names.arn("cloudtrail", f"trail/{self._trail_name}")
        key = aws.kms.Key(
            f"{self._name}-key",
            description="Audit records",
            enable_key_rotation=True,
            deletion_window_in_days=args.deletion_window_days,
            # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
            policy=iam.policy(
                account_statement(names.account_id),
                {
                    "Sid": "Trail",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudtrail.amazonaws.com"},
                    "Action": ["kms:DescribeKey", "kms:GenerateDataKey*"],
                    "Resource": "*",  # in a key policy, `*` means this key
                    "Condition": {"StringEquals": {"aws:SourceArn": trail_arn}},
                },
                {
                    "Sid": "Config",
                    "Effect": "Allow",
                    "Principal": {"Service": "config.amazonaws.com"},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                    "Resource": "*",  # in a key policy, `*` means this key
                    "Condition": {"StringEquals": {"aws:SourceAccount": names.account_id}},
                },
                {
                    "Sid": "Logs",
                    "Effect": "Allow",
                    "Principal": {"Service": f"logs.{names.region}.amazonaws.com"},
                    "Action": ["kms:Decrypt*", "kms:Describe*", "kms:Encrypt*", "kms:GenerateDataKey*"],
                    "Resource": "*",  # in a key policy, `*` means this key
                    "Condition": {
                        "ArnEquals": {
                            "kms:EncryptionContext:aws:logs:arn": names.arn(
                                "logs", f"log-group:/aws/cloudtrail/{names.prefix}"
                            )
                        }
                    },
                },
            ),
            tags=self._tags,
            opts=self._child,
        )
        aws.kms.Alias(
            f"{self._name}-key-alias",
            name=f"alias/{names.prefix}-audit",
            target_key_id=key.key_id,
            opts=self._child,
        )
        return key

    def _trail(self, bucket: AuditBucket, key: aws.kms.Key, log_group: aws.cloudwatch.LogGroup) -> None:
        args, names = self._args, self._args.names
        group_arn = names.arn("logs", f"log-group:/aws/cloudtrail/{names.prefix}:*")
        role = iam.role(
            f"{self._name}-trail",
            trust_policy=iam.trust("cloudtrail.amazonaws.com", names.account_id),
            statements=[iam.allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [group_arn])],
            description="CloudTrail writes its log",
            tags=self._tags,
            opts=self._child,
        )
        aws.cloudtrail.Trail(
            f"{self._name}-trail",
            name=self._trail_name,
            s3_bucket_name=bucket.bucket,
            s3_key_prefix="cloudtrail",
            kms_key_id=key.arn,
            is_multi_region_trail=True,
            include_global_service_events=args.management_trail,
            enable_log_file_validation=True,
            enable_logging=True,
            cloud_watch_logs_group_arn=log_group.arn.apply(lambda arn: f"{arn}:*"),
            cloud_watch_logs_role_arn=role.arn,
            event_selectors=[
                {
                    "include_management_events": args.management_trail,
                    "read_write_type": "All",
                    "data_resources": [
                        {"type": "AWS::S3::Object", "values": [f"{names.bucket_arn('models')}/"]}
                    ],
                }
            ],
            tags=self._tags,
            # CloudTrail tries to write into the bucket when it is told of it.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket], protect=args.protect),
        )

    def _alarm(self, role: str, log_group: aws.cloudwatch.LogGroup) -> None:
        event, args = AUDIT_EVENTS[role], self._args
        aws.cloudwatch.LogMetricFilter(
            f"{self._name}-{role}-filter",
            name=role,
            log_group_name=log_group.name,
            pattern=event.pattern,
            metric_transformation={
                "namespace": metric.AUDIT,
                "name": event.metric,
                "value": "1",
                "default_value": "0",
            },
            opts=self._child,
        )
        ring(
            f"{self._name}-{role}",
            alarm_name=f"{args.names.prefix}-{role}",
            text=f"{event.text}. Runbook: {args.runbooks}/{role}.md",
            counted=metric.audit(event.metric),
            more_than=event.threshold,
            topic_arn=args.topic_arn,
            tags=self._tags,
            opts=self._child,
        )


def _log_days(days: int) -> int:
    """The shortest retention of CloudWatch Logs that is at least so long; the bucket keeps what is older.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
    """
    allowed = (365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
    return next(each for each in allowed if each >= days)
