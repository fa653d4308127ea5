"""What ministack's alarms lack: dimensions, periods without data, events, and a permission of their own."""

import json
import operator
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_COMPARE = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}


def evaluate_all() -> None:
    """Judge the alarms of every account and region, as ministack does for one when a client puts a metric."""
    from ministack.core.responses import request_scope
    from ministack.services import cloudwatch

    for account, region in {scope[:2] for scope, _ in cloudwatch._alarms.all_items()}:
        with request_scope(account, region):
            cloudwatch._evaluate_all_alarms()


def complete_dimensions() -> None:
    """Judge an alarm by its own metric, dimensions and all; ministack takes every metric of that name.

    As in ministack, all periods that an alarm looks at are one. No data is `OK` where it does not count as
    breaching, and leaves the state as it is elsewhere, which AWS does for `ignore` alone:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    """
    from ministack.services import cloudwatch

    def evaluate(alarm: dict[str, Any]) -> None:
        found = _judged(alarm)
        old = alarm["StateValue"]
        if found is None or found[0] == old:
            return
        new, reason = found
        alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
        cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        cloudwatch._evaluate_parent_alarms(alarm)

    cloudwatch._evaluate_alarm = evaluate


def _judged(alarm: Mapping[str, Any]) -> tuple[str, str] | None:
    """(state, reason) that the alarm should have; None where nothing speaks for another one."""
    from ministack.services import cloudwatch

    if not alarm.get("MetricName"):  # an expression, which ministack does not know either
        return None
    dimensions = cloudwatch._dims_key({each["Name"]: each["Value"] for each in alarm["Dimensions"]})
    held = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions), [])
    since = time.time() - alarm["Period"] * alarm["EvaluationPeriods"]
    points = [point for point in held if point["Timestamp"] >= since]
    if not points:
        return ("OK", "no datapoints were received") if alarm["TreatMissingData"] == "notBreaching" else None
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    stats = cloudwatch._calc_stats(points)
    value = cloudwatch._stat_value(stats, statistic, points)
    if value is None or stats["SampleCount"] < _least_samples(statistic):
        return None
    comparison, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    breaching = _COMPARE[comparison](value, threshold)
    return "ALARM" if breaching else "OK", f"Threshold Crossed: {statistic} {value} {comparison} {threshold}"


def _least_samples(statistic: str) -> float:
    """Datapoints without which a percentile says nothing, 1000 of p99. ministack does not keep whether the
    alarm wants it all the same; none of the platform's does:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html
    """
    if not statistic.startswith("p"):
        return 0
    share = float(statistic[1:]) / 100
    return 10 / min(share, 1 - share)


def complete_alarm_events() -> None:
    """Put each change of an alarm's state on the default bus, with all but metrics and the reason before:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    from ministack.services import cloudwatch, eventbridge

    act = cloudwatch._dispatch_alarm_actions

    def with_event(alarm: Any, old_state: str, new_state: str, reason: str) -> None:
        act(alarm, old_state, new_state, reason)
        at = datetime.fromtimestamp(alarm["StateUpdatedTimestamp"], UTC).isoformat(timespec="milliseconds")
        detail = {
            "alarmName": alarm["AlarmName"],
            "configuration": {"description": alarm["AlarmDescription"]},
            "previousState": {"value": old_state},
            "state": {"value": new_state, "reason": reason, "timestamp": at.replace("+00:00", "+0000")},
        }
        named = {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change"}
        event = named | {"Resources": [alarm["AlarmArn"]], "Detail": json.dumps(detail)}
        eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)

    cloudwatch._dispatch_alarm_actions = with_event


def complete_permissions() -> None:
    """Let a permission to describe metric alarms name them, as on AWS; ministack knows them by `*` alone:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    from ministack.core import iam_actions

    told = iam_actions.extract_resource_arn

    def with_alarms(service: str, *request: Any) -> str:
        *asked, region, account = request
        if iam_actions.extract_iam_action(service, *asked) == "cloudwatch:DescribeAlarms":
            return f"arn:aws:cloudwatch:{region}:{account}:alarm:*"
        return str(told(service, *request))

    iam_actions.extract_resource_arn = with_alarms
