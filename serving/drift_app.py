"""Entry point of the drift function: `{"model": name}`, from the model's schedule, compares what came in.

Environment: MODEL_BUCKET, DATA_BUCKET, MODEL_PARAMETERS (path of the parameters), LOG_LEVEL (INFO). The
event may set `window_hours` (24), `min_rows` (200) and `threshold` (0.2), and `captured`, the variant of the
SageMaker endpoint that keeps the model's requests, as `<endpoint>/<variant>`.

It writes a report to the data bucket, the metrics drift_rows and, where there is data to say it from,
drift_psi of the model, and the event ModelDrift where the index is beyond the threshold; for an endpoint also
the constraints of SageMaker's own monitor.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import orjson

from serving import drift, drift_report, drift_sagemaker, logs
from serving.delivery_control import Parameters
from serving.manifest import Manifest
from serving.monitor_constraints import constraints
from serving.store import read_manifest

EVENT_SOURCE = "inference-platform.drift"
# A day is 25 hours once a year, and Firehose files a record by the hour in which it came.
_LATEST_S = 900

logs.configure(os.environ.get("LOG_LEVEL", "INFO"))


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Compare the model's captured records with its baseline; what was found, in short."""
    model, threshold = event["model"], float(event.get("threshold", 0.2))
    hours = int(event.get("window_hours", 24))
    live = Parameters(_client("ssm"), os.environ["MODEL_PARAMETERS"]).get(model, "live")
    now = datetime.now(UTC)
    if live is None:
        found = drift.Drift(model, "none", 0, (), "no data: no version is live")
    else:
        manifest = read_manifest(_client("s3"), os.environ["MODEL_BUCKET"], model, live["version"])
        captured = event.get("captured", "")
        folder = f"capture/{model}/{captured}".rstrip("/")
        records = _records(os.environ["DATA_BUCKET"], folder, now, hours)
        if captured:
            _keep_constraints(manifest)
            records = drift_sagemaker.counted(records, manifest)
        minimum = int(event.get("min_rows", 200))
        found = drift.compare(model, live["version"], manifest.baseline, records, minimum)
    report = _keep_report(found, threshold, now, hours)
    summary = {
        "model": model,
        "version": found.version,
        "rows": found.rows,
        "psi": found.psi,
        "missing": found.missing,
        "report": report,
    }
    _tell(found, summary, threshold)
    return summary


def _records(bucket: str, folder: str, now: datetime, hours: int) -> Iterator[Mapping[str, Any]]:
    """The records that arrived in the window, object by object."""
    since = now - timedelta(hours=hours)
    hour = since.replace(minute=0, second=0, microsecond=0)
    while hour <= now:
        prefix = f"{folder}/{hour:%Y/%m/%d/%H}/"
        pages = _client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for item in (item for page in pages for item in page.get("Contents", ())):
            if item["LastModified"] < since - timedelta(seconds=_LATEST_S):
                continue
            for line in _client("s3").get_object(Bucket=bucket, Key=item["Key"])["Body"].iter_lines():
                if line.strip():
                    yield orjson.loads(line)
        hour += timedelta(hours=1)


def _keep_constraints(manifest: Manifest) -> None:
    """What SageMaker's monitor holds requests against from now on: those of the version that is live."""
    _client("s3").put_object(
        Bucket=os.environ["DATA_BUCKET"],
        Key=f"capture/{manifest.name}/reports/constraints.json",
        Body=orjson.dumps(constraints(manifest)),
        ContentType="application/json",
    )


def _keep_report(found: drift.Drift, threshold: float, now: datetime, hours: int) -> str:
    key = f"capture/{found.model}/reports/{now:%Y-%m-%dT%H%M%SZ}.html"
    page = drift_report.render(found, threshold, f"{hours} hours until {now:%Y-%m-%d %H:%M} UTC")
    _client("s3").put_object(
        Bucket=os.environ["DATA_BUCKET"], Key=key, Body=page.encode(), ContentType="text/html; charset=utf-8"
    )
    return key


def _tell(found: drift.Drift, summary: dict[str, Any], threshold: float) -> None:
    """The log line that is the metrics too, and the event. No data is no drift_psi: zero would be a lie."""
    values = {"drift_rows": (float(found.rows), "Count")}
    if found.psi is not None:
        values["drift_psi"] = (found.psi, "None")
    logs.measured(
        "drift",
        model=found.model,
        values=values,
        version=found.version,
        missing=found.missing,
        report=summary["report"],
    )
    if found.psi is not None and found.psi > threshold:
        entry = {
            "Source": EVENT_SOURCE,
            "DetailType": "ModelDrift",
            "Detail": orjson.dumps(summary | {"threshold": threshold}).decode(),
        }
        _client("events").put_events(Entries=[entry])
