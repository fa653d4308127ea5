"""What in the trail's log somebody must hear of at once: patterns of metric filters.

They follow the CIS AWS Foundations Benchmark, controls 4.1 to 4.16, as Security Hub describes them:
https://docs.aws.amazon.com/securityhub/latest/userguide/cloudwatch-controls.html
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One kind of event."""

    metric: str
    """Name of the metric that counts it."""
    text: str
    """What has happened when it is counted."""
    pattern: str
    """Metric filter that finds it.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"""
    threshold: int = 0
    """Events in five minutes that are still nothing to tell."""


def _any(field: str, values: tuple[str, ...]) -> str:
    return " || ".join(f"($.{field} = {value})" for value in values)


_IAM_CHANGES = (
    "AttachGroupPolicy",
    "AttachRolePolicy",
    "AttachUserPolicy",
    "CreateAccessKey",
    "CreatePolicy",
    "CreatePolicyVersion",
    "CreateUser",
    "DeleteGroupPolicy",
    "DeletePolicy",
    "DeletePolicyVersion",
    "DeleteRolePolicy",
    "DeleteUserPolicy",
    "DetachGroupPolicy",
    "DetachRolePolicy",
    "DetachUserPolicy",
    "PutGroupPolicy",
    "PutRolePolicy",
    "PutUserPolicy",
    "UpdateAssumeRolePolicy",
)
_TRAIL_CHANGES = ("DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail")
_KEY_LOSSES = ("DisableKey", "ScheduleKeyDeletion")

AUDIT_EVENTS: Mapping[str, AuditEvent] = {
    "root-use": AuditEvent(
        metric="RootUse",
        text="Somebody acts as the account's root user",
        pattern='{ ($.userIdentity.type = "Root") && ($.userIdentity.invokedBy NOT EXISTS) '
        '&& ($.eventType != "AwsServiceEvent") }',
    ),
    "iam-change": AuditEvent(
        metric="IamChange",
        text="Somebody changes who may do what",
        pattern=f"{{ ($.eventSource = iam.amazonaws.com) && ({_any('eventName', _IAM_CHANGES)}) }}",
    ),
    "unauthorised-calls": AuditEvent(
        metric="UnauthorisedCalls",
        text="Calls are refused as if somebody tried what is allowed",
        pattern='{ ($.errorCode = "*UnauthorizedOperation") || ($.errorCode = "AccessDenied*") }',
        threshold=10,
    ),
    "trail-stopped": AuditEvent(
        metric="TrailStopped",
        text="The trail is stopped or changed: what follows is not recorded",
        pattern=f"{{ ($.eventSource = cloudtrail.amazonaws.com) && ({_any('eventName', _TRAIL_CHANGES)}) }}",
    ),
    "key-deletion": AuditEvent(
        metric="KeyDeletion",
        text="A key is disabled or will be deleted, and all that it encrypts with it",
        pattern=f"{{ ($.eventSource = kms.amazonaws.com) && ({_any('eventName', _KEY_LOSSES)}) }}",
    ),
}
"""Last part of the alarm's name, which is its runbook page, too -> the event."""
