"""What moves jobs on: parts into the model's queue, tenant by tenant, and the news of a job's end.

A tenant has so many parts in a model's queue at once and no more, so a part of another tenant waits for a few
others at most, however much somebody has left to do. SQS is told the tenant too: its fair queues then serve
tenants in turn. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import boto3

from serving.jobs import Job, Limits, Route
from serving.jobs_rows import PartSize
from serving.jobs_table import JobTable

EVENT_SOURCE = "inference-platform"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What the functions and workers of jobs have in common."""

    table: JobTable
    s3: Any
    sqs: Any
    events: Any
    bucket: str
    control_url: str
    dead_letters_url: str
    """Where inputs end up that are nobody's."""
    routes: Mapping[str, Route]
    limits: Mapping[str, Limits]
    attempts: int
    """How often a message is tried before its input is given up."""
    visibility_s: int

    size: PartSize = field(default_factory=PartSize)

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What the object JOBS_CONFIG of the bucket DATA_BUCKET says; a function's environment is too small
        for it (4 KB). Raises ValueError that names the variable at fault."""
        if missing := [name for name in ("DATA_BUCKET", "JOBS_CONFIG") if not environment.get(name)]:
            raise ValueError(f"the environment misses {', '.join(missing)}")
        s3, bucket = boto3.client("s3"), environment["DATA_BUCKET"]
        config = json.loads(s3.get_object(Bucket=bucket, Key=environment["JOBS_CONFIG"])["Body"].read())
        return cls.from_config(
            config,
            table=JobTable(boto3.resource("dynamodb").Table(config["table"]), config["keep_days"]),
            s3=s3,
            sqs=boto3.client("sqs"),
            events=boto3.client("events"),
            bucket=bucket,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **clients: Any) -> Self:
        """The object's content, with the clients that are to be used."""
        return cls(
            **clients,
            control_url=config["control_url"],
            dead_letters_url=config["dead_letters_url"],
            routes={model: Route(**route) for model, route in config["routes"].items()},
            limits={tenant: Limits(**limits) for tenant, limits in config["limits"].items()},
            attempts=config["attempts"],
            visibility_s=config["visibility_s"],
            size=PartSize(**config["part"]),
        )


def dispatch(platform: Platform, tenant: str, model: str) -> int:
    """Put as many parts of a tenant into a model's queue as it may have there; how many it were.

    Parts are sent first and noted then: whoever dies in between sends them twice and never loses one. The
    index lags behind, so a job is read again before its parts are sent.
    """
    room = platform.limits.get(tenant, Limits()).parts_in_flight
    waiting: list[Job] = []
    for job in platform.table.active(f"{tenant}#{model}"):
        room -= job.dispatched - job.done
        if job.dispatched < job.parts:
            waiting.append(job)
        if room <= 0:
            return 0
        if sum(job.parts - job.dispatched for job in waiting) >= room:
            break
    sent = 0
    for stale in waiting:
        current = platform.table.get(stale.id)
        if current is None or current.state != "running" or sent >= room:
            continue
        until = min(current.parts, current.dispatched + room - sent)
        if until > current.dispatched:
            send_parts(platform, current, range(current.dispatched, until))
            if platform.table.advance(current, until):
                sent += until - current.dispatched
    return sent


def send_parts(platform: Platform, job: Job, parts: range | list[int]) -> None:
    """Put parts of a job into its model's queue."""
    url = platform.routes[job.model].queue_url
    for part in parts:
        body = json.dumps({"job": job.id, "part": part})
        platform.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=job.tenant)


def part_settled(platform: Platform, job_id: str) -> None:
    """After a part was committed, or found committed: ask for the join, or send what may follow."""
    job = platform.table.get(job_id)
    if job is None:
        return
    if job.state == "running" and job.done == job.parts:
        tell_control(platform, {"join": job.id})
    dispatch(platform, job.tenant, job.model)


def tell_control(platform: Platform, message: Mapping[str, Any]) -> None:
    """Leave a message for the control function."""
    platform.sqs.send_message(QueueUrl=platform.control_url, MessageBody=json.dumps(message))


def dead_letter(platform: Platform, url: str, reason: str, **what: Any) -> None:
    """Keep what could not be worked on, with the reason."""
    platform.sqs.send_message(
        QueueUrl=url,
        MessageBody=json.dumps({**what, "reason": reason}),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:1000] or "unknown"}},
    )
    logger.warning("dead letter", extra={"fields": {**what, "reason": reason}})


def finish(platform: Platform, job: Job, state: str, *, reason: str = "", output_key: str = "") -> bool:
    """End a job and tell so. What is asked again after its end is told again: events may come twice."""
    ended = platform.table.finish(job, state, reason=reason, output_key=output_key)
    final = platform.table.get(job.id) or job
    if final.state == state != "cancelled":
        kind = "InferenceCompleted" if state == "succeeded" else "InferenceFailed"
        detail = document(final) | {"bucket": platform.bucket}
        platform.events.put_events(
            Entries=[{"Source": EVENT_SOURCE, "DetailType": kind, "Detail": json.dumps(detail)}]
        )
        if ended:
            log_job(final)
    dispatch(platform, job.tenant, job.model)
    return ended


def document(job: Job) -> dict[str, Any]:
    """What a tenant gets to see of a job."""
    shown: dict[str, Any] = {
        "id": job.id,
        "model": job.model,
        "tenant": job.tenant,
        "state": job.state,
        "input": job.input_key,
        "created": job.created,
        "updated": job.updated,
        "parts": {"all": job.parts, "done": job.done},
        "rows": {"all": job.rows, "done": job.rows_done, "failed": job.rows_failed},
        "usage": {"rows": job.rows_done, "tokens": job.tokens, "compute_ms": job.compute_ms},
    }
    if job.output_key:
        shown["output"] = job.output_key
    if job.reason:
        shown["reason"] = job.reason
    return shown


def log_job(job: Job) -> None:
    """The line of a finished job, which is its metrics too (embedded metric format).

    Per tenant and model: jobs are few, and tenants are a list that an operator keeps.
    """
    values = {
        "job_rows": job.rows_done,
        "job_rows_failed": job.rows_failed,
        "job_tokens": job.tokens,
        "job_compute_ms": job.compute_ms,
        "job_duration_s": max(0, int(time.time()) - job.created),
    }
    units = {"job_compute_ms": "Milliseconds", "job_duration_s": "Seconds"}
    metrics = [{"Name": name, "Unit": units.get(name, "Count")} for name in values]
    embedded = {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": "InferencePlatform",
                "Dimensions": [["model"], ["model", "tenant"]],
                "Metrics": metrics,
            }
        ],
    }
    line = {"message": "job", "job": job.id, "model": job.model, "tenant": job.tenant, "state": job.state}
    print(json.dumps({**line, **values, "_aws": embedded}), flush=True)
