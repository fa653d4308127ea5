"""The container image, as far as it can be proved without Docker: its file, its context, what it starts."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uv

from serving import package

DOCKERFILE = Path(package.__file__).with_name("Dockerfile")


def test_the_linter_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_runs_as_nobody_says_how_it_is_and_has_a_fixed_base() -> None:
    text = DOCKERFILE.read_text()
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\.\d+-\S+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    final = text[text.rindex("FROM ") :]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "--chown" not in text  # what runs must not be able to change what is run


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked build context."""
    folder = tmp_path_factory.mktemp("image")
    built = package.build_context(folder / "context.zip")
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(folder / "context")
    return folder / "context"


def test_the_context_has_all_that_is_copied_and_nothing_else(context: Path) -> None:
    text = DOCKERFILE.read_text()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    assert {path.name for path in context.iterdir()} == {"Dockerfile", *" ".join(copied).split()}
    modules = {path.stem for path in (context / "serving").iterdir()}
    assert {"http_app", "router_app", "live", "text", "openai"} <= modules
    assert not modules & {"package", "archive", "delivery", "lambda_app", "authorizer", "recipes"}
    for module in re.findall(r'"serving\.(\w+)"', text):
        assert module in modules


@pytest.fixture(scope="module")
def packages(context: Path) -> Path:
    """The image's locked packages, for this machine's Python."""
    folder = context.parent / "packages"
    command = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
    ]
    command += [":all:", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*command, "-r", str(context / "requirements-image.lock")], check=True)
    return folder


@contextmanager
def started(context: Path, packages: Path, module: str, log: Path, **environment: str) -> Iterator[str]:
    """A module of the image as its container runs it: its own code and packages, and no others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{context}:{packages}", "PORT": port}
    command = [sys.executable, "-S", "-m", module]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=variables | environment, stdout=output, stderr=output
        )
    try:
        while not _ready(port):  # pytest's own timeout ends it
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        alive = [sys.executable, "-S", "-m", "serving.live"]
        subprocess.run(alive, cwd=log.parent, env=variables, check=True)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
    gone = subprocess.run(alive, cwd=log.parent, env=variables, check=False, capture_output=True, text=True)
    assert (gone.returncode, "Traceback" in gone.stderr) == (1, False)


def _ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.integration
def test_the_model_server_and_the_router_run_from_it(
    context: Path, packages: Path, minilm: Path, tmp_path: Path
) -> None:
    with started(context, packages, "serving.http_app", tmp_path / "server", MODEL_DIR=str(minilm)) as url:
        answer = httpx.post(f"{url}/v1/embeddings", json={"model": "minilm", "input": "a text"}, timeout=30)
        assert len(answer.json()["data"][0]["embedding"]) == 384
        models = (
            f'{{"minilm": {{"engine": "onnx", "url": "{url}", "queue_url": "http://q", "openai": true}}}}'
        )
        variables = {"ROUTER_MODELS": models, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        with started(context, packages, "serving.router_app", tmp_path / "router", **variables) as front:
            body = {"model": "minilm", "input": "a text"}
            routed = httpx.post(f"{front}/v1/embeddings", json=body, timeout=30)
            assert routed.json() == answer.json()
            assert httpx.get(f"{front}/v1/models").json()["data"][0]["id"] == "minilm"
