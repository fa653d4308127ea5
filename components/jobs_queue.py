"""Where the jobs of a model wait, and where those end up that fail again and again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from naming import Names

_DAYS = 24 * 60 * 60


def queue_prefix(names: Names) -> str:
    """How the names of all jobs queues of an environment begin.

    SQS takes 80 characters: the longest environment and model names leave five for what stands between.
    """
    return f"{names.prefix}-job-"


def dead_letters_prefix(names: Names) -> str:
    """How the names of all dead-letter queues of jobs begin."""
    return f"{names.prefix}-dlq-"


@dataclass(frozen=True, kw_only=True)
class JobsQueueArgs:
    """Arguments of `JobsQueue`."""

    names: Names
    tags: Mapping[str, str]
    model: str
    data_key_arn: pulumi.Input[str]
    visibility_timeout_s: int = 900
    """How long a worker has for one job before another worker gets it."""
    deliveries: int = 6
    """How often a message is delivered before SQS puts it away by itself; workers give up earlier, since they
    know the reason."""
    require_tls: bool = True
    """Whether calls without TLS are denied; only the embedded AWS, plain HTTP on loopback, turns it off."""
    senders: Sequence[iam.Statement] = ()
    """Further statements of the queue's policy: services that put messages into it."""


class JobsQueue(pulumi.ComponentResource):
    """An encrypted queue that takes TLS only, with a dead-letter queue beside it.

    A job may wait for four days, a failed one is kept for fourteen.
    """

    url: pulumi.Output[str]
    arn: pulumi.Output[str]
    dead_letters_url: pulumi.Output[str]
    dead_letters_arn: pulumi.Output[str]

    def __init__(self, name: str, args: JobsQueueArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:jobs_queue:JobsQueue", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        dead_letters = self._queue(
            "dead-letters", dead_letters_prefix(args.names) + args.model, retention_days=14
        )
        queue = self._queue(
            "queue", queue_prefix(args.names) + args.model, retention_days=4, dead_letters=dead_letters
        )
        aws.sqs.RedriveAllowPolicy(
            f"{name}-redrive",
            queue_url=dead_letters.url,
            redrive_allow_policy=queue.arn.apply(
                lambda arn: json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn]})
            ),
            opts=self._child,
        )
        self.url, self.arn = queue.url, queue.arn
        self.dead_letters_url, self.dead_letters_arn = dead_letters.url, dead_letters.arn
        self.register_outputs({"url": self.url, "arn": self.arn})

    def _queue(
        self, role: str, queue_name: str, *, retention_days: int, dead_letters: aws.sqs.Queue | None = None
    ) -> aws.sqs.Queue:
        args = self._args
        queue = aws.sqs.Queue(
            f"{self._name}-{role}",
            name=queue_name,
            kms_master_key_id=args.data_key_arn,
            kms_data_key_reuse_period_seconds=300,
            message_retention_seconds=retention_days * _DAYS,
            visibility_timeout_seconds=args.visibility_timeout_s,
            receive_wait_time_seconds=20,  # long polling, the longest that SQS knows
            redrive_policy=dead_letters.arn.apply(
                lambda arn: json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": args.deliveries})
            )
            if dead_letters is not None
            else None,
            tags=args.tags,
            opts=self._child,
        )
        statements = [
            *([_tls_only(args.names.arn("sqs", queue_name))] if args.require_tls else ()),
            *(args.senders if dead_letters is not None else ()),
        ]
        if statements:
            aws.sqs.QueuePolicy(
                f"{self._name}-{role}-policy",
                queue_url=queue.url,
                policy=iam.policy(*statements),
                opts=self._child,
            )
        return queue


def _tls_only(queue_arn: str) -> iam.Statement:
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
