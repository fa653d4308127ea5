"""Patterns of alerts before events as their services document them, and before others that concern nobody.

https://docs.aws.amazon.com/health/latest/ug/cloudwatch-events-health.html
https://docs.aws.amazon.com/awssupport/latest/user/cloudwatch-events-ta.html
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
https://docs.aws.amazon.com/inspector/latest/user/findings-managing-automating-responses.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/config/latest/developerguide/monitor-config-with-cloudwatchevents.html
"""

import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from components.event_alerts import patterns

_TRUSTED_ADVISOR = "Trusted Advisor Check Item Refresh Notification"
_CONFIG = "Config Rules Compliance Change"

HEARD: list[tuple[str, str, str, dict[str, Any]]] = [
    # role, source, detail-type, detail
    (
        "health",
        "aws.health",
        "AWS Health Event",
        {"service": "EC2", "eventTypeCategory": "scheduledChange", "statusCode": "open"},
    ),
    (
        "trusted-advisor",
        "aws.trustedadvisor",
        _TRUSTED_ADVISOR,
        {"check-name": "Service Limits", "status": "ERROR"},
    ),
    ("guardduty", "aws.guardduty", "GuardDuty Finding", {"severity": 4, "type": "Recon:EC2/Portscan"}),
    ("guardduty", "aws.guardduty", "GuardDuty Finding", {"severity": 8.5}),
    ("inspector", "aws.inspector2", "Inspector2 Finding", {"severity": "CRITICAL", "status": "ACTIVE"}),
    (
        "failed-invocation",
        "lambda",
        "Lambda Function Invocation Result - Failure",
        {"requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3}},
    ),
    ("config", "aws.config", _CONFIG, {"newEvaluationResult": {"complianceType": "NON_COMPLIANT"}}),
]
PASSED_OVER: list[tuple[str, str, dict[str, Any]]] = [
    ("aws.trustedadvisor", _TRUSTED_ADVISOR, {"status": "WARN"}),
    ("aws.guardduty", "GuardDuty Finding", {"severity": 3.9}),
    ("aws.inspector2", "Inspector2 Finding", {"severity": "MEDIUM", "status": "ACTIVE"}),
    ("aws.inspector2", "Inspector2 Finding", {"severity": "CRITICAL", "status": "CLOSED"}),
    ("lambda", "Lambda Function Invocation Result - Success", {}),
    ("aws.config", _CONFIG, {"newEvaluationResult": {"complianceType": "COMPLIANT"}}),
]


def told_by(source: str, kind: str, detail: dict[str, Any]) -> list[str]:
    """Roles whose pattern an event fits."""
    event: Any = {
        "source": source,
        "detail-type": kind,
        "detail": detail,
        "region": "us-east-1",
        "resources": [],
    }
    return [
        role
        for role, (_, pattern) in patterns().items()
        if EventPattern.load(json.dumps(pattern)).matches_event(event)
    ]


@pytest.mark.parametrize(("role", "source", "kind", "detail"), HEARD)
def test_what_is_serious_is_told_once(role: str, source: str, kind: str, detail: dict[str, Any]) -> None:
    assert told_by(source, kind, detail) == [role]


def test_every_kind_has_an_event() -> None:
    assert {role for role, *_ in HEARD} == patterns().keys()


@pytest.mark.parametrize(("source", "kind", "detail"), PASSED_OVER)
def test_the_rest_wakes_nobody(source: str, kind: str, detail: dict[str, Any]) -> None:
    assert told_by(source, kind, detail) == []
