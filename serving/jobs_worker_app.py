"""Entry point of the workers' function: parts of models on Lambda and SageMaker.

Environment: see `serving.jobs_flow.Platform`; LOG_LEVEL.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from serving import logs
from serving.jobs import Job
from serving.jobs_ask import through_endpoint, through_function
from serving.jobs_async import AsyncAsk, AsyncPredictor
from serving.jobs_flow import Platform
from serving.jobs_predict import Predictor, TensorPredictor
from serving.jobs_work import Message, Worker


@cache
def _platform() -> Platform:
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    return Platform.of()


@cache
def _client(service: str) -> Any:
    # A model's function may take its 29 s and an endpoint 60; the tries are the queue's.
    return boto3.client(service, config=Config(read_timeout=70, retries={"total_max_attempts": 2}))


def _predictor(job: Job, part: int, last: bool) -> Predictor:
    route = _platform().routes[job.model]
    match route.by:
        case "function":
            return TensorPredictor(job.model, through_function(_client("lambda"), route.target, last=last))
        case "endpoint":
            client = _client("sagemaker-runtime")
            return TensorPredictor(job.model, through_endpoint(client, route.target, last=last))
        case "async-endpoint":
            client = _client("sagemaker-runtime")
            return AsyncPredictor(job.model, AsyncAsk(_platform(), client, route.target, job, part))
    raise ValueError(f"model {job.model} has a worker of its own: {route.by}")


@cache
def _worker(queue_url: str) -> Worker:
    return Worker(_platform(), queue_url, _predictor)


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Work on a batch of one model's queue; the messages that failed are named and come again."""
    urls = {route.queue_url.rsplit("/", 1)[-1]: route.queue_url for route in _platform().routes.values()}
    failed = []
    for record in event["Records"]:
        queue_url = urls[record["eventSourceARN"].rsplit(":", 1)[-1]]
        received = int(record["attributes"]["ApproximateReceiveCount"])
        message = Message(record["body"], record["receiptHandle"], received)
        if not _worker(queue_url).handle(message):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
