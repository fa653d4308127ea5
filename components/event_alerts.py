"""Events of AWS services that people must hear of, sent to the alert topic."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.tags import Tags

_SERIOUS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "health": ("AWS tells of an event that touches this account", {"source": ["aws.health"]}),
    "trusted-advisor": (
        "Trusted Advisor finds an error",
        {
            "source": ["aws.trustedadvisor"],
            "detail-type": ["Trusted Advisor Check Item Refresh Notification"],
            "detail": {"status": ["ERROR"]},
        },
    ),
    # 4 to 6.9 is medium: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
    "guardduty": (
        "GuardDuty has a finding of medium or higher severity",
        {
            "source": ["aws.guardduty"],
            "detail-type": ["GuardDuty Finding"],
            "detail": {"severity": [{"numeric": [">=", 4]}]},
        },
    ),
    "inspector": (
        "Inspector finds a serious vulnerability in an image or a function",
        {
            "source": ["aws.inspector2"],
            "detail-type": ["Inspector2 Finding"],
            "detail": {"severity": ["CRITICAL", "HIGH"], "status": ["ACTIVE"]},
        },
    ),
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    "failed-invocation": (
        "A scheduled function failed, and so did its retries",
        {"source": ["lambda"], "detail-type": ["Lambda Function Invocation Result - Failure"]},
    ),
    "config": (
        "A resource no longer holds a guarantee of the platform",
        {
            "source": ["aws.config"],
            "detail-type": ["Config Rules Compliance Change"],
            "detail": {"newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]}},
        },
    ),
}
"""Role -> (what it means, event pattern)."""


@dataclass(frozen=True, kw_only=True)
class EventAlertsArgs:
    """Arguments of `EventAlerts`."""

    tags: Tags
    topic_arn: pulumi.Input[str]
    """Topic that hears of them."""


class EventAlerts(pulumi.ComponentResource):
    """One rule for each kind of event, with the topic as its target."""

    def __init__(self, name: str, args: EventAlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:event_alerts:EventAlerts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for role, (text, pattern) in patterns().items():
            tell(
                f"{name}-{role}",
                description=text,
                event_pattern=json.dumps(pattern),
                topic_arn=args.topic_arn,
                tags=args.tags.component("audit"),
                opts=child,
            )
        self.register_outputs({})


def patterns() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Role -> (what it means, event pattern)."""
    return _SERIOUS


def tell(
    name: str,
    *,
    description: str,
    event_pattern: pulumi.Input[str],
    topic_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    input_path: str | None = None,
) -> None:
    """A rule that sends events to the alert topic: whole, or what is at a JSON path in them."""
    rule = aws.cloudwatch.EventRule(
        name, description=description, event_pattern=event_pattern, tags=tags, opts=opts
    )
    aws.cloudwatch.EventTarget(
        f"{name}-topic",
        rule=rule.name,
        target_id="alerts",
        arn=topic_arn,
        input_path=input_path,
        opts=opts,
    )
