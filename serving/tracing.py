"""A subsegment for each request in Lambda's own trace, in AWS X-Ray's format, sent to the daemon beside it.

Active tracing gives a function's segment, which tells nothing of model, status or rows. X-Ray's SDK and the
library around it would double the time of a cold start's imports (`make bench-serving`); what they send is
one datagram.

Format: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
Daemon: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
"""

import os
import socket
import time
from functools import cache
from typing import Any

import orjson

_HEADER = b'{"format":"json","version":1}\n'


def trace_id() -> str | None:
    """The trace that Lambda's present invocation belongs to, None where there is none."""
    return _fields().get("Root")


def subsegment(name: str, started: float, status: int, **annotations: Any) -> None:
    """Send what has just been done, from `started` (Unix time) until now, where this invocation is sampled.

    `annotations`: what traces can be found by, never a payload. A daemon that is away costs nothing: no
    answer is waited for, and no error is raised.
    """
    fields, daemon = _fields(), os.environ.get("AWS_XRAY_DAEMON_ADDRESS")
    if fields.get("Sampled") != "1" or not daemon or not {"Root", "Parent"} <= fields.keys():
        return
    document = {
        "name": name,
        "id": os.urandom(8).hex(),
        "type": "subsegment",
        "trace_id": fields["Root"],
        "parent_id": fields["Parent"],
        "start_time": started,
        "end_time": time.time(),
        "error": 400 <= status < 500,
        "fault": status >= 500,
        "annotations": {"status": status, **{key: value for key, value in annotations.items() if value}},
    }
    host, _, port = daemon.rpartition(":")
    try:
        _socket().sendto(_HEADER + orjson.dumps(document), (host, int(port)))
    except (OSError, ValueError):
        return


def _fields() -> dict[str, str]:
    """`Root=1-...;Parent=...;Sampled=1`, which Lambda's runtime sets anew for each invocation."""
    header = os.environ.get("_X_AMZN_TRACE_ID", "")
    return dict(part.split("=", 1) for part in header.split(";") if "=" in part)


@cache
def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
