"""Prices of what watches, audits and builds."""

from collections.abc import Iterator, Mapping

from cost.lines import Line, Plan, Pricer, Unpriced
from cost.resources import Resource, at, number

_MILLION = 1e6


def _log_group(resource: Resource, plan: Plan) -> Iterator[Line]:
    """Ingested text is kept uncompressed in this count, which is the most that storage can be."""
    gigabytes = plan.part(plan.load.log_gb, resource)
    days = number(resource.get("retentionInDays"), "retentionInDays", 365)
    yield plan.usage(resource, "logs.ingest", "logs taken in", gigabytes, "load.log_gb over all groups")
    kept = gigabytes * days * 12 / 365
    yield plan.usage(resource, "logs.storage", "logs kept", kept, f"load.log_gb kept {days:g} days")


def _alarm(resource: Resource, plan: Plan) -> Iterator[Line]:
    """An alarm on an expression is charged for each metric that the expression reads."""
    metrics = [query for query in resource.items("metricQueries") if at(query, "metric") is not None]
    yield plan.month(resource, "alarm.metric", "metrics with an alarm", max(len(metrics), 1))


def _composite(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "alarm.composite", "composite alarm")


def _dashboard(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "dashboard", "dashboard")


def _metrics(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "metrics.custom", "custom metric")


def _canary(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "canary.runs", "canary")


def _schedule(resource: Resource, plan: Plan) -> Iterator[Line]:
    # At most one call a minute, whatever the expression says.
    yield plan.line(resource, "scheduler.invocations", "calls", idle=730 * 60 / _MILLION, why="one a minute")


def _trail(resource: Resource, plan: Plan) -> Iterator[Line]:
    """The first copy of management events is free, further ones and data events are not."""
    first = plan.of(resource.type)[0] is resource
    copies = 0 if first else plan.load.management_events / 100_000
    yield plan.usage(resource, "trail.copy", "further copy of management events", copies)
    basic = any(at(each, "dataResources") for each in resource.items("eventSelectors"))
    if basic or resource.items("advancedEventSelectors"):
        events = plan.part(plan.load.data_events / 100_000, resource)
        yield plan.usage(resource, "trail.data", "data events", events, "load.data_events")


def _recorder(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.usage(resource, "config.items", "configuration items", plan.load.config_items)


def _config_rule(resource: Resource, plan: Plan) -> Iterator[Line]:
    items = plan.part(plan.load.config_items, resource)
    yield plan.usage(
        resource, "config.evaluations", "evaluations", items, "one for each item, over all rules"
    )


def _detector(resource: Resource, plan: Plan) -> Iterator[Line]:
    events = plan.load.management_events / _MILLION
    yield plan.usage(resource, "guardduty.events", "management events", events, "load.management_events")
    yield plan.usage(resource, "guardduty.flow", "flow and DNS logs", plan.load.flow_gb, "load.flow_gb")


def _detector_feature(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("status") == "DISABLED":
        return
    events = plan.load.data_events / _MILLION
    match resource.get("name"):
        case "S3_DATA_EVENTS":
            yield plan.usage(resource, "guardduty.s3", "S3 data events", events, "load.data_events")
        case "EKS_AUDIT_LOGS":
            events = plan.load.management_events / _MILLION
            yield plan.usage(resource, "guardduty.audit", "audit events", events, "load.management_events")
        case "LAMBDA_NETWORK_LOGS":
            yield plan.usage(resource, "guardduty.flow", "network logs", plan.load.flow_gb, "load.flow_gb")
        case other:
            raise Unpriced(f"GuardDuty feature {other} has no price here")


def _inspector(resource: Resource, plan: Plan) -> Iterator[Line]:
    scanned = resource.items("resourceTypes")
    yield plan.month(resource, "inspector.scans", "kinds of resources scanned", max(len(scanned), 1))


def _budget_action(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.line(resource, "budget.action", "budget action", idle=365 / 12, why="every day")


def _build(resource: Resource, plan: Plan) -> Iterator[Line]:
    size = str(resource.get("environment.computeType", "")).removeprefix("BUILD_GENERAL1_").lower()
    linux = resource.get("environment.type") == "LINUX_CONTAINER"
    key = f"codebuild.{size}" if linux and size in ("small", "medium", "large") else "codebuild.other"
    minutes = plan.part(plan.load.build_minutes, resource)
    yield plan.usage(resource, key, "build minutes", minutes, "load.build_minutes over all projects")


PRICERS: Mapping[str, Pricer] = {
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": _composite,
    "aws:cloudwatch/dashboard:Dashboard": _dashboard,
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _metrics,
    "aws:synthetics/canary:Canary": _canary,
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:cloudtrail/trail:Trail": _trail,
    "aws:cfg/recorder:Recorder": _recorder,
    "aws:cfg/rule:Rule": _config_rule,
    "aws:guardduty/detector:Detector": _detector,
    "aws:guardduty/detectorFeature:DetectorFeature": _detector_feature,
    "aws:inspector2/enabler:Enabler": _inspector,
    "aws:budgets/budgetAction:BudgetAction": _budget_action,
    "aws:codebuild/project:Project": _build,
}
