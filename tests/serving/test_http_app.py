"""The HTTP server as its container starts it: a real process, real sockets, a real model."""

import asyncio
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from serving import publication
from serving.http_app import Settings, served_model
from serving.http_front import HttpFront, Limits
from serving.manifest import FILE_NAME, Manifest
from serving.runtime import Model
from serving.served import ServedModel
from tests.serving.http_server import Server, Start

pytestmark = pytest.mark.integration

INFER = "/v2/models/digits/infer"


@pytest.fixture(scope="module")
def server(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server") / "log", MODEL_DIR=str(digits))
    made.wait()
    yield made
    made.end()


@pytest.fixture(scope="module")
def batch(digits: Path) -> dict[str, Any]:
    """A request for the digits 0 to 4."""
    golden = Manifest.parse((digits / FILE_NAME).read_bytes()).golden
    return dict(next(item.request for item in golden if item.name == "batch"))


def line_of(server: Server, answer: httpx.Response) -> dict[str, Any]:
    """The log line of a request, which is written once its answer is sent."""
    while True:
        written = server.log.read_text()
        for line in map(json.loads, written[: written.rfind("\n") + 1].splitlines()):
            if line.get("request_id") == answer.headers["x-request-id"]:
                return dict(line)
        time.sleep(0.01)


class TestOpenInferenceProtocol:
    """https://github.com/open-inference/open-inference-protocol (REST API)."""

    def test_server_and_health(self, server: Server) -> None:
        about = server.http.get("/v2").json()
        assert about == {"name": "inference-platform", "version": "v1", "extensions": ["binary_tensor_data"]}
        assert server.http.get("/v2/health/live").json() == {"live": True}
        assert server.http.get("/v2/health/ready").json() == {"ready": True}
        assert server.http.get("/v2/models").json() == {"models": ["digits"]}

    @pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/v1"])
    def test_a_model(self, server: Server, path: str) -> None:
        about = server.http.get(path).json()
        assert about["name"] == "digits"
        assert about["versions"] == ["v1"]
        assert about["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
        assert [output["name"] for output in about["outputs"]] == ["label", "probabilities"]
        assert server.http.get(f"{path}/ready").json() == {"name": "digits", "ready": True}

    @pytest.mark.parametrize("path", [INFER, "/v2/models/digits/versions/v1/infer"])
    def test_an_inference(self, server: Server, batch: dict[str, Any], path: str) -> None:
        answer = server.http.post(path, json=batch | {"id": "42"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert (body["model_name"], body["model_version"], body["id"]) == ("digits", "v1", "42")
        assert body["outputs"][0] == {
            "name": "label",
            "datatype": "INT64",
            "shape": [5],
            "data": [0, 1, 2, 3, 4],
        }

    def test_binary_tensor_data(self, server: Server, batch: dict[str, Any]) -> None:
        images = np.reshape(batch["inputs"][0]["data"], (5, 64)).astype("<f4")
        tensor: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [5, 64]}
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        document = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"inference-header-content-length": str(len(document))}
        answer = server.http.post(INFER, content=document + images.tobytes(), headers=headers)
        assert answer.headers["x-inference-rows"] == "5"
        length = int(answer.headers["inference-header-content-length"])
        sizes = [
            t["parameters"]["binary_data_size"] for t in orjson.loads(answer.content[:length])["outputs"]
        ]
        assert sizes == [40, 200]
        assert len(answer.content) == length + 240
        assert np.frombuffer(answer.content[length : length + 40], "<i8").tolist() == [0, 1, 2, 3, 4]


class TestSageMaker:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html"""

    def test_ping_and_invocations(self, server: Server, batch: dict[str, Any]) -> None:
        assert server.http.get("/ping").status_code == 200
        answer = server.http.post("/invocations", json=batch)
        assert answer.json()["outputs"][0]["data"] == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("attributes", "tenant"),
        [
            ("acme", "acme"),
            ("POST /v2/models/digits/infer", None),  # workers of jobs, counted by their table
            ("GET /v2/models/digits", None),
            ("", None),
            ("requests#acme", None),
        ],
    )
    def test_the_line_of_a_request_says_what_its_tenant_used(
        self, server: Server, batch: dict[str, Any], attributes: str, tenant: str | None
    ) -> None:
        headers = {"X-Amzn-SageMaker-Custom-Attributes": attributes}
        answer = server.http.post("/invocations", json=batch, headers=headers)
        assert answer.status_code == 200
        line = line_of(server, answer)
        assert line["tenant"] == tenant
        if tenant is None:
            assert not {"requests", "_aws"} & line.keys()
            return
        assert (line["requests"], line["rows"], line["tokens"]) == (1, 5, 0)
        assert line["compute_ms"] == line["duration_ms"] > 0
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Dimensions"] == [["tenant", "model"]]

    def test_in_a_cluster_a_client_names_no_tenant(self, server: Server, batch: dict[str, Any]) -> None:
        headers = {"X-Amzn-SageMaker-Custom-Attributes": "acme", "X-Inference-Tenant": "acme"}
        answer = server.http.post(INFER, json=batch, headers=headers)
        assert (answer.headers["x-inference-rows"], answer.headers["x-inference-tokens"]) == ("5", "0")
        line = line_of(server, answer)
        assert line["tenant"] is None
        assert "_aws" not in line

    def test_binary_data_by_content_type(self, server: Server, batch: dict[str, Any]) -> None:
        images = np.reshape(batch["inputs"][0]["data"], (5, 64)).astype("<f4")
        tensor: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [5, 64]}
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        document = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        kind = "application/vnd.sagemaker-triton.binary+json;json-header-size="
        answer = server.http.post(
            "/invocations",
            content=document + images.tobytes(),
            headers={"content-type": f"{kind}{len(document)}"},
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        length = int(answer.headers["content-type"].removeprefix(kind))
        assert np.frombuffer(answer.content[length : length + 40], "<i8").tolist() == [0, 1, 2, 3, 4]


def tensor(**changes: Any) -> bytes:
    made = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64} | changes
    return json.dumps({"inputs": [made]}).encode()


class TestBadInput:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "reason"),
        [
            ("POST", INFER, b"not json", 400, "not JSON"),
            ("POST", INFER, b"", 400, "empty"),
            ("POST", INFER, b'{"inputs": [{"name": "image", "shape": [1e9]}]}', 400, "datatype must be FP32"),
            ("POST", "/invocations", b"{}", 400, "'inputs' must be an array"),
            ("POST", INFER, b"[]", 400, "must be a JSON object"),
            ("POST", INFER, b"\xff\x00\xfe", 400, "not JSON"),
            ("POST", INFER, b"[" * 100_000, 400, "not JSON"),
            ("POST", INFER, tensor(name="picture"), 400, "inputs[0] must have one of"),
            ("POST", INFER, tensor(shape=[64]), 400, "shape [64] does not fit [-1, 64]"),
            ("POST", INFER, tensor(shape=[-1, 64]), 400, "shape [-1, 64] does not fit"),
            ("POST", INFER, tensor(shape=[0, 64], data=[]), 400, "shape [0, 64] does not fit"),
            ("POST", INFER, tensor(shape=[10**15, 64]), 400, "data has 64"),
            ("POST", INFER, tensor(datatype="INT64"), 400, "datatype must be FP32, not INT64"),
            ("POST", INFER, tensor(data=[0] * 63), 400, "data has 63"),
            ("POST", INFER, tensor(data=[[0] * 64, [0] * 63], shape=[2, 64]), 400, "ragged"),
            ("POST", INFER, tensor(data=[0] * 63 + [True]), 400, "value 63 is a boolean"),
            ("POST", INFER, tensor(data=[0] * 63 + [float("nan")]), 400, "not JSON"),
            ("POST", INFER, tensor(data=[0] * 63 + [1e39]), 400, "out of range for FP32"),
            ("POST", INFER, tensor(parameters={"binary_data_size": 256}), 400, "binary_data_size needs"),
            ("POST", "/v2/models/other/infer", b"{}", 404, "no such model here"),
            ("GET", "/v2/models/digits/versions/v2", b"", 404, "no such version is live"),
            ("GET", "/v2/models/%2e%2e/secrets", b"", 404, "no such route"),
            ("GET", "/nothing", b"", 404, "no such route"),
            ("POST", "/v2/health/live", b"", 404, "no such route"),
            ("GET", INFER, b"", 405, "this route takes POST"),
            ("POST", INFER, bytes(17 * 2**20), 413, "larger than 16777216 bytes"),
        ],
        ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
    )
    def test_it_gets_a_4xx_with_a_json_error_that_says_why(
        self, server: Server, method: str, path: str, body: bytes, status: int, reason: str
    ) -> None:
        answer = server.http.request(method, path, content=body)
        assert answer.status_code == status
        assert answer.json().keys() == {"error"}
        assert reason in answer.json()["error"]
        assert answer.headers["content-type"] == "application/json"
        assert not re.search("Traceback|File |/usr|/home|/tmp|[.]py", answer.text)

    def test_a_body_without_length_is_bounded_too(self, server: Server) -> None:
        answer = server.http.post(INFER, content=(bytes(2**20) for _ in range(20)))
        assert answer.status_code == 413

    def test_lengths_of_binary_data_that_lie(self, server: Server) -> None:
        for length in ("-1", "x", "99999999", "0"):
            answer = server.http.post(
                INFER, content=b'{"inputs": []}', headers={"inference-header-content-length": length}
            )
            assert answer.status_code == 400

    def test_ten_thousand_malformed_requests_leave_memory_flat(
        self, server: Server, batch: dict[str, Any]
    ) -> None:
        good = orjson.dumps(batch)
        rng = np.random.default_rng(1)

        def malformed(count: int) -> None:
            with httpx.Client(base_url=server.http.base_url, timeout=30) as http:
                for _ in range(count):
                    at = int(rng.integers(1, len(good)))
                    body = good[:at] + bytes(rng.integers(0, 256, 8, dtype=np.uint8)) + good[at + 8 :]
                    answer = http.post(INFER, content=body)
                    assert answer.status_code in (200, 400)

        malformed(1000)
        before = _memory_kib(server.process.pid)
        malformed(10_000)
        assert _memory_kib(server.process.pid) - before < 8 * 1024
        assert server.http.post(INFER, json=batch).status_code == 200
        assert not [line for line in server.lines() if line.get("status", 0) >= 500]


def _memory_kib(pid: int) -> int:
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))


class TestLimits:
    def test_more_than_it_takes_at_once_gets_503_with_retry_after_and_health_still_answers(
        self, start: Start, digits: Path, batch: dict[str, Any]
    ) -> None:
        server = start(MODEL_DIR=str(digits), MAX_IN_FLIGHT="2")
        server.wait()
        body = orjson.dumps(batch)
        head = f"POST {INFER} HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with closing(server.connect()) as one, closing(server.connect()) as other:
            for slow in (one, other):
                slow.sendall(head + body[:10])  # in flight until the rest comes
            server.wait("/v2/models/digits", 503)
            refused = server.http.post(INFER, content=body)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json() == {"error": "2 requests are being served; no more are taken at once"}
            assert server.http.get("/v2/health/ready").status_code == 200
            assert (
                'inference_requests_in_flight{model="digits",version="v1"} 2'
                in server.http.get("/metrics").text
            )
            one.sendall(body[10:])
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
            assert server.http.post(INFER, content=body).status_code == 200

    def test_a_body_that_does_not_arrive_gets_408(self, digits: Path) -> None:
        answer, _ = _ask(
            _front(digits, Limits(body_s=0.05)), [{"type": "http.request", "body": b"{", "more_body": True}]
        )
        assert answer["status"] == 408
        assert (b"connection", b"close") in answer["headers"]

    def test_a_client_that_leaves_gets_nothing(self, digits: Path) -> None:
        sent = _messages(_front(digits, Limits()), [{"type": "http.disconnect"}])
        assert sent == []

    def test_a_slow_model_is_run_in_threads_so_that_health_answers_meanwhile(
        self, digits: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
        model = Model(manifest, (digits / manifest.file).read_bytes())
        fast = model.infer

        def slow(request: Any) -> Any:
            time.sleep(0.05)
            return fast(request)

        monkeypatch.setattr(model, "infer", slow)
        front = HttpFront(ServedModel("digits", "v1", lambda: model), Limits())
        body = orjson.dumps(dict(manifest.golden[0].request))

        async def scenario() -> list[str]:
            stop = asyncio.Event()
            life = asyncio.create_task(_lifespan(front, stop))
            while not (front._served.slow or life.done()):
                await asyncio.sleep(0.01)
            order: list[str] = []

            async def ask(name: str, method: str, path: str) -> None:
                await _exchange(front, [{"type": "http.request", "body": body}], method, path)
                order.append(name)

            await asyncio.gather(
                *(ask("infer", "POST", INFER) for _ in range(2)), ask("health", "GET", "/v2/health/ready")
            )
            stop.set()
            await life
            return order

        assert asyncio.run(scenario()) == ["health", "infer", "infer"]


def _front(folder: Path, limits: Limits) -> HttpFront:
    served = served_model({"MODEL_DIR": str(folder)}, Settings.of({}))
    served.load()
    return HttpFront(served, limits)


async def _lifespan(front: HttpFront, stop: asyncio.Event) -> None:
    turns = iter([{"type": "lifespan.startup"}])

    async def receive() -> Any:
        for message in turns:
            return message
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(_: Any) -> None:
        return None

    await front({"type": "lifespan"}, receive, send)


async def _exchange(
    front: HttpFront, incoming: list[Any], method: str = "POST", path: str = INFER
) -> list[Any]:
    """What the application sends for these messages, after which the client stays silent."""
    sent: list[Any] = []

    async def receive() -> Any:
        if incoming:
            return incoming.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await front({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    return sent


def _messages(front: HttpFront, incoming: list[Any]) -> list[Any]:
    return asyncio.run(_exchange(front, incoming))


def _ask(front: HttpFront, incoming: list[Any]) -> tuple[Any, Any]:
    start, body = _messages(front, incoming)
    return start, body


class TestLife:
    def test_a_model_that_is_not_there_yet_is_waited_for(
        self, aws: Any, bucket: str, digits: Path, start: Start, tmp_path: Path, batch: dict[str, Any]
    ) -> None:
        server = start(
            MODEL_NAME="digits",
            MODEL_VERSION="v1",
            MODEL_BUCKET=bucket,
            MODEL_CACHE_DIR=str(tmp_path / "models"),
            AWS_ENDPOINT_URL=aws.endpoint,
            AWS_REGION="us-east-1",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
        )
        server.wait("/v2/health/live")
        server.wait("/ping", 503)
        refused = server.http.post(INFER, json=batch)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        publication.publish(aws.client("s3"), bucket, digits)
        server.wait()
        assert server.http.post(INFER, json=batch).status_code == 200

    def test_a_model_that_fails_its_golden_requests_here_is_never_ready(
        self, start: Start, scale_folder: Callable[..., Path]
    ) -> None:
        server = start(MODEL_DIR=str(scale_folder("v1", 2.0, 3.0)))
        server.wait("/v2/models/scale", 503)
        reason = "scale v1 fails golden requests here: output 'y' is off by up to 3, beyond the tolerance"
        for _ in range(100):
            if (error := server.http.get("/v2/models/scale").json()["error"]) == reason:
                break
            time.sleep(0.1)
        assert error == reason
        assert server.http.get("/v2/health/ready").status_code == 503

    def test_a_folder_whose_file_is_not_the_manifests_stops_the_start_with_the_reason(
        self, start: Start, scale_folder: Callable[..., Path]
    ) -> None:
        folder = scale_folder("v1")
        (folder / "model.onnx").write_bytes(b"other")
        server = start(MODEL_DIR=str(folder))
        assert server.process.wait(60) == 1
        assert "the server cannot start: the folder's model.onnx has 5 bytes" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()

    @pytest.mark.parametrize(
        ("environment", "reason"),
        [
            ({}, "set MODEL_DIR, or MODEL_NAME, MODEL_VERSION and MODEL_BUCKET"),
            ({"MODEL_DIR": "/nowhere"}, "the folder misses manifest.json"),
            ({"PORT": "http"}, "PORT must be a whole number, not 'http'"),
            ({"MODEL_PROVIDER": "gpu"}, "MODEL_PROVIDER must be one of auto, cpu, cuda, tensorrt, not 'gpu'"),
            ({"MODEL_PROVIDER": "cuda"}, "MODEL_PROVIDER cannot be 'cuda': this image's ONNX Runtime has"),
        ],
    )
    def test_an_environment_at_fault_stops_the_start_with_the_reason(
        self, start: Start, environment: dict[str, str], reason: str
    ) -> None:
        server = start(**environment)
        assert server.process.wait(60) == 1
        assert reason in server.log.read_text()

    def test_on_sigterm_it_is_not_ready_but_answers_and_ends_when_the_last_request_is_done(
        self, start: Start, digits: Path, batch: dict[str, Any]
    ) -> None:
        server = start(MODEL_DIR=str(digits), DRAIN_SECONDS="1")
        server.wait()
        body = orjson.dumps(batch)
        head = f"POST {INFER} HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with closing(server.connect()) as slow:
            slow.sendall(head + body[:10])
            server.process.send_signal(signal.SIGTERM)
            server.wait("/v2/health/ready", 503)
            answer = server.http.post(INFER, content=body)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            time.sleep(1.5)  # past the drain: new connections are not taken, this one is not cut
            with pytest.raises(OSError, match="refused"):
                server.connect().close()
            assert server.process.poll() is None
            slow.sendall(body[10:])
            assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(30) == 0

    def test_an_idle_connection_outlives_the_routers_wish_to_keep_it(self, server: Server) -> None:
        kept = httpx.Limits().keepalive_expiry
        assert kept
        with closing(server.connect()) as idle:
            for pause in (kept + 1, 0):
                idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n")
                answer = HTTPResponse(idle)
                answer.begin()
                assert (answer.status, answer.read()) == (200, b'{"live":true}')
                time.sleep(pause)

    def test_no_request_is_lost_while_it_drains(
        self, start: Start, digits: Path, batch: dict[str, Any]
    ) -> None:
        server = start(MODEL_DIR=str(digits), DRAIN_SECONDS="1")
        server.wait()

        statuses: list[int] = []

        def keep_asking() -> None:
            """Ask until the server says that it ends, as one that watches readiness does."""
            with httpx.Client(base_url=server.http.base_url, timeout=30) as http:
                while http.get("/v2/health/ready").status_code == 200:
                    statuses.append(http.post(INFER, json=batch).status_code)

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(keep_asking) for _ in range(4)]
            while len(statuses) < 20 and not any(future.done() for future in asked):
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            for future in asked:
                future.result(30)
        assert set(statuses) == {200}
        assert server.process.wait(30) == 0


class TestObservability:
    def test_metrics_count_what_was_asked(self, start: Start, digits: Path, batch: dict[str, Any]) -> None:
        server = start(MODEL_DIR=str(digits))
        server.wait()
        for body in (orjson.dumps(batch), orjson.dumps(batch), b"{"):
            server.http.post(INFER, content=body)
        page = server.http.get("/metrics")
        assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        samples = dict(re.findall(r"^(\w+(?:{[^}]*})?) (\S+)$", page.text, re.MULTILINE))
        labels = 'model="digits",version="v1"'
        assert samples[f'inference_requests_total{{{labels},status="200"}}'] == "2"
        assert samples[f'inference_requests_total{{{labels},status="400"}}'] == "1"
        assert samples[f"inference_rows_total{{{labels}}}"] == "10"
        assert samples[f"inference_request_duration_seconds_count{{{labels}}}"] == "3"
        assert samples[f'inference_request_duration_seconds_bucket{{{labels},le="+Inf"}}'] == "3"
        assert samples[f"inference_model_ready{{{labels}}}"] == "1"
        bounds = [int(v) for k, v in samples.items() if "_bucket" in k]
        assert bounds == sorted(bounds)

    def test_a_request_id_is_kept_when_it_can_be_and_made_when_not(self, server: Server) -> None:
        for given, kept in (("abc-1.2:3", True), ("a b", False), ("x" * 129, False), ('"}{"', False)):
            answer = server.http.get("/v2/models/digits", headers={"x-request-id": given})
            assert (answer.headers["x-request-id"] == given) is kept
            assert answer.headers["x-request-id"]

    def test_every_request_writes_one_line_without_its_payload(
        self, start: Start, digits: Path, batch: dict[str, Any]
    ) -> None:
        server = start(MODEL_DIR=str(digits), LOG_LEVEL="DEBUG")
        server.wait()
        secret = "s3cret-value"
        server.http.post(INFER, json=batch | {"id": secret}, headers={"x-request-id": "one"})
        server.http.post(INFER, json={"inputs": [{"name": secret}]}, headers={"x-request-id": "two"})
        server.http.post(f"/v2/models/{secret}/infer", content=secret, headers={"x-request-id": "three"})
        requests = [line for line in server.lines() if line["message"] == "request"]
        assert [(line["request_id"], line["status"], line["rows"]) for line in requests] == [
            ("one", 200, 5),
            ("two", 400, 0),
            ("three", 404, 0),
        ]
        assert secret not in server.log.read_text()
        assert "_aws" not in requests[0]
