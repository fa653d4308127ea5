"""CloudTrail: that what is done in the account is recorded, once and for good."""

from policies.resources import STACK, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule, stack_rule

TRAIL = "aws:cloudtrail/trail:Trail"


@resource_rule(
    id="cloudtrail-baseline",
    title="The trail covers all regions, is encrypted, tamper-evident and watched",
    severity="high",
    why="An intruder works in the region that nobody records and edits the log afterwards.",
    fix="set is_multi_region_trail, enable_log_file_validation, kms_key_id and cloud_watch_logs_group_arn",
    types=[TRAIL],
    good={
        "isMultiRegionTrail": True,
        "enableLogFileValidation": True,
        "kmsKeyId": "arn:aws:kms:us-east-1:111111111111:key/1",
        "cloudWatchLogsGroupArn": "arn:aws:logs:us-east-1:111111111111:log-group:trail:*",
    },
    bad={"isMultiRegionTrail": True, "enableLogFileValidation": True},
)
def cloudtrail_baseline(trail: Resource, settings: Settings) -> Findings:
    """ARNs may be unknown at preview; that they are set is not."""
    for switch in ("isMultiRegionTrail", "enableLogFileValidation"):
        yield from expect(trail, switch, is_true, "true")
    for target in ("kmsKeyId", "cloudWatchLogsGroupArn"):
        if not trail.has(target):
            yield Finding(f"`{target}` is not set")
    yield from expect(trail, "enableLogging", lambda value: value is not False, "true")


def _trail(name: str, *selectors: dict[str, object]) -> Sample:
    return Sample(type=TRAIL, name=name, props={"eventSelectors": list(selectors)})


_MODELS_ONLY = {
    "includeManagementEvents": False,
    "dataResources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3:::models/"]}],
}


@stack_rule(
    id="cloudtrail-single-management-trail",
    title="Management events are recorded once, and data events for the model buckets only",
    severity="medium",
    why="The first copy is free; each further one costs 2 USD per 100,000 events, data events 0.10 USD.",
    fix="keep one trail for management events, and name the buckets whose objects are recorded",
    types=[TRAIL, STACK],
    good=[_trail("management"), _trail("models", _MODELS_ONLY)],
    bad=[
        _trail(
            "all", {**_MODELS_ONLY, "dataResources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}]}
        )
    ],
)
def single_management_trail(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    if resource.type == TRAIL:
        for selector in resource.parts("eventSelectors"):
            for data in selector.parts("dataResources"):
                for arn in data.items("values"):
                    if str(arn).rstrip(":/") == "arn:aws:s3":
                        yield Finding(f"`{data.where('values')}` records the objects of every bucket")
        return
    trails = [trail for trail in stack.of(TRAIL) if _records_management(trail)]
    if len(trails) > 1:
        yield Finding(f"{', '.join(trail.name for trail in trails)} each record management events")


def _records_management(trail: Resource) -> bool:
    """A trail without selectors does."""
    for selector in trail.parts("advancedEventSelectors"):
        for field in selector.parts("fieldSelectors"):
            if field.get("field") == "eventCategory" and "Management" in field.items("equals"):
                return True
    if trail.items("advancedEventSelectors"):
        return False
    selectors = list(trail.parts("eventSelectors"))
    return not selectors or any(each.get("includeManagementEvents", True) for each in selectors)


RULES = (cloudtrail_baseline, single_management_trail)
