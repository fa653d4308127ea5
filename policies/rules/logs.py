"""CloudWatch log groups."""

import math
from typing import Annotated

from pydantic import Field

from policies.model import Findings, Resource, Settings, between, expect, resource_rule

LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
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


RULES = (retention_bounded,)
