"""The zips for AWS, run as Lambda runs them: a bare interpreter, the runtime client, and nothing but the zip.

The interpreter sees the standard library, the unpacked zip, and what Lambda's Python runtime brings (the
runtime client and botocore); a dependency that the zip misses is then missing, whatever this environment has.
"""

import json
import os
import platform
import queue
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from serving import package, publication
from serving.manifest import Manifest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="the zips hold libraries for Linux"),
]

HOST_TARGET = {"x86_64": "aws-x86_64", "aarch64": "aws-arm64"}.get(platform.machine(), "aws-x86_64")
HOST_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# What Lambda's Python runtime has on its own path.
LAMBDAS_OWN = (
    "awslambdaric",
    "simplejson",
    "snapshot-restore-py",
    "boto3",
    "botocore",
    "jmespath",
    "s3transfer",
    "python-dateutil",
    "six",
    "urllib3",
)


class RuntimeApi:
    """Lambda's Runtime API, as much as one execution environment uses of it.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
    """

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request_id, event = api._events.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", "4102444800000")
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:0:function:f"
                )
                self.send_header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api._answers.put((self.path.rsplit("/", 1)[-1], json.loads(body)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def invoke(self, event: object) -> tuple[str, Any]:
        """Hand an event to the function: ("response" | "error", what it answered)."""
        self._events.put(("request-id", json.dumps(event).encode()))
        return self._answers.get(timeout=60)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The zips for this machine and this Python, unpacked."""
    folder = tmp_path_factory.mktemp("aws-zips")
    unpacked = {}
    for built in package.build(folder, HOST_TARGET, HOST_PYTHON):
        unpacked[built.path.stem] = folder / built.path.stem
        with zipfile.ZipFile(built.path) as archive:
            archive.extractall(folder / built.path.stem)
    return unpacked


@pytest.fixture(scope="module")
def lambdas_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links to the distributions that Lambda itself brings, and to no other."""
    folder = tmp_path_factory.mktemp("lambdas-own")
    for name in LAMBDAS_OWN:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if not top.startswith(("..", "__pycache__")) and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


@pytest.fixture
def runtime() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


def start(
    root: Path, own: Path, handler: str, api: RuntimeApi, log: Path, **environment: str
) -> subprocess.Popen[bytes]:
    """The function's process: isolated (-I), without site-packages (-S)."""
    bootstrap = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {str(own)!r}]\n"
        f"from awslambdaric.__main__ import main; main(['bootstrap', {handler!r}])"
    )
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", bootstrap],
            cwd=root,
            env={
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "function",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "PATH": os.environ["PATH"],
                **environment,
            },
            stdout=output,
            stderr=output,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_the_model_server_answers_out_of_its_zip_alone(
    aws: Any,
    bucket: str,
    digits: Path,
    zips: dict[str, Path],
    lambdas_own: Path,
    runtime: RuntimeApi,
    tmp_path: Path,
) -> None:
    manifest, _ = publication.publish(aws.client("s3"), bucket, digits)
    process = start(
        zips["model-server"],
        lambdas_own,
        "serving.lambda_app.handler",
        runtime,
        tmp_path / "log",
        AWS_ENDPOINT_URL=aws.endpoint,
        MODEL_NAME="digits",
        MODEL_VERSION="v1",
        MODEL_BUCKET=bucket,
        MODEL_CACHE_DIR=str(tmp_path / "models"),
    )
    try:
        kind, report = runtime.invoke({"golden": True})
        assert report.pop("slowest_ms") > 0
        expected = {"model": "digits", "version": "v1", "digest": manifest.sha256, "passed": 6, "failed": []}
        assert (kind, report) == ("response", expected)
        event = {
            "resource": "/v2/models/digits/infer",
            "httpMethod": "POST",
            "requestContext": {"requestId": "id", "authorizer": {"tenant": "acme"}},
            "body": json.dumps(manifest.golden[0].request),
        }
        kind, answer = runtime.invoke(event)
        assert (kind, answer["statusCode"]) == ("response", 200)
        assert json.loads(answer["body"])["outputs"][0]["data"] == [0]
        assert runtime.invoke(event | {"body": "{"})[1]["statusCode"] == 400
        assert runtime.invoke({})[1]["statusCode"] == 404
    finally:
        end(process)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    loaded = next(line for line in lines if line["message"] == "loaded digits v1")
    assert {"client_ms", "fetch_ms", "session_ms"} <= loaded.keys()
    assert [(line["tenant"], line["status"]) for line in lines if line["message"] == "request"] == [
        ("acme", 200),
        ("acme", 400),
        (None, 404),
    ]
    assert [path.name for path in (tmp_path / "models").glob("*/*")] == [manifest.sha256]


def test_a_model_that_is_away_at_init_is_tried_again_and_the_process_lives(
    aws: Any,
    bucket: str,
    digits: Path,
    zips: dict[str, Path],
    lambdas_own: Path,
    runtime: RuntimeApi,
    tmp_path: Path,
) -> None:
    process = start(
        zips["model-server"],
        lambdas_own,
        "serving.lambda_app.handler",
        runtime,
        tmp_path / "log",
        AWS_ENDPOINT_URL=aws.endpoint,
        MODEL_NAME="digits",
        MODEL_VERSION="v1",
        MODEL_BUCKET=bucket,
        MODEL_CACHE_DIR=str(tmp_path / "models"),
    )
    ready = {"resource": "/v2/models/digits/ready", "httpMethod": "GET"}
    try:
        answer = runtime.invoke(ready)[1]
        assert answer["statusCode"] == 503
        assert json.loads(answer["body"]) == {"error": "the manifest of digits v1 is not in the store"}
        publication.publish(aws.client("s3"), bucket, digits)
        assert runtime.invoke(ready)[1]["statusCode"] == 200
        assert process.poll() is None
    finally:
        end(process)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_function_without_its_environment_says_what_is_missing(
    zips: dict[str, Path], lambdas_own: Path, runtime: RuntimeApi, tmp_path: Path
) -> None:
    process = start(
        zips["model-server"],
        lambdas_own,
        "serving.lambda_app.handler",
        runtime,
        tmp_path / "log",
        MODEL_NAME="m",
    )
    try:
        answer = runtime.invoke({"golden": True})[1]
    finally:
        end(process)
    assert answer["failed"][0]["reason"] == "the function's environment misses MODEL_VERSION, MODEL_BUCKET"


def test_the_authorizer_runs_out_of_its_zip_alone(
    zips: dict[str, Path], lambdas_own: Path, runtime: RuntimeApi, tmp_path: Path
) -> None:
    process = start(
        zips["authorizer"],
        lambdas_own,
        "serving.authorizer.handler",
        runtime,
        tmp_path / "log",
        USER_POOL_ID="us-east-1_abcdefghi",
        ISSUER="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi",
        JWKS_URL="https://127.0.0.1:9/jwks.json",
        TENANT_PARAMETER_PREFIX="/tenants",
        SCOPE_ROUTES='{"api/infer": ["POST/v2/models/*/infer"]}',
        API_KEY_SOURCE="authorizer",
    )
    try:
        kind, answer = runtime.invoke({"headers": {}, "methodArn": "arn:aws:execute-api:r:a:api/s/GET/"})
    finally:
        end(process)
    assert kind == "error"
    assert (answer["errorMessage"], answer["errorType"]) == ("Unauthorized", "Unauthorized")


def test_the_zip_misses_nothing_that_only_this_environment_has(
    zips: dict[str, Path], lambdas_own: Path, digits: Path, tmp_path: Path
) -> None:
    """The isolation itself: pydantic is installed here and must not be importable there."""
    code = (
        f"import sys; sys.path[:0] = [{str(zips['model-server'])!r}, {str(lambdas_own)!r}]\n"
        "import serving.lambda_front, importlib.util as u\n"
        "print([n for n in ('pydantic', 'pulumi', 'sklearn', 'jwt') if u.find_spec(n)])\n"
        "import numpy, onnxruntime; print(numpy.__file__.startswith(sys.path[0]), "
        "onnxruntime.__file__.startswith(sys.path[0]))"
    )
    output = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.splitlines() == ["[]", "True True"]
    assert Manifest.parse((digits / "manifest.json").read_bytes()).name == "digits"
