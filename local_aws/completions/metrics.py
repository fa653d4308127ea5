"""Datapoints that services emit, and those in log lines."""

import json
import threading
import time

# Newest points that are looked through for an equal one; latencies are whole milliseconds.
_LOOKED_AT = 100
_recording = threading.Lock()  # functions run in threads of their own


def record(namespace: str, name: str, value: float, **dimensions: str) -> None:
    """Keep one value. Equal ones of the same second are one point with a count, as clients can put them, so
    that a thousand requests a second stay small.
    """
    from ministack.services import cloudwatch

    second = float(int(time.time()))
    with _recording:
        points = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
        for point in reversed(points[-_LOOKED_AT:]):
            if point["Timestamp"] != second:
                break
            if point["Value"] == value:
                point["Count"] = point.get("Count", 1) + 1
                return
        points.append({"Timestamp": second, "Value": value, "Unit": "None", "Dimensions": dimensions})


def record_embedded(line: str) -> None:
    """Keep the metrics of a log line in the embedded metric format; any other line has none:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    from ministack.services import cloudwatch

    if '"CloudWatchMetrics"' not in line:
        return
    try:
        document = json.loads(line)
        for group in document["_aws"]["CloudWatchMetrics"]:
            for names in group["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in group["Metrics"]:
                    value, unit = float(document[metric["Name"]]), metric.get("Unit", "None")
                    cloudwatch.record_metric(group["Namespace"], metric["Name"], value, unit, dimensions)
    except (ValueError, KeyError, TypeError):
        return  # CloudWatch drops what it cannot read, too
