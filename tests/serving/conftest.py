"""An embedded AWS of its own, and real small models, for the tests of what runs on the platform."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import onnx
import pytest
from botocore.config import Config
from onnx import TensorProto, helper

from serving import package
from serving.manifest import FILE_NAME, Golden, Manifest
from serving.oip import Signature
from serving.recipes import digits as digits_recipe
from serving.recipes import minilm as minilm_recipe
from serving.tensors import TensorSpec
from tests.serving.http_server import Server, Start

REGION = "us-east-1"
# The embedded AWS accepts these root credentials when none were configured for it.
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


class Aws:
    """The embedded AWS: where it listens and clients for it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
            **CREDENTIALS,
        )


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A private instance on a free port of the loopback interface, ended by its process id."""
    home = tmp_path_factory.mktemp("aws")
    for name in ("tmp", "state", "s3"):
        (home / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(home / "tmp"),
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
        # One BLAS thread a function: several workers share the machine with the tests.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, cwd=home, stdout=log, stderr=log
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_healthy(endpoint, process, home / "log")
        yield Aws(endpoint)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_healthy(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the embedded AWS did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def bucket(aws: Aws, request: pytest.FixtureRequest) -> str:
    """An empty models bucket."""
    name = f"models-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real digits model, version v1, with its manifest."""
    folder = tmp_path_factory.mktemp("digits")
    digits_recipe.build(folder)
    return folder


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real sentence encoder, version v1, with its manifest."""
    folder = tmp_path_factory.mktemp("minilm")
    minilm_recipe.build(folder)
    return folder


def scale_model(factor: float = 2.0) -> bytes:
    """ONNX that multiplies `x`, FP32 [-1, 2], into `y`: small, and its right answer is known."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])],
    )
    return serialize(graph)


def serialize(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def scale_manifest(data: bytes, version: str = "v1", expected: float = 2.0, **changes: Any) -> Manifest:
    """A manifest for `scale_model`, whose golden request expects `expected` times the input."""
    fields: dict[str, Any] = {
        "name": "scale",
        "version": version,
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "signature": Signature.of([TensorSpec("x", "FP32", (-1, 2))], [TensorSpec("y", "FP32", (-1, 2))]),
        "golden": (
            Golden(
                name="one",
                request={"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 3.0]}]},
                outputs=(
                    {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [expected, 3 * expected]},
                ),
                absolute=1e-6,
                relative=1e-6,
            ),
        ),
        "metrics": {},
        "baseline": {},
    }
    return Manifest(**(fields | changes))


@pytest.fixture(scope="session", name="scale_model")
def _scale_model() -> Callable[..., bytes]:
    return scale_model


@pytest.fixture(scope="session", name="scale_manifest")
def _scale_manifest() -> Callable[..., Manifest]:
    return scale_manifest


@pytest.fixture
def scale_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with a version of the scale model; `expected` lies when it differs from `factor`."""

    def make(version: str, factor: float = 2.0, expected: float | None = None) -> Path:
        folder = tmp_path / f"scale-{version}-{factor}"
        folder.mkdir()
        data = scale_model(factor)
        manifest = scale_manifest(data, version, factor if expected is None else expected)
        (folder / manifest.file).write_bytes(data)
        (folder / FILE_NAME).write_bytes(manifest.encode())
        return folder

    return make


@pytest.fixture(scope="session")
def local_zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The functions' zips for the embedded AWS, by function."""
    built = package.build(tmp_path_factory.mktemp("zips"), "local")
    return {item.path.stem: item.path.read_bytes() for item in built}


@pytest.fixture(scope="session", name="make_role")
def _make_role() -> Callable[..., str]:
    return make_role


@pytest.fixture
def model_function(aws: Aws, bucket: str, local_zips: dict[str, bytes], tmp_path: Path) -> Callable[..., str]:
    """Makes a function that serves a version of a model, with a role that can read that model only."""

    def make(model: str, version: str) -> str:
        function = f"{model}-{bucket.rsplit('-', 1)[-1]}"
        role = make_role(
            aws, function, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/models/{model}/*"}
        )
        client = aws.client("lambda")
        client.create_function(
            FunctionName=function,
            Runtime="python3.13",
            Handler="serving.lambda_app.handler",
            Role=role,
            Code={"ZipFile": local_zips["model-server"]},
            Timeout=20,
            MemorySize=1024,
            Environment={
                "Variables": {
                    "MODEL_NAME": model,
                    "MODEL_VERSION": version,
                    "MODEL_BUCKET": bucket,
                    "MODEL_CACHE_DIR": str(tmp_path / "models"),
                }
            },
        )
        client.get_waiter("function_active_v2").wait(FunctionName=function)
        published = client.publish_version(FunctionName=function)["Version"]
        client.create_alias(FunctionName=function, Name="live", FunctionVersion=published)
        return function

    return make


def make_role(aws: Aws, name: str, statement: dict[str, str]) -> str:
    """A role for a function, allowed what `statement` says."""
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="allowed",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}),
    )
    return str(role)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts model servers with an environment, and ends them."""
    started: list[Server] = []

    def make(**environment: str) -> Server:
        started.append(Server(tmp_path / f"log-{len(started)}", **environment))
        return started[-1]

    yield make
    for server in started:
        server.end()
