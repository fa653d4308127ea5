"""What a canary is judged by: the model's alarms, and what the canary itself answered."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from serving.errors import DeliveryRefused
from serving.logs import NAMESPACE

# How many times faster than its objective allows a canary may use up the error budget; as for endpoints.
_BURN_RATE = 10
# Below, one slow request in a hundred is a single one: the start of the first process.
_REQUESTS_FOR_P99 = 100


def started() -> float:
    """Now, as seconds of the epoch."""
    return time.time()


def watch(cloudwatch: Any, delivery: Mapping[str, Any], measured: Mapping[str, float] | None = None) -> bool:
    """Whether the canary has passed its time. Raises DeliveryRefused when something speaks against it.

    `measured`: `requests`, `faults` and `p99` of the canary; None asks CloudWatch for them.
    """
    if firing := _rung(cloudwatch, delivery["alarms"], delivery["canary_since"]):
        raise DeliveryRefused(f"canary: in alarm: {', '.join(firing)}")
    _judge(_measured(cloudwatch, delivery) if measured is None else measured, delivery)
    return bool(time.time() - delivery["canary_since"] >= delivery["canary_s"])


def _rung(cloudwatch: Any, alarms: list[str], since: float) -> list[str]:
    """Metric alarms that are in ALARM and were not when the canary began: what rang before is not its doing.

    Args:
        since: when it began, seconds of the epoch.
    """
    if not alarms:
        return []
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=alarms, StateValue="ALARM")
    return sorted(
        alarm["AlarmName"]
        for page in pages
        for alarm in page["MetricAlarms"]
        # Their times may be whole seconds.
        if alarm["StateValue"] == "ALARM" and _changed(alarm).timestamp() >= int(since)
    )


def _changed(alarm: Mapping[str, Any]) -> datetime:
    """When its state became what it is; the time of a mere update moves without that.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
    """
    found: datetime = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
    return found


def _judge(measured: Mapping[str, float], delivery: Mapping[str, Any]) -> None:
    requests, faults = measured.get("requests", 0), measured.get("faults", 0)
    allowed = _BURN_RATE * (100 - delivery["availability"]) / 100
    if requests and faults / requests > allowed:
        raise DeliveryRefused(
            f"canary: {faults:.0f} of its {requests:.0f} requests ended with a 5xx; {allowed:.2%} may"
        )
    p99 = measured.get("p99")
    if p99 is not None and requests >= _REQUESTS_FOR_P99 and p99 > delivery["p99_ms"]:
        raise DeliveryRefused(
            f"canary: its p99 is {p99:.0f} ms, and the objective is {delivery['p99_ms']:.0f} ms"
        )


def _measured(cloudwatch: Any, delivery: Mapping[str, Any]) -> dict[str, float]:
    """Requests, faults and p99 of the canary since it takes requests; empty where there were none."""
    dimensions = [
        {"Name": "model", "Value": delivery["model"]},
        {"Name": "version", "Value": delivery["version"]},
    ]
    # Whole minutes, as the metrics have them.
    since = datetime.fromtimestamp(delivery["canary_since"], UTC).replace(second=0, microsecond=0)
    until = datetime.now(UTC) + timedelta(minutes=1)
    period = 60 * max(1, int((until - since).total_seconds()) // 60 + 1)
    wanted = {
        "requests": ("duration_ms", "SampleCount"),
        "faults": ("faults", "Sum"),
        "p99": ("duration_ms", "p99"),
    }
    answer = cloudwatch.get_metric_data(
        StartTime=since,
        EndTime=until,
        MetricDataQueries=[
            {
                "Id": key,
                "MetricStat": {
                    "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                    "Period": period,
                    "Stat": stat,
                },
            }
            for key, (metric, stat) in wanted.items()
        ],
    )
    found = {result["Id"]: result["Values"] for result in answer["MetricDataResults"] if result["Values"]}
    return {key: max(values) if key == "p99" else sum(values) for key, values in found.items()}
