"""The cluster's worker: it waits for its server, keeps its part hidden, and ends between two parts."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import jobs_poller
from serving.jobs import Job
from serving.jobs_flow import Platform
from serving.jobs_poller import Poller
from serving.jobs_predict import Ask
from tests.serving.conftest import CREDENTIALS, REGION, Aws
from tests.serving.http_server import ROOT
from tests.serving.jobs_platform import JobsPlatform, ask, at, rows

__all__ = ["ask", "at"]  # fixtures

PATIENCE_S = 60


class ModelServer(ThreadingHTTPServer):
    """The real model over HTTP, which the test can keep from being ready and from answering."""

    daemon_threads = True

    def __init__(self, ask: Ask) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ask = ask
        self.ready, self.may_answer = threading.Event(), threading.Event()
        self.probed, self.asked = threading.Semaphore(0), threading.Semaphore(0)
        """Released for each question about readiness, and for each request to the model."""
        self.ready.set()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        if self.path == "/v2/health/ready":
            self.server.probed.release()
            self._answer(200 if self.server.ready.is_set() else 503, b"{}")
        else:
            self._answer(*self.server.ask("GET", self.path, b""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.release()
        self.server.may_answer.wait(PATIENCE_S)
        self._answer(*self.server.ask("POST", self.path, body))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(ask: Ask) -> Iterator[ModelServer]:
    made = ModelServer(ask)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.may_answer.set()
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_poller, "_POLL_S", 1)
    monkeypatch.setattr(jobs_poller, "_NOT_READY_S", 0.01)


@contextmanager
def running(poller: Poller) -> Iterator[None]:
    """The poller in a thread, as its program runs it."""
    thread = threading.Thread(target=poller.run)
    thread.start()
    try:
        yield
    finally:
        poller.stopping.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def job_of(at: JobsPlatform, until: Callable[[Job], bool]) -> Job:
    """The only job, once something holds for it."""
    pause = threading.Event()
    for _ in range(PATIENCE_S * 20):
        at.control_all()
        (job,) = at.jobs()
        if until(job):
            return job
        pause.wait(0.05)
    pytest.fail(f"the job stays {job}")


def waiting(at: JobsPlatform) -> tuple[int, int]:
    """Messages of the model's queue: those to be had, and those in a worker's hands."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = at.platform.sqs.get_queue_attributes(QueueUrl=at.route.queue_url, AttributeNames=names)
    return int(found["Attributes"][names[0]]), int(found["Attributes"][names[1]])


def put(at: JobsPlatform, count: int) -> None:
    at.control.handle(at.put("x.jsonl", rows(count)))


def test_no_message_is_taken_before_the_server_is_there(at: JobsPlatform, server: ModelServer) -> None:
    server.ready.clear()
    put(at, 20)
    with running(Poller(at.platform, "digits", server.url, "onnx")):
        for _ in range(3):
            assert server.probed.acquire(timeout=PATIENCE_S)
        assert waiting(at) == (2, 0)
        server.ready.set()
        job = job_of(at, lambda job: job.state == "succeeded")
    assert (job.rows_done, job.rows_failed) == (20, 0)
    assert waiting(at) == (0, 0)


def test_a_server_that_nobody_started_yet_costs_no_try(
    at: JobsPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    put(at, 5)
    poller = Poller(at.platform, "digits", nowhere, "onnx")
    asked = threading.Semaphore(0)
    ready = poller._ready

    def counted() -> bool:
        found = ready()
        asked.release()
        return found

    monkeypatch.setattr(poller, "_ready", counted)
    with running(poller):
        for _ in range(5):
            assert asked.acquire(timeout=PATIENCE_S)
    ((message, _),) = at.receive(at.route.queue_url)
    assert message.received == 1, "a worker had it before"


def test_a_message_stays_hidden_for_as_long_as_it_is_worked_on(
    at: JobsPlatform, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = replace(at.platform, visibility_s=3)
    beats = threading.Semaphore(0)
    hide = at.platform.sqs.change_message_visibility

    def beat(**asked: Any) -> None:
        hide(**asked)
        beats.release()

    monkeypatch.setattr(at.platform.sqs, "change_message_visibility", beat)
    server.may_answer.clear()
    put(at, 5)
    with running(Poller(platform, "digits", server.url, "onnx")):
        for _ in range(5):  # one each second, so for longer than a message stays hidden by itself
            assert beats.acquire(timeout=PATIENCE_S), "no heartbeat"
        assert at.receive(at.route.queue_url) == [], "another worker got it, too"
        server.may_answer.set()
        job_of(at, lambda job: job.state == "succeeded")
    assert waiting(at) == (0, 0)


@pytest.mark.parametrize(
    "body",
    ["no JSON", "[]", '{"job": 7, "part": 0}', '{"job": "../x", "part": 0}', json.dumps({"job": "0" * 32})],
)
def test_a_message_that_nobody_can_read_is_put_away_and_the_next_one_worked_on(
    at: JobsPlatform, server: ModelServer, body: str
) -> None:
    at.platform.sqs.send_message(QueueUrl=at.route.queue_url, MessageBody=body)
    put(at, 5)
    with running(Poller(at.platform, "digits", server.url, "onnx")):
        job_of(at, lambda job: job.state == "succeeded")
    assert waiting(at) == (0, 0)
    (letter,) = at.dead_letters()
    assert letter["message"] == body
    assert "no message of a jobs queue" in letter["reason"]


def test_a_failure_of_aws_leaves_the_message_and_the_worker(
    at: JobsPlatform, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(at, 5)
    get, failed = at.platform.table.get, threading.Event()

    def fails_once(id: str) -> Job | None:
        if threading.current_thread() is not threading.main_thread() and not failed.is_set():
            failed.set()
            raise ConnectionError("the table does not answer")
        return get(id)

    monkeypatch.setattr(at.platform.table, "get", fails_once)
    with running(Poller(replace(at.platform, visibility_s=1), "digits", server.url, "onnx")):
        job = job_of(at, lambda job: job.state == "succeeded")
    assert failed.is_set()
    assert (job.rows_done, job.rows_failed) == (5, 0)


class Process:
    """The worker as its container starts it."""

    def __init__(self, platform: Platform, aws: Aws, log: Path, **environment: str) -> None:
        config = {
            "table": platform.bucket,
            "keep_days": 30,
            "control_url": platform.control_url,
            "dead_letters_url": platform.dead_letters_url,
            "routes": {model: asdict(route) for model, route in platform.routes.items()},
            "limits": {tenant: asdict(limits) for tenant, limits in platform.limits.items()},
            "attempts": platform.attempts,
            "visibility_s": platform.visibility_s,
            "part": asdict(platform.size),
        }
        platform.s3.put_object(Bucket=platform.bucket, Key="config", Body=json.dumps(config).encode())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        told = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **{name.upper(): value for name, value in CREDENTIALS.items()},
            "DATA_BUCKET": platform.bucket,
            "JOBS_CONFIG": "config",
            "PORT": str(self.port),
            **environment,
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.jobs_poller"],
                cwd=ROOT,
                env=told,
                stdout=output,
                stderr=output,
            )
        self.log = log


@pytest.fixture
def started(aws: Aws, at: JobsPlatform, server: ModelServer, tmp_path: Path) -> Iterator[Any]:
    """Starts the worker's program; `environment` beside what it always needs."""
    processes = []

    def start(visibility_s: int = 30, **environment: str) -> Process:
        told = {"MODEL_NAME": "digits", "MODEL_URL": server.url} | environment
        platform = replace(at.platform, visibility_s=visibility_s)
        processes.append(Process(platform, aws, tmp_path / "log", **told))
        return processes[-1]

    yield start
    for each in processes:
        each.process.kill()
        each.process.wait()


def test_the_part_in_hand_is_finished_after_a_signal_and_no_other_begun(
    at: JobsPlatform, server: ModelServer, started: Callable[..., Process]
) -> None:
    server.may_answer.clear()
    put(at, 20)
    worker = started()
    assert server.asked.acquire(timeout=PATIENCE_S), worker.log.read_text()
    assert httpx.get(f"http://127.0.0.1:{worker.port}/health").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{worker.port}/else").status_code == 404
    worker.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(0.5)
    server.may_answer.set()
    assert worker.process.wait(PATIENCE_S) == 0
    assert at.jobs()[0].done == 1
    assert waiting(at) == (1, 0)
    at.run()
    assert at.jobs()[0].state == "succeeded"


def test_the_part_of_a_worker_that_is_killed_is_given_back(
    at: JobsPlatform, server: ModelServer, started: Callable[..., Process]
) -> None:
    server.may_answer.clear()
    put(at, 5)
    worker = started(visibility_s=2)
    assert server.asked.acquire(timeout=PATIENCE_S), worker.log.read_text()
    worker.process.kill()
    server.may_answer.set()
    with running(Poller(at.platform, "digits", server.url, "onnx")):
        job = job_of(at, lambda job: job.state == "succeeded")
    assert (job.rows_done, job.rows_failed) == (5, 0)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MODEL_NAME": "", "MODEL_URL": ""}, "the environment misses MODEL_NAME, MODEL_URL"),
        ({"ENGINE": "triton"}, "ENGINE is one of onnx, vllm, not 'triton'"),
        ({"JOBS_CONFIG": ""}, "the environment misses JOBS_CONFIG"),
        ({"MODEL_NAME": "nosuch"}, "MODEL_NAME 'nosuch' has no jobs; these have: digits"),
    ],
)
def test_a_worker_that_cannot_start_says_which_variable_is_at_fault(
    started: Callable[..., Process], environment: dict[str, str], said: str
) -> None:
    worker = started(**environment)
    assert worker.process.wait(PATIENCE_S) == 1
    assert f"the worker cannot start: {said}" in worker.log.read_text()
