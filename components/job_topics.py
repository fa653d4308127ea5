"""Topics on which an endpoint tells that jobs are finished or have failed."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from naming import Names


@dataclass(frozen=True, kw_only=True)
class JobTopicsArgs:
    """Arguments of `JobTopics`."""

    names: Names
    tags: Mapping[str, str]
    """Tags of the topics."""
    model: str
    """Name of the model; part of the topics' names."""
    data_key_arn: pulumi.Input[str]
    """Key that encrypts the messages; who publishes or subscribes needs it, too."""
    queue_arn: pulumi.Input[str]
    """Queue that hears of both; its policy must let `senders` in."""
    require_tls: bool = True
    """Whether messages without TLS are denied; only the embedded AWS, plain HTTP, turns it off."""


class JobTopics(pulumi.ComponentResource):
    """Two encrypted topics, which take messages over TLS only and hand them on to the model's jobs queue."""

    success_arn: pulumi.Output[str]
    error_arn: pulumi.Output[str]

    def __init__(self, name: str, args: JobTopicsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:job_topics:JobTopics", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.success_arn, self.error_arn = self._topic("succeeded"), self._topic("failed")
        self.register_outputs({"success_arn": self.success_arn, "error_arn": self.error_arn})

    def _topic(self, role: str) -> pulumi.Output[str]:
        args = self._args
        topic_name = f"{_prefix(args.names, args.model)}-{role}"
        topic = aws.sns.Topic(
            f"{self._name}-{role}",
            name=topic_name,
            kms_master_key_id=args.data_key_arn,
            tags=args.tags,
            opts=self._child,
        )
        if args.require_tls:
            aws.sns.TopicPolicy(
                f"{self._name}-{role}-policy",
                arn=topic.arn,
                policy=iam.policy(
                    {
                        "Sid": "TlsOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sns:Publish",
                        "Resource": args.names.arn("sns", topic_name),
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ),
                opts=self._child,
            )
        aws.sns.TopicSubscription(
            f"{self._name}-{role}-to-queue",
            topic=topic.arn,
            protocol="sqs",
            endpoint=args.queue_arn,
            raw_message_delivery=True,
            opts=self._child,
        )
        return topic.arn


def senders(names: Names, model: str, queue_arn: str) -> list[iam.Statement]:
    """What the policy of a model's jobs queue must say so that both topics' messages get in."""
    return [
        {
            "Sid": "Answers",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnLike": {"aws:SourceArn": names.arn("sns", f"{_prefix(names, model)}-*")}},
        }
    ]


def _prefix(names: Names, model: str) -> str:
    return f"{names.prefix}-jobs-{model}"
