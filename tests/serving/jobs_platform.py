"""A platform for jobs in the embedded AWS, and the real digits model behind it."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config

from serving import api
from serving.jobs import Job, Limits, Route
from serving.jobs_control import Control
from serving.jobs_flow import Platform
from serving.jobs_predict import Ask, Predictor, TensorPredictor
from serving.jobs_rows import PartSize
from serving.jobs_table import JobTable
from serving.jobs_work import Message, Worker, delete
from serving.runtime import Model
from serving.served import ServedModel
from serving.store import read_folder
from tests.serving.conftest import CREDENTIALS, REGION, Aws

LIMITS = Limits(active_jobs=5, parts_in_flight=4)

TABLE: Mapping[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": kind}
        for name, kind in (("pk", "S"), ("sk", "S"), ("share", "S"), ("tenant", "S"), ("created", "N"))
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": index,
            "KeySchema": [
                {"AttributeName": key, "KeyType": "HASH"},
                {"AttributeName": "created", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for index, key in (("active", "share"), ("tenant", "tenant"))
    ],
}


@dataclass
class JobsPlatform:
    """Everything of a platform that jobs need, with a queue and a table of its own."""

    platform: Platform
    control: Control
    ask: Ask

    @property
    def route(self) -> Route:
        return self.platform.routes["digits"]

    def put(self, name: str, data: bytes, tenant: str = "acme", model: str = "digits") -> dict[str, Any]:
        """Drop a file; the event that EventBridge makes of it."""
        key = f"input/{model}/{tenant}/{name}"
        put = self.platform.s3.put_object(Bucket=self.platform.bucket, Key=key, Body=data)
        return {
            "detail-type": "Object Created",
            "detail": {"object": {"key": key, "version-id": put["VersionId"]}},
        }

    def worker(self, ask: Ask | None = None) -> Worker:
        def predictor(job: Job, _part: int, _last: bool) -> Predictor:
            return TensorPredictor(job.model, ask or self.ask)

        return Worker(self.platform, self.route.queue_url, predictor)

    def receive(self, url: str) -> list[tuple[Message, dict[str, Any]]]:
        answer = self.platform.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
        )
        return [
            (
                Message(
                    found["Body"], found["ReceiptHandle"], int(found["Attributes"]["ApproximateReceiveCount"])
                ),
                json.loads(found["Body"]),
            )
            for found in answer.get("Messages", [])
        ]

    def work(self, worker: Worker | None = None) -> int:
        """Let a worker do all that is in the queue; how many messages it had."""
        worker, done = worker or self.worker(), 0
        while messages := self.receive(self.route.queue_url):
            for message, _ in messages:
                if worker.handle(message):
                    delete(self.platform.sqs, self.route.queue_url, message.receipt)
                done += 1
        return done

    def control_all(self) -> None:
        """Do all that is in the control queue."""
        while messages := self.receive(self.platform.control_url):
            for message, content in messages:
                self.control.handle(content, message.received)
                delete(self.platform.sqs, self.platform.control_url, message.receipt)

    def run(self) -> None:
        """Until nothing is left to do."""
        while self.work():
            self.control_all()

    def jobs(self, tenant: str = "acme") -> list[Job]:
        return list(self.platform.table.of_tenant(tenant))

    def result(self, job: Job) -> bytes:
        found = self.platform.s3.get_object(Bucket=self.platform.bucket, Key=job.output_key)
        data: bytes = found["Body"].read()
        return data

    def dead_letters(self, url: str | None = None) -> list[dict[str, Any]]:
        return [content for _, content in self.receive(url or self.route.dead_letters_url)]


def jobs_platform(aws: Aws, ask: Ask, size: PartSize, limits: Limits) -> JobsPlatform:
    """A platform of its own with the tenants acme and globex and the model digits."""
    name = f"jobs-{uuid.uuid4().hex[:12]}"
    aws.client("dynamodb").create_table(TableName=name, **TABLE)
    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    urls = {
        role: sqs.create_queue(QueueName=f"{name}-{role}")["QueueUrl"]
        for role in ("queue", "dead", "control", "dead-control")
    }
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=aws.endpoint,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
        **CREDENTIALS,
    )
    platform = Platform(
        table=JobTable(resource.Table(name)),
        s3=s3,
        sqs=sqs,
        events=aws.client("events"),
        bucket=name,
        control_url=urls["control"],
        dead_letters_url=urls["dead-control"],
        routes={"digits": Route(urls["queue"], urls["dead"], "function", "function")},
        limits={"acme": limits, "globex": limits},
        attempts=3,
        visibility_s=30,
        size=size,
    )
    return JobsPlatform(platform, Control(platform), ask)


def asks(folder: Path) -> Ask:
    """Asks the real model of a folder, in this process."""
    manifest, _, data = read_folder(folder)
    served = ServedModel(manifest.name, manifest.version, lambda: Model(manifest, data))
    served.load()

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        answer = api.handle(served, method, path, body)
        return answer.status, answer.body

    return ask


def rows(count: int, *, poisoned: frozenset[int] = frozenset(), seed: int = 0) -> bytes:
    """JSON Lines of images, some of them no image."""
    values = np.random.default_rng(seed).integers(0, 17, (count, 64)).astype(float)
    return b"".join(
        (b'{"image": [1, 2]}' if index in poisoned else json.dumps({"image": row.tolist()}).encode()) + b"\n"
        for index, row in enumerate(values)
    )


@pytest.fixture(scope="module")
def ask(digits: Path) -> Ask:
    """The digits model, asked in this process."""
    return asks(digits)


@pytest.fixture
def at(aws: Aws, ask: Ask) -> JobsPlatform:
    """A platform with parts of ten rows, and with limits that tests can reach."""
    return jobs_platform(aws, ask, PartSize(rows=10), LIMITS)
