"""What wakes the control function of jobs: files that come, and the clock for what fell between two steps."""

import json
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from naming import Names

_STALLED = "rate(5 minutes)"


def rules(
    name: str,
    *,
    names: Names,
    tags: Mapping[str, str],
    queue_arn: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Both rules, which put their events into the control queue."""

    def rule(
        role: str,
        description: str,
        *,
        message: str | None = None,
        event_pattern: str | None = None,
        schedule_expression: str | None = None,
    ) -> None:
        made = aws.cloudwatch.EventRule(
            f"{name}-{role}",
            name=f"{names.prefix}-jobs-{role}",
            description=description,
            tags=tags,
            event_pattern=event_pattern,
            schedule_expression=schedule_expression,
            opts=opts,
        )
        aws.cloudwatch.EventTarget(
            f"{name}-{role}-target",
            rule=made.name,
            target_id="control",
            arn=queue_arn,
            input=message,
            opts=opts,
        )

    created = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [names.bucket("data")]},
            "object": {"key": [{"prefix": "input/"}]},
        },
    }
    rule("files", "Files become jobs", event_pattern=json.dumps(created))
    sweep = json.dumps({"sweep": True})
    rule("sweep", "Stalled jobs go on", schedule_expression=_STALLED, message=sweep)


def rule_arns(names: Names) -> str:
    """Pattern of the rules' ARNs, known before they are made."""
    return names.arn("events", f"rule/{names.prefix}-jobs-*")
