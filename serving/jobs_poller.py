"""The cluster's worker: works on a model's queue by asking the model's server, until a signal ends it.

    python -m serving.jobs_poller

Environment:
    DATA_BUCKET, JOBS_CONFIG   see `serving.jobs_flow.Platform`
    MODEL_NAME                 whose queue
    MODEL_URL                  where the model's server is
    ENGINE                     which it is: onnx or vllm (onnx)
    HOST, PORT                 where to say that it works (default 127.0.0.1, 8080): GET /health
    LOG_LEVEL                  (INFO)
"""

import logging
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3
from urllib3.exceptions import HTTPError

from serving import logs
from serving.jobs import Job
from serving.jobs_ask import over_http
from serving.jobs_flow import Platform
from serving.jobs_predict import ChatPredictor, Predictor, TensorPredictor
from serving.jobs_work import Message, Worker, delete

_POLL_S = 20  # the longest that SQS knows
_NOT_READY_S = 2
_READY_PATHS = {"onnx": "/v2/health/ready", "vllm": "/health"}

logger = logging.getLogger(__name__)


class Poller:
    """Takes one message after the other, and none while the server cannot answer."""

    def __init__(self, platform: Platform, model: str, url: str, engine: str) -> None:
        self._platform, self._url, self._ready_url = platform, url, url + _READY_PATHS[engine]
        self._queue_url = platform.routes[model].queue_url
        self._http = urllib3.PoolManager(maxsize=16, retries=False)
        self._kind = ChatPredictor if engine == "vllm" else TensorPredictor
        self._worker = Worker(platform, self._queue_url, self._predictor)
        self.stopping = threading.Event()

    def run(self) -> None:
        """Work until `stopping` is set; a message that was begun is finished.

        Where AWS itself fails, the message is left, and comes again to this worker or another one.
        """
        while not self.stopping.is_set():
            try:
                if self._ready():
                    self.work_once(_POLL_S)
                    continue
            except Exception:
                logger.exception("a message is left to be tried again")
            self.stopping.wait(_NOT_READY_S)

    def work_once(self, wait_s: int) -> int:
        """Handle what the queue has now, or gets within `wait_s`; how many messages it was."""
        answer = self._platform.sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=self._platform.visibility_s,
            AttributeNames=["ApproximateReceiveCount"],
        )
        for found in answer.get("Messages", []):
            received = int(found["Attributes"]["ApproximateReceiveCount"])
            message = Message(found["Body"], found["ReceiptHandle"], received)
            if self._worker.handle(message):
                delete(self._platform.sqs, self._queue_url, message.receipt)
        return len(answer.get("Messages", []))

    def _ready(self) -> bool:
        try:
            return bool(self._http.request("GET", self._ready_url, timeout=5).status == 200)
        except HTTPError:
            return False

    def _predictor(self, job: Job, _part: int, _last: bool) -> Predictor:
        return self._kind(job.model, over_http(self._http, self._url))


class _Health(BaseHTTPRequestHandler):
    """Says that the process works. A worker whose model is cold is well, and waits for it."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: probes come every few seconds."""


def _poller() -> Poller:
    """What the environment says. Raises ValueError that names the variable at fault."""
    if missing := [name for name in ("MODEL_NAME", "MODEL_URL") if not os.environ.get(name)]:
        raise ValueError(f"the environment misses {', '.join(missing)}")
    engine, model = os.environ.get("ENGINE", "onnx"), os.environ["MODEL_NAME"]
    if engine not in _READY_PATHS:
        raise ValueError(f"ENGINE is one of {', '.join(_READY_PATHS)}, not {engine!r}")
    platform = Platform.of()
    if model not in platform.routes:
        raise ValueError(
            f"MODEL_NAME {model!r} has no jobs; these have: {', '.join(sorted(platform.routes))}"
        )
    return Poller(platform, model, os.environ["MODEL_URL"], engine)


def main() -> None:
    """Poll until SIGTERM or SIGINT."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    try:
        poller = _poller()
    except ValueError as error:
        sys.exit(f"the worker cannot start: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: poller.stopping.set())
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))
    health = ThreadingHTTPServer(address, _Health)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    logger.info("working on the jobs of %s", os.environ["MODEL_NAME"])
    poller.run()


if __name__ == "__main__":
    main()
