"""The Lambda front with a real model: every outcome, as API Gateway would hand it over."""

import base64
import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import lambda_front, logs
from serving.errors import ModelNotFound, ModelRefused, ModelUnavailable
from serving.lambda_front import LambdaFront
from serving.manifest import FILE_NAME, Manifest
from serving.runtime import Model
from serving.served import ServedModel

INFER = "/v2/models/digits/infer"


class Context:
    aws_request_id = "context-id"


def event(method: str, path: str, body: str | None = None, **changes: Any) -> dict[str, Any]:
    """What API Gateway sends for a route of one model."""
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json"},
        "pathParameters": None,
        "requestContext": {"requestId": "gateway-id", "authorizer": {"tenant": "acme"}},
        "body": body,
        "isBase64Encoded": False,
    } | changes


def load_digits(folder: Path) -> Model:
    manifest = Manifest.parse((folder / FILE_NAME).read_bytes())
    return Model(manifest, (folder / manifest.file).read_bytes())


@pytest.fixture(scope="session")
def front(digits: Path) -> LambdaFront:
    return LambdaFront(ServedModel("digits", "v1", lambda: load_digits(digits)))


@pytest.fixture(scope="session")
def request_body(digits: Path) -> dict[str, Any]:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    return dict(next(golden.request for golden in manifest.golden if golden.name == "batch"))


def ask(front: LambdaFront, asked: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    got = front(asked, Context())
    return got["statusCode"], json.loads(got["body"]), got["headers"]


class TestAnswers:
    def test_a_prediction(self, front: LambdaFront, request_body: dict[str, Any]) -> None:
        status, body, headers = ask(front, event("POST", INFER, json.dumps(request_body | {"id": "7"})))
        assert status == 200
        assert (body["model_name"], body["model_version"], body["id"]) == ("digits", "v1", "7")
        outputs = {output["name"]: output for output in body["outputs"]}
        assert outputs["label"]["data"] == [0, 1, 2, 3, 4]
        assert outputs["probabilities"]["shape"] == [5, 10]
        best = np.reshape(outputs["probabilities"]["data"], (5, 10)).argmax(axis=1)
        assert best.tolist() == [0, 1, 2, 3, 4]
        assert headers == {"content-type": "application/json", "x-request-id": "gateway-id"}

    def test_the_live_version_may_be_named(self, front: LambdaFront, request_body: dict[str, Any]) -> None:
        path = "/v2/models/digits/versions/v1"
        assert ask(front, event("POST", f"{path}/infer", json.dumps(request_body)))[0] == 200
        assert ask(front, event("GET", f"{path}/ready"))[0] == 200
        assert ask(front, event("GET", path))[1]["versions"] == ["v1"]

    def test_a_body_in_base64(self, front: LambdaFront, request_body: dict[str, Any]) -> None:
        body = base64.b64encode(json.dumps(request_body).encode()).decode()
        assert ask(front, event("POST", INFER, body, isBase64Encoded=True))[0] == 200

    def test_binary_tensor_data_in_and_out(self, front: LambdaFront, request_body: dict[str, Any]) -> None:
        images = np.reshape(request_body["inputs"][0]["data"], (5, 64)).astype("<f4")
        tensor: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [5, 64]}
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        outputs = [{"name": "label", "parameters": {"binary_data": True}}]
        document = orjson.dumps({"inputs": [tensor], "outputs": outputs})
        body = base64.b64encode(document + images.tobytes()).decode()
        headers = {"Inference-Header-Content-Length": str(len(document))}
        answer = front(event("POST", INFER, body, isBase64Encoded=True, headers=headers), Context())
        assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, True)
        assert answer["headers"]["content-type"] == "application/octet-stream"
        got, length = (
            base64.b64decode(answer["body"]),
            int(answer["headers"]["inference-header-content-length"]),
        )
        assert orjson.loads(got[:length])["outputs"][0]["parameters"] == {"binary_data_size": 40}
        assert np.frombuffer(got[length:], "<i8").tolist() == [0, 1, 2, 3, 4]

    def test_metadata_and_readiness(self, front: LambdaFront) -> None:
        status, body, _ = ask(front, event("GET", "/v2/models/digits"))
        assert (status, body["name"], body["platform"]) == (200, "digits", "onnx_onnxruntime")
        assert body["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
        assert ask(front, event("GET", "/v2/models/digits/ready"))[:2] == (
            200,
            {"name": "digits", "ready": True},
        )

    @pytest.mark.parametrize(
        ("resource", "parameters"),
        [
            ("/v2/models/{model}", {"model": "digits"}),
            ("/v2/{proxy+}", {"proxy": "models/digits"}),
            ("/{proxy+}", {"proxy": "v2/models/digits"}),
        ],
    )
    def test_routes_with_parameters_and_a_custom_domains_base_path(
        self, front: LambdaFront, resource: str, parameters: dict[str, str]
    ) -> None:
        asked = event("GET", "/base/v2/models/digits", resource=resource, pathParameters=parameters)
        assert ask(front, asked)[0] == 200

    def test_golden_requests_of_the_loaded_model(self, front: LambdaFront, digits: Path) -> None:
        manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
        answer = front({"golden": True}, Context())
        assert answer.pop("slowest_ms") > 0
        assert answer == {
            "model": "digits",
            "version": "v1",
            "digest": manifest.sha256,
            "passed": 6,
            "failed": [],
        }

    @pytest.mark.parametrize("asked", [{"golden": "yes"}, {}, [], "x", None, {"httpMethod": "GET"}])
    def test_an_event_that_is_neither_has_no_route(self, front: LambdaFront, asked: Any) -> None:
        answer = front(asked, Context())
        assert (answer["statusCode"], json.loads(answer["body"])) == (404, {"error": "no such route"})
        assert answer["headers"]["x-request-id"] == "context-id"


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "status", "reason"),
        [
            ("GET", "/v2/models/other", 404, "no such model here; this serves digits"),
            ("POST", "/v2/models/other/infer", 404, "no such model here"),
            ("GET", "/v2/models/digits/versions/v2", 404, "no such version is live; digits serves v1"),
            ("GET", "/v2/models/..%2f..%2fetc/ready", 404, "no such route"),
            ("GET", "/v2/models/digits/", 404, "no such route"),
            ("GET", "/v2/models", 404, "no such route"),
            ("GET", "", 404, "no such route"),
            ("GET", INFER, 405, "this route takes POST"),
            ("DELETE", "/v2/models/digits", 405, "this route takes GET"),
        ],
    )
    def test_routes_that_do_not_exist(
        self, front: LambdaFront, method: str, path: str, status: int, reason: str
    ) -> None:
        got, body, headers = ask(front, event(method, path))
        assert got == status
        assert body.keys() == {"error"}
        assert reason in body["error"]
        assert headers["x-request-id"] == "gateway-id"

    @pytest.mark.parametrize(
        ("changes", "status", "reason"),
        [
            ({"body": "{"}, 400, "not JSON"),
            ({"body": None}, 400, "empty"),
            ({"body": "\ud800"}, 400, "not JSON"),
            ({"body": "{}"}, 400, "'inputs' must be an array"),
            ({"body": "%%%", "isBase64Encoded": True}, 400, "not the base64"),
            ({"body": "é", "isBase64Encoded": True}, 400, "not the base64"),
            ({"body": "a" * (6 * 2**20 + 1)}, 413, "larger than 6291456 bytes"),
            ({"body": "é" * (3 * 2**20 + 1)}, 413, "larger than 6291456 bytes"),
            ({"body": "YWFh" * (2 * 2**20), "isBase64Encoded": True}, 413, "larger than 6291456 bytes"),
        ],
    )
    def test_bodies_that_are_no_request(
        self, front: LambdaFront, changes: dict[str, Any], status: int, reason: str
    ) -> None:
        got, body, _ = ask(front, event("POST", INFER, **changes))
        assert (got, list(body)) == (status, ["error"])
        assert reason in body["error"]

    def test_an_answer_beyond_lambdas_limit_is_refused_and_not_lost(
        self, front: LambdaFront, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tensor = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64}
        body = orjson.dumps({"inputs": [tensor]}).decode()
        limit = len(front(event("POST", INFER, body), Context())["body"]) - 1
        assert len(body) <= limit
        monkeypatch.setattr(lambda_front, "MAX_BODY_BYTES", limit)
        status, got, _ = ask(front, event("POST", INFER, body))
        assert status == 413
        assert got == {"error": f"the answer is larger than {limit} bytes; send fewer rows"}

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.text(max_size=80) | st.binary(max_size=80).map(lambda b: b.decode("latin-1")))
    def test_no_text_at_all_makes_it_fail(self, front: LambdaFront, body: str) -> None:
        status, got, _ = ask(front, event("POST", INFER, body))
        assert (status, list(got)) == (400, ["error"])


class TestFailuresAreKeptAndTriedAgain:
    def test_a_model_that_cannot_be_loaded_answers_503_with_the_reason_until_it_can(
        self, digits: Path, request_body: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        attempts: list[Exception | None] = [
            ModelUnavailable("the file of digits v1 cannot be read: storage answered SlowDown"),
            ModelRefused("the file of digits v1 has another sha256"),
            ModelNotFound("the manifest of digits v1 is not in the store"),
            None,
        ]

        def load() -> Model:
            if (failure := attempts.pop(0)) is not None:
                raise failure
            return load_digits(digits)

        served = ServedModel("digits", "v1", load)
        served.load()
        front = LambdaFront(served)
        asked = event("POST", INFER, json.dumps(request_body))
        status, body, _ = ask(front, asked)
        assert (status, body) == (503, {"error": "the file of digits v1 has another sha256"})
        status, body, headers = ask(front, asked)
        assert (status, headers["retry-after"]) == (503, "5")
        assert body == {"error": "the manifest of digits v1 is not in the store"}
        assert ask(front, asked)[0] == 200
        assert ask(front, asked)[0] == 200
        assert attempts == []

    def test_a_failure_that_nobody_expected_is_kept_too_and_tells_nothing_of_the_machine(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def load() -> Model:
            raise OSError(5, "Input/output error", "/var/secret/path")

        served = ServedModel("digits", "v1", load)
        served.load()
        status, body, _ = ask(LambdaFront(served), event("GET", "/v2/models/digits/ready"))
        assert (status, body) == (503, {"error": "digits v1 could not be loaded"})
        assert "digits v1 is not loaded: unexpected OSError" in caplog.text
        assert "secret" not in caplog.text

    def test_golden_requests_of_a_model_that_cannot_be_loaded_fail(self) -> None:
        def load() -> Model:
            raise ModelRefused("another sha256")

        outcome = LambdaFront(ServedModel("digits", "v2", load))({"golden": True}, Context())
        assert outcome == {
            "model": "digits",
            "version": "v2",
            "digest": None,
            "passed": 0,
            "failed": [{"golden": None, "reason": "another sha256"}],
        }

    def test_a_bug_is_a_500_without_traceback_path_or_values(
        self, monkeypatch: pytest.MonkeyPatch, digits: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: Any) -> None:
            raise KeyError("payload-value")

        front = LambdaFront(ServedModel("digits", "v1", lambda: load_digits(digits)))
        monkeypatch.setattr("serving.oip.decode_request", broken)
        status, body, _ = ask(front, event("POST", INFER, "{}"))
        assert (status, body) == (500, {"error": "internal error"})
        assert "unexpected KeyError in _answer:" in caplog.text
        assert "payload-value" not in caplog.text
        assert ".py" not in caplog.messages[-1]


class TestLogs:
    def test_libraries_that_log_what_they_send_stay_quiet_at_every_level(self) -> None:
        root = logging.getLogger()
        before = root.handlers[:], root.level
        try:
            logs.configure("DEBUG")
            assert logging.getLogger("serving").isEnabledFor(logging.DEBUG)
            for name in ("botocore.endpoint", "botocore.parsers", "urllib3.connectionpool"):
                assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        finally:
            root.handlers[:], root.level = before

    @pytest.fixture
    def lines(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
        return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def test_every_request_writes_one_line_that_is_its_metrics_too(
        self, digits: Path, request_body: dict[str, Any], lines: Callable[[], list[dict[str, Any]]]
    ) -> None:
        front = LambdaFront(ServedModel("digits", "v1", lambda: load_digits(digits)))
        for body in (json.dumps(request_body), "not json", "a" * (7 * 2**20)):
            ask(front, event("POST", INFER, body))
        written = lines()
        assert [line["status"] for line in written] == [200, 400, 413]
        assert [line["rows"] for line in written] == [5, 0, 0]
        assert [(line["errors"], line["faults"]) for line in written] == [(0, 0), (1, 0), (1, 0)]
        assert [line["cold_start"] for line in written] == [True, False, False]
        for line in written:
            assert (line["tenant"], line["model"], line["version"]) == ("acme", "digits", "v1")
            assert (line["request_id"], line["route"]) == ("gateway-id", INFER)
            assert (line["requests"], line["tokens"], line["compute_ms"]) == (1, 0, line["duration_ms"])
            of_model, of_tenant = line["_aws"]["CloudWatchMetrics"]
            assert of_tenant["Dimensions"] == [["tenant", "model"]]
            for directive in (of_model, of_tenant):
                assert {metric["Name"] for metric in directive["Metrics"]} <= line.keys()
                assert {name for names in directive["Dimensions"] for name in names} <= line.keys()

    def test_faults_questions_about_the_model_and_workers_of_jobs_are_no_use(
        self,
        front: LambdaFront,
        request_body: dict[str, Any],
        lines: Callable[[], list[dict[str, Any]]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        body = json.dumps(request_body)
        ask(front, event("GET", "/v2/models/digits"))
        # As serving.jobs_ask asks.
        ask(front, event("POST", INFER, body, requestContext={"requestId": "job"}))
        monkeypatch.setattr("serving.oip.decode_request", None)
        ask(front, event("POST", INFER, body))
        written = lines()
        assert [line["status"] for line in written if "status" in line] == [200, 200, 500]
        assert not [line for line in written if "requests" in line]
        for line in written:
            directives = line.get("_aws", {}).get("CloudWatchMetrics", [])
            assert ["tenant", "model"] not in [names for each in directives for names in each["Dimensions"]]

    def test_a_payload_is_never_logged(
        self, front: LambdaFront, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "s3cret-value"
        tensor = {"name": secret, "datatype": secret, "shape": [secret], "data": [secret]}
        for body in (secret, json.dumps({"inputs": [tensor]}), json.dumps({"inputs": secret, "id": secret})):
            answer = front(event("POST", INFER, body), Context())
            assert secret not in answer["body"]
        assert secret not in capsys.readouterr().out + caplog.text


def test_a_trace_holds_nothing_that_a_client_sent(
    front: LambdaFront, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies, headers and queries of every outcome; the path is the platform's, and the tenant is known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{daemon.getsockname()[1]}")
        monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd86;Parent=53995c3f42cd8ad8;Sampled=1")
        marked = {"headers": {"authorization": "MARKED", "x-api-key": "MARKED", "x-note": "MARKED"}}
        query = {"queryStringParameters": {"note": "MARKED"}}
        sound = {**request_body, "id": "MARKED", "parameters": {"note": "MARKED"}}
        for body in (json.dumps(sound), json.dumps({"inputs": "MARKED"}), '{"MARKED', ""):
            front(event("POST", INFER, body, **marked, **query), Context())
            sent = daemon.recv(65536)
            assert b'"model":"digits"' in sent
            assert b"MARKED" not in sent
