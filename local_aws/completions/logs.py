"""What ministack's CloudWatch Logs lacks: metrics of what is put there, and searches that find it all."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from .filter_patterns import finds
from .metrics import record, record_embedded


def complete_metric_filters() -> None:
    """Make the metrics of events that clients put, and count what filters of their log group find in them:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
    """
    from ministack.services import cloudwatch_logs

    put = cloudwatch_logs._put_log_events

    def counted(data: Mapping[str, Any]) -> Any:
        answer = put(data)
        if answer[0] == 200:
            for event in data["logEvents"]:
                record_embedded(event["message"])
            for filter_ in list(cloudwatch_logs._metric_filters.values()):
                if filter_["logGroupName"] == data["logGroupName"]:
                    found = sum(
                        finds(filter_["filterPattern"], each["message"]) for each in data["logEvents"]
                    )
                    _count(filter_, found)
        return answer

    cloudwatch_logs._put_log_events = counted


def _count(filter_: Mapping[str, Any], found: int) -> None:
    for made in filter_["metricTransformations"] if found else ():
        record(made["metricNamespace"], made["metricName"], float(made["metricValue"]) * found)


_PAGE = 10_000
"""Events of a page, at most."""


def complete_searches() -> None:
    """Search for patterns of JSON, and give the rest of what was found page by page:
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    ministack gives the oldest events of a group whatever is in them, and no token for more.
    """
    from ministack.core.responses import json_response
    from ministack.services import cloudwatch_logs

    search = cloudwatch_logs._filter_log_events

    def searched(data: Mapping[str, Any]) -> Any:
        pattern, first = data.get("filterPattern", "").strip(), int(data.get("nextToken") or 0)
        group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
        if group is None:
            return search(data)  # its refusal
        last = first + min(data.get("limit", _PAGE), _PAGE)
        json_only = pattern.startswith("{")
        matches = partial(finds, pattern) if json_only else cloudwatch_logs._compile_filter_pattern(pattern)
        try:
            found = [event for event in _events(group, data) if matches(event["message"])]
        except ValueError:
            return search(data)  # a pattern with more than there is here
        more = {"nextToken": str(last)} if last < len(found) else {}
        return json_response({"events": found[first:last], "searchedLogStreams": [], **more})

    cloudwatch_logs._filter_log_events = searched


def _events(group: Mapping[str, Any], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the streams and times that are asked for, by time."""
    from ministack.services import cloudwatch_logs

    since, until = data.get("startTime", 0), data.get("endTime", float("inf"))
    with cloudwatch_logs._log_events_lock:
        held = [
            {**event, "logStreamName": stream}
            for stream in data.get("logStreamNames") or list(group["streams"])
            for event in group["streams"].get(stream, {"events": ()})["events"]
            if since <= event["timestamp"] <= until
        ]
    return sorted(held, key=lambda event: (event["timestamp"], event.get("ingestionTime", 0)))
