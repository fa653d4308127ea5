"""Customer managed KMS keys for data, logs and secrets: access to one gives none to the others."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class KeysArgs:
    """Arguments of `Keys`."""

    names: Names
    tags: Tags
    deletion_window_days: int = 30
    """Days (7 to 30) in which a deleted key can still be saved."""


class Keys(pulumi.ComponentResource):
    """Three symmetric keys with yearly rotation, and an alias for each.

    The account's IAM policies decide who uses a key; the logs key also serves CloudWatch Logs, for this
    account's log groups only, and the data key EventBridge and SNS, for messages of this account.
    """

    data_arn: pulumi.Output[str]
    logs_arn: pulumi.Output[str]
    secrets_arn: pulumi.Output[str]

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:keys:Keys", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        def key(role: str, description: str, *statements: iam.Statement) -> pulumi.Output[str]:
            created = aws.kms.Key(
                f"{name}-{role}",
                description=description,
                enable_key_rotation=True,
                deletion_window_in_days=args.deletion_window_days,
                policy=iam.policy(account_statement(args.names.account_id), *statements),
                tags=args.tags.component("keys"),
                opts=child,
            )
            aws.kms.Alias(
                f"{name}-{role}-alias",
                name=f"alias/{args.names.prefix}-{role}",
                target_key_id=created.key_id,
                opts=child,
            )
            return created.arn

        self.data_arn = key(
            "data", "Models, datasets, results and function settings", _messages_statement(args.names)
        )
        self.logs_arn = key("logs", "CloudWatch log groups", _cloudwatch_logs_statement(args.names))
        self.secrets_arn = key("secrets", "Tenant credentials in Parameter Store")
        self.register_outputs(
            {"data_arn": self.data_arn, "logs_arn": self.logs_arn, "secrets_arn": self.secrets_arn}
        )


def account_statement(account_id: str) -> iam.Statement:
    # Without it no IAM policy could grant use of the key and nobody could administer it:
    # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    return {
        "Sid": "AccountPolicies",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",  # in a key policy, `*` means this key
    }


def _messages_statement(names: Names) -> iam.Statement:
    # Rules and topics put messages into encrypted queues:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html#eb-sqs-encrypted
    # https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html
    return {
        "Sid": "MessagesToQueues",
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": "*",  # in a key policy, `*` means this key
        "Condition": {"StringEquals": {"aws:SourceAccount": names.account_id}},
    }


def _cloudwatch_logs_statement(names: Names) -> iam.Statement:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    return {
        "Sid": "CloudWatchLogs",
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{names.region}.amazonaws.com"},
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",  # in a key policy, `*` means this key
        "Condition": {
            "ArnLike": {"kms:EncryptionContext:aws:logs:arn": names.arn("logs", "log-group:*")},
        },
    }
