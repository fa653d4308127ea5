"""CloudWatch log groups and alarms."""

import math
from typing import Annotated

from pydantic import Field

from policies.resources import STACK, Resource, Stack
from policies.rule import (
    Finding,
    Findings,
    Sample,
    Settings,
    between,
    expect,
    is_set,
    resource_rule,
    stack_rule,
)

LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE_ALARM = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
Days = Annotated[int, Field(ge=1)]


@resource_rule(
    id="log-retention-bounded",
    title="Log groups keep their logs as long as they must and no longer",
    severity="medium",
    why="CloudWatch bills stored logs every month and keeps them for ever unless told otherwise.",
    fix="set retention_in_days within the environment's bounds",
    types=[LOG_GROUP],
    settings={"minDays": Days, "maxDays": Days, "minAuditDays": Days},
    good={"name": "/aws/lambda/digits", "retentionInDays": 365},
    bad={"name": "/aws/lambda/digits"},
)
def retention_bounded(group: Resource, settings: Settings) -> Findings:
    """Audit trails (tag `component` = `audit`) have a least and no most: law sets it, not cost."""
    audit = group.get("tags.component") == "audit"
    least = settings["minAuditDays" if audit else "minDays"]
    most = math.inf if audit else settings["maxDays"]
    bounds = f"{least} days or more" if audit else f"{least} to {most} days"
    yield from expect(group, "retentionInDays", between(least, most), bounds)


@resource_rule(
    id="log-group-kms",
    title="Log groups are encrypted with a customer managed key",
    severity="medium",
    why="Then reading the logs takes the key's permission as well.",
    fix="set kms_key_id to the platform's key for logs",
    types=[LOG_GROUP],
    good={"kmsKeyId": "arn:aws:kms:us-east-1:111111111111:key/1"},
    bad={},
)
def log_group_kms(group: Resource, settings: Settings) -> Findings:
    """The key's ARN may be unknown at preview; that there is one is not."""
    if not group.has("kmsKeyId"):
        yield Finding("`kmsKeyId` is not set")


_ALARM = Sample(
    type=ALARM,
    name="api-errors",
    props={
        "namespace": "AWS/ApiGateway",
        "metricName": "5XXError",
        "alarmActions": ["arn:aws:sns:us-east-1:111111111111:on-call"],
    },
)


@stack_rule(
    id="alarm-has-actions",
    title="Alarms tell somebody, and the alarms that the environment needs are there",
    severity="medium",
    why="An alarm without an action changes colour on a page that nobody looks at.",
    fix="set alarm_actions to the on-call topic; add the missing alarm",
    types=[ALARM, COMPOSITE_ALARM, STACK],
    settings={"requiredMetrics": list[str]},
    good=[
        _ALARM,
        Sample(type=ALARM, name="api-errors-long", props={"name": "api-errors-long"}),
        Sample(
            type=COMPOSITE_ALARM,
            name="api",
            props={"alarmRule": 'ALARM("api-errors-long")', "alarmActions": _ALARM.props["alarmActions"]},
        ),
    ],
    bad=[
        Sample(type=ALARM, name="api-errors", props={"namespace": "AWS/ApiGateway", "metricName": "5XXError"})
    ],
)
def alarm_has_actions(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """`requiredMetrics` are `namespace/metric`. An alarm for scaling acts too: its action is the policy. So
    does an alarm that a composite alarm's rule names: through that."""
    if resource.type != STACK:
        rules = [str(composite.get("alarmRule", "")) for composite in stack.of(COMPOSITE_ALARM)]
        if resource.type == ALARM and any(f'"{resource.get("name")}"' in rule for rule in rules):
            return
        yield from expect(resource, "alarmActions", is_set, "set")
        yield from expect(resource, "actionsEnabled", lambda value: value is not False, "true")
        return
    watched = {f"{alarm.get('namespace')}/{alarm.get('metricName')}" for alarm in stack.of(ALARM)}
    for metric in settings["requiredMetrics"]:
        if metric not in watched:
            yield Finding(f"no alarm watches {metric}")


RULES = (retention_bounded, log_group_kms, alarm_has_actions)
