"""Where everything that needs a person's attention is told: one encrypted topic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.keys import account_statement
from components.tags import Tags
from naming import Names

# Who tells: alarms, event rules, budgets, cost anomalies.
_PUBLISHERS = (
    "cloudwatch.amazonaws.com",
    "events.amazonaws.com",
    "budgets.amazonaws.com",
    "costalerts.amazonaws.com",
)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Who is told."""

    protocol: Literal["email", "https", "sqs"]
    endpoint: str
    """Address, URL or ARN."""


@dataclass(frozen=True, kw_only=True)
class AlertTopicArgs:
    """Arguments of `AlertTopic`."""

    names: Names
    tags: Tags
    subscriptions: Sequence[Subscription] = ()
    """Who is told. An address must confirm the mail that it gets first."""
    deletion_window_days: int = 30
    """Days (7 to 30) in which the deleted key can still be saved."""


class AlertTopic(pulumi.ComponentResource):
    """A topic under a key of its own, on which AWS's watchers publish for this account only.

    They cannot use a topic that is encrypted with SNS's own key, whose policy names nobody:
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: AlertTopicArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:alert_topic:AlertTopic", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names, tags = args.names, args.tags.component("observability")
        topic_name = f"{names.prefix}-alerts"
        topic_arn = names.arn("sns", topic_name)
        key = aws.kms.Key(
            f"{name}-key",
            description="Alerts on their way",
            enable_key_rotation=True,
            deletion_window_in_days=args.deletion_window_days,
            policy=iam.policy(
                account_statement(names.account_id),
                {
                    "Sid": "Publishers",
                    "Effect": "Allow",
                    "Principal": {"Service": list(_PUBLISHERS)},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": "*",  # in a key policy, `*` means this key
                    "Condition": {"StringEquals": {"aws:SourceAccount": names.account_id}},
                },
            ),
            tags=tags,
            opts=child,
        )
        aws.kms.Alias(
            f"{name}-key-alias", name=f"alias/{names.prefix}-alerts", target_key_id=key.key_id, opts=child
        )
        topic = aws.sns.Topic(
            f"{name}-topic",
            name=topic_name,
            display_name=names.prefix,
            kms_master_key_id=key.arn,
            tags=tags,
            opts=child,
        )
        aws.sns.TopicPolicy(
            f"{name}-policy",
            arn=topic.arn,
            policy=iam.policy(
                {
                    "Sid": "Publishers",
                    "Effect": "Allow",
                    "Principal": {"Service": list(_PUBLISHERS)},
                    "Action": "sns:Publish",
                    "Resource": topic_arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": names.account_id}},
                },
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "sns:Publish",
                    "Resource": topic_arn,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
            ),
            opts=child,
        )
        for place, subscription in enumerate(args.subscriptions, start=1):
            aws.sns.TopicSubscription(
                f"{name}-{subscription.protocol}-{place}",
                topic=topic.arn,
                protocol=subscription.protocol,
                endpoint=subscription.endpoint,
                opts=child,
            )
        self.arn = topic.arn
        self.register_outputs({"arn": self.arn})
