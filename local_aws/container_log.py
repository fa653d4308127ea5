"""A container's command, with its output also in CloudWatch Logs, as SageMaker puts it there.

    python -m local_aws.container_log LOG_GROUP COMMAND...

This process becomes the command, so that its id and its signals are the command's. A child of it reads what
the command writes: every line goes on to the process's own log and to the group. The child ends with the
command, after the last line.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import boto3

_CHUNK = 65_536
_STREAM = "AllTraffic/this-machine"


class Shipper:
    """Puts lines into a log group. `logs`: a client; what it refuses is lost, as on AWS."""

    def __init__(self, logs: Any, group: str) -> None:
        self._logs, self._group = logs, group

    def ship(self, lines: Sequence[str]) -> None:
        """Put lines that were written just now."""
        now = int(time.time() * 1000)
        place = {"logGroupName": self._group, "logStreamName": _STREAM}
        events = [{"timestamp": now, "message": line} for line in lines]
        try:
            self._logs.put_log_events(**place, logEvents=events)
        except self._logs.exceptions.ResourceNotFoundException:
            self._logs.create_log_stream(**place)
            self._logs.put_log_events(**place, logEvents=events)


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
        copy(source, sys.stdout.fileno(), Shipper(boto3.client("logs"), group))
        os._exit(0)
    os.close(source)
    for descriptor in (1, 2):
        os.dup2(sink, descriptor)
    os.close(sink)
    os.execvp(command[0], command)  # noqa: S606 - the container's own command


if __name__ == "__main__":
    main()
