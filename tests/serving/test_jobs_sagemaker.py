"""Jobs of models on SageMaker: a real container's process, asked through the local runtime of SageMaker."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws.sagemaker_runtime import Runtime
from serving.jobs import Job, Limits
from serving.jobs_ask import through_endpoint
from serving.jobs_async import FORGOTTEN_S, AsyncAsk, AsyncPredictor
from serving.jobs_predict import AnswersLater, Predictor, TensorPredictor, TryLater
from serving.jobs_rows import PartSize
from serving.jobs_work import Message, Worker, inference_id
from tests.serving.asgi import dying
from tests.serving.conftest import CREDENTIALS, REGION, Aws
from tests.serving.http_server import Server
from tests.serving.jobs_platform import JobsPlatform, asks, jobs_platform, rows


@pytest.fixture(scope="module")
def container(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The model server as SageMaker starts it."""
    server = Server(tmp_path_factory.mktemp("container") / "log", MODEL_DIR=str(digits))
    server.wait("/ping")
    yield server
    server.end()


class Endpoint:
    """A platform whose model is on the endpoint `e`, at once or asynchronous."""

    def __init__(self, at: JobsPlatform, aws: Aws, port: int) -> None:
        self.at, sns = at, aws.client("sns")
        topics = {
            role: sns.create_topic(Name=f"{at.platform.bucket}-{role}")["TopicArn"]
            for role in ("success_topic", "error_topic")
        }
        queue = at.platform.sqs.get_queue_attributes(
            QueueUrl=at.route.queue_url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
        }
        policy = {"Version": "2012-10-17", "Statement": [{**allow, "Resource": queue}]}
        at.platform.sqs.set_queue_attributes(
            QueueUrl=at.route.queue_url, Attributes={"Policy": json.dumps(policy)}
        )
        for topic in topics.values():
            sns.subscribe(
                TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
            )
        folder = f"s3://{at.platform.bucket}/work/digits"
        told = {"port": port, "output": f"{folder}/answers", "failure": f"{folder}/failures", **topics}
        self.runtime = Runtime(0, {"e": told}, at.platform.s3, sns)
        threading.Thread(target=self.runtime.serve_forever, daemon=True).start()
        self.client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{self.runtime.server_address[1]}",
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}),
            **CREDENTIALS,
        )

    def at_once(self) -> Worker:
        def predictor(job: Job, _part: int, last: bool) -> Predictor:
            return TensorPredictor(job.model, through_endpoint(self.client, "e", last=last))

        return Worker(self.at.platform, self.at.route.queue_url, predictor)

    def later(self) -> Worker:
        def predictor(job: Job, part: int, _last: bool) -> Predictor:
            return AsyncPredictor(job.model, self.ask(job, part))

        return Worker(self.at.platform, self.at.route.queue_url, predictor)

    def ask(self, job: Job, part: int = 0) -> AsyncAsk:
        return AsyncAsk(self.at.platform, self.client, "e", job, part)

    def until_done(self, worker: Worker) -> Job:
        """Work on the queue until the only job is at its end."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.at.work(worker)
            self.at.control_all()
            (job,) = self.at.jobs()
            if job.state in ("succeeded", "failed"):
                return job
        pytest.fail(f"the job is {job.state}, {job.done} of {job.parts} parts")


@pytest.fixture
def endpoint(aws: Aws, digits: Path, container: Server) -> Iterator[Endpoint]:
    at = jobs_platform(aws, asks(digits), PartSize(rows=200), Limits(active_jobs=5, parts_in_flight=4))
    made = Endpoint(at, aws, container.port)
    yield made
    made.runtime.shutdown()
    made.runtime.server_close()


def results(endpoint: Endpoint, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in endpoint.at.result(job).splitlines()]


@pytest.mark.parametrize("mode", ["at_once", "later"])
def test_rows_come_back_in_order_with_the_models_own_answers(endpoint: Endpoint, mode: str) -> None:
    content = rows(450, poisoned=frozenset({7, 300}))
    endpoint.at.control.handle(endpoint.at.put("x.jsonl", content))
    job = endpoint.until_done(getattr(endpoint, mode)())
    assert (job.state, job.rows_done, job.rows_failed, job.done) == ("succeeded", 450, 2, 3)
    found = results(endpoint, job)
    assert [result["row"] for result in found] == list(range(450))
    assert [result["row"] for result in found if "error" in result] == [7, 300]
    image = json.loads(content.splitlines()[200])["image"]
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": image}
    _, body = endpoint.at.ask("POST", "/v2/models/digits/infer", json.dumps({"inputs": [tensor]}).encode())
    label = next(output for output in json.loads(body)["outputs"] if output["name"] == "label")
    assert found[200]["outputs"]["label"] == label["data"][0]
    assert endpoint.at.work() == 0, "a message is left"


def test_metadata_comes_from_the_model_itself(endpoint: Endpoint) -> None:
    ask = through_endpoint(endpoint.client, "e", last=True)
    status, body = ask("GET", "/v2/models/digits", b"")
    assert (status, json.loads(body)["inputs"][0]["name"]) == (200, "image")
    status, body = ask("POST", "/v2/models/digits/infer", b"{}")
    assert (status, "inputs" in json.loads(body)["error"]) == (400, True)


def test_an_endpoint_that_is_not_there_is_tried_again(endpoint: Endpoint) -> None:
    with pytest.raises(TryLater, match="ValidationError"):
        through_endpoint(endpoint.client, "nosuch", last=True)("GET", "/v2/models/digits", b"")


def test_a_container_that_dies_under_a_request_is_tried_again(endpoint: Endpoint) -> None:
    with dying([], "killed") as killed:
        endpoint.runtime.endpoints = {"e": {"port": int(killed.rpartition(":")[2])}}
        with pytest.raises(TryLater, match="ServiceUnavailable"):
            through_endpoint(endpoint.client, "e", last=True)("POST", "/v2/models/digits/infer", b"{}")


class _Asked:
    """A SageMaker that takes requests and leaves the answers to the test."""

    def __init__(self, bucket: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self._bucket = bucket

    class exceptions:  # noqa: N801 - boto3's name
        ClientError = ValueError

    def invoke_endpoint_async(self, **request: Any) -> dict[str, str]:
        self.requests.append(request)
        place = f"s3://{self._bucket}/work/digits/answers/{len(self.requests)}"
        return {"OutputLocation": place, "FailureLocation": f"{place}-error"}


@pytest.fixture
def asked(endpoint: Endpoint) -> _Asked:
    return _Asked(endpoint.at.platform.bucket)


@pytest.fixture
def ask(endpoint: Endpoint, asked: _Asked) -> Callable[[], tuple[int, bytes]]:
    job = Job(id="0" * 32, tenant="acme", model="digits", format="jsonl", input_key="x")

    def once() -> tuple[int, bytes]:
        return AsyncAsk(endpoint.at.platform, asked, "e", job, 3)("POST", "/v2/models/digits/infer", b"body")

    return once


def put(endpoint: Endpoint, name: str, data: bytes) -> None:
    platform = endpoint.at.platform
    platform.s3.put_object(Bucket=platform.bucket, Key=f"work/digits/answers/{name}", Body=data)


def test_a_request_is_sent_once_however_often_its_part_comes(
    endpoint: Endpoint, asked: _Asked, ask: Callable[[], tuple[int, bytes]]
) -> None:
    for _ in range(3):
        with pytest.raises(AnswersLater):
            ask()
    (request,) = asked.requests
    assert request["CustomAttributes"] == "POST /v2/models/digits/infer"
    assert request["InferenceId"] == "0" * 32 + ":3"
    put(endpoint, "1", b"answer")
    assert ask() == (200, b"answer")
    assert len(asked.requests) == 1


def test_the_models_own_refusal_is_the_answer(
    endpoint: Endpoint, ask: Callable[[], tuple[int, bytes]]
) -> None:
    with pytest.raises(AnswersLater):
        ask()
    put(endpoint, "1-error", b'{"error": "bad shape"}')
    assert ask() == (400, b'{"error": "bad shape"}')


def test_another_failure_is_tried_again_and_given_to_the_rows_at_the_last_try(
    endpoint: Endpoint, asked: _Asked, ask: Callable[[], tuple[int, bytes]]
) -> None:
    for number in range(1, endpoint.at.platform.attempts + 1):
        with pytest.raises(AnswersLater):
            ask()
        put(endpoint, f"{number}-error", b"the instance went away")
    status, body = ask()
    assert (status, "failed on the row" in json.loads(body)["error"]) == (500, True)
    assert len(asked.requests) == endpoint.at.platform.attempts


def test_what_sagemaker_has_forgotten_is_asked_again(
    endpoint: Endpoint,
    asked: _Asked,
    ask: Callable[[], tuple[int, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AnswersLater):
        ask()
    now = time.time()
    monkeypatch.setattr("serving.jobs_async.time.time", lambda: now + FORGOTTEN_S + 2)
    with pytest.raises(AnswersLater):
        ask()
    assert len(asked.requests) == 2


def test_all_batches_are_asked_before_the_first_answer_is_waited_for(asked: _Asked) -> None:
    sent = []

    def later(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 200, b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]}'
        sent.append(body)
        raise AnswersLater

    with pytest.raises(AnswersLater):
        TensorPredictor("digits", later)(rows(300).splitlines())
    assert len(sent) == 3


@pytest.mark.parametrize(
    "content",
    [
        {"wake": True},
        {"inferenceId": "7d3e"},
        {"inferenceId": "0" * 32 + ":0"},
        {"invocationStatus": "Failed"},
    ],
)
def test_a_message_that_is_about_no_part_is_done_with(at_nothing: Worker, content: dict[str, Any]) -> None:
    assert at_nothing.handle(Message(json.dumps(content), "receipt", 1))


@pytest.fixture
def at_nothing(endpoint: Endpoint) -> Worker:
    def never(*_: object) -> Predictor:
        raise AssertionError("there is nothing to predict")

    return Worker(endpoint.at.platform, endpoint.at.route.queue_url, never)


def test_sagemaker_takes_the_longest_inference_id() -> None:
    job = Job(id="f" * 32, tenant="acme", model="digits", format="jsonl", input_key="x")
    longest: Sequence[str] = inference_id(job, 999_999)
    assert len(longest) <= 64
