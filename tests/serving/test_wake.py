"""The message that wakes a cold model: one, whoever and how many ask, and none where a job waits."""

import json
import uuid
from typing import Any

import pytest

from serving.router_app import wake
from tests.serving.conftest import Aws


@pytest.fixture
def sqs(aws: Aws) -> Any:
    return aws.client("sqs")


@pytest.fixture
def queue_url(sqs: Any) -> str:
    return str(sqs.create_queue(QueueName=f"wake-{uuid.uuid4().hex[:12]}")["QueueUrl"])


def bodies(sqs: Any, queue_url: str) -> list[Any]:
    found = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in found.get("Messages", [])]


def test_many_replicas_of_the_router_leave_one_message(sqs: Any, queue_url: str) -> None:
    for _ in range(3):
        wake(sqs, queue_url)
    assert bodies(sqs, queue_url) == [{"wake": True}]
    wake(sqs, queue_url)  # the message is in a worker's hands, which waits for the model
    assert bodies(sqs, queue_url) == []


def test_a_job_that_waits_wakes_its_model_itself(sqs: Any, queue_url: str) -> None:
    sqs.send_message(QueueUrl=queue_url, MessageBody='{"job": "a", "part": 0}')
    wake(sqs, queue_url)
    assert bodies(sqs, queue_url) == [{"job": "a", "part": 0}]
