"""A container's command, with its output also in CloudWatch Logs, as SageMaker puts it there.

    python -m local_aws.container_log LOG_GROUP COMMAND...

This process becomes the command, so that its id and its signals are the command's. A child of it reads what
the command writes: every line goes on to the process's own log, to the group, and, in the embedded metric
format, to CloudWatch's metrics. The child ends with the command, after the last line.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import boto3

_CHUNK = 65_536
_STREAM = "AllTraffic/this-machine"


class Shipper:
    """Puts lines into a log group. `logs`, `cloudwatch`: clients; what they refuse is lost, as on AWS."""

    def __init__(self, logs: Any, cloudwatch: Any, group: str) -> None:
        self._logs, self._cloudwatch, self._group = logs, cloudwatch, group

    def ship(self, lines: Sequence[str]) -> None:
        """Put lines that were written just now."""
        for metrics in filter(None, map(_metrics, lines)):
            for namespace, data in metrics:
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
        now = int(time.time() * 1000)
        place = {"logGroupName": self._group, "logStreamName": _STREAM}
        events = [{"timestamp": now, "message": line} for line in lines]
        try:
            self._logs.put_log_events(**place, logEvents=events)
        except self._logs.exceptions.ResourceNotFoundException:
            self._logs.create_log_stream(**place)
            self._logs.put_log_events(**place, logEvents=events)


def _metrics(line: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """(namespace, metrics) of a line in the embedded metric format; nothing of any other."""
    if '"CloudWatchMetrics"' not in line:
        return []
    try:
        document = json.loads(line)
        return [
            (directive["Namespace"], list(_data(document, directive)))
            for directive in document["_aws"]["CloudWatchMetrics"]
        ]
    except (ValueError, KeyError, TypeError):
        return []  # CloudWatch drops what it cannot read, too


def _data(document: Any, directive: Any) -> Iterator[dict[str, Any]]:
    for names in directive["Dimensions"]:
        dimensions = [{"Name": name, "Value": str(document[name])} for name in names]
        for metric in directive["Metrics"]:
            value, unit = float(document[metric["Name"]]), metric.get("Unit", "None")
            yield {"MetricName": metric["Name"], "Dimensions": dimensions, "Value": value, "Unit": unit}


def copy(source: int, target: int, shipper: Shipper) -> None:
    """Copy a descriptor to another until it ends, and ship its lines. Nothing stops the copying."""
    held = b""
    while chunk := os.read(source, _CHUNK):
        os.write(target, chunk)
        *lines, held = (held + chunk).split(b"\n")
        if texts := [line.decode(errors="replace") for line in lines if line.strip()]:
            try:
                shipper.ship(texts)
            except Exception as error:
                os.write(target, f"not in CloudWatch Logs: {error}\n".encode())


def main() -> None:
    """Become the command."""
    group, *command = sys.argv[1:]
    source, sink = os.pipe()
    if os.fork() == 0:
        os.close(sink)
        copy(source, sys.stdout.fileno(), Shipper(boto3.client("logs"), boto3.client("cloudwatch"), group))
        os._exit(0)
    os.close(source)
    for descriptor in (1, 2):
        os.dup2(sink, descriptor)
    os.close(sink)
    os.execvp(command[0], command)  # noqa: S606 - the container's own command


if __name__ == "__main__":
    main()
