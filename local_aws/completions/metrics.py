"""Datapoints that services emit."""

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
