"""What ministack's CloudWatch Logs lacks: metric filters, which it stores and never runs."""

from collections.abc import Mapping
from typing import Any

from .filter_patterns import finds
from .metrics import record


def complete_metric_filters() -> None:
    """Count what the filters of a log group find in the events that clients put:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
    """
    from ministack.services import cloudwatch_logs

    put = cloudwatch_logs._put_log_events

    def counted(data: Mapping[str, Any]) -> Any:
        answer = put(data)
        if answer[0] == 200:
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
