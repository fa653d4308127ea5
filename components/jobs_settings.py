"""What all functions and workers of jobs know, as one object in the data bucket."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components.jobs_queue import JobsQueue


@dataclass(frozen=True, kw_only=True)
class JobModel:
    """How the jobs of one model are worked on."""

    queue: JobsQueue
    """Where its jobs wait."""
    by: Literal["function", "cluster", "endpoint", "async-endpoint"]
    """Who answers: a function, pods of the cluster, or an endpoint of SageMaker. An asynchronous endpoint
    answers in S3 and tells of it on topics; of every other one the answer is waited for."""
    target: pulumi.Input[str] = ""
    """ARN of the function's live alias, or the endpoint's name; nothing for the cluster, whose own worker
    knows the model's address."""


@dataclass(frozen=True, kw_only=True)
class JobLimits:
    """What one tenant may have."""

    active_jobs: int
    """Jobs that are not finished."""
    parts_in_flight: int
    """Parts in the queue of one model at once; more wait their turn."""


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Where a file is cut: a part ends with the row that reaches one of these."""

    rows: int = 1000
    bytes: int = 2 * 2**20


@dataclass(frozen=True, kw_only=True)
class JobsSettings:
    """Content of the object; `serving.jobs_flow.Platform` reads it."""

    table: pulumi.Input[str]
    control_queue: JobsQueue
    models: Mapping[str, JobModel]
    limits: Mapping[str, JobLimits]
    """Tenant name -> its limits."""
    attempts: int
    visibility_s: int
    keep_days: int
    part: PartSize


def settings_object(
    name: str,
    settings: JobsSettings,
    *,
    prefix: str,
    bucket: pulumi.Input[str],
    data_key_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Key of the object, which begins with `prefix`.

    It changes with the content, so a function that runs keeps what it began with.
    """

    def document(known: Mapping[str, Any]) -> str:
        return json.dumps(
            {
                **known,
                "limits": {tenant: asdict(limits) for tenant, limits in settings.limits.items()},
                "attempts": settings.attempts,
                "visibility_s": settings.visibility_s,
                "keep_days": settings.keep_days,
                "part": asdict(settings.part),
            },
            sort_keys=True,
        )

    content = pulumi.Output.all(
        table=settings.table,
        control_url=settings.control_queue.url,
        dead_letters_url=settings.control_queue.dead_letters_url,
        routes=pulumi.Output.all(
            **{
                model: pulumi.Output.all(
                    queue_url=entry.queue.url,
                    dead_letters_url=entry.queue.dead_letters_url,
                    by=entry.by,
                    target=entry.target,
                )
                for model, entry in settings.models.items()
            }
        ),
    ).apply(document)
    stored = aws.s3.BucketObjectv2(
        name,
        bucket=bucket,
        key=content.apply(lambda text: f"{prefix}-{_digest(text)}.json"),
        content=content,
        content_type="application/json",
        kms_key_id=data_key_arn,
        server_side_encryption="aws:kms",
        tags=tags,
        opts=opts,
    )
    return stored.key


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]
