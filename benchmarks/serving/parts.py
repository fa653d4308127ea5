"""What a prediction and a cold start are made of, without a server around them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from serving.lambda_front import LambdaFront
from serving.manifest import FILE_NAME, Manifest
from serving.oip import InferRequest, request_from
from serving.recipes.minilm import TRIPLETS
from serving.runtime import Model
from serving.served import ServedModel

TOKENS = (8, 64, 256)


def load(folder: Path) -> Model:
    manifest = Manifest.parse((folder / FILE_NAME).read_bytes())
    return Model(manifest, (folder / manifest.file).read_bytes())


def milliseconds(call: Callable[[], object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def plain_loop(digits: Path) -> Callable[[], object]:
    """ONNX Runtime alone: what no server can be faster than."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(digits / "model.onnx", options, providers=["CPUExecutionProvider"])
    image = np.zeros((1, 64), np.float32)
    return lambda: session.run(["label", "probabilities"], {"image": image})


def lambda_handler(digits: Path) -> Callable[[], object]:
    """The function's handler with a proxy event; its log lines go nowhere."""
    model = load(digits)
    front = LambdaFront(ServedModel("digits", model.manifest.version, lambda: model))
    event = {
        "httpMethod": "POST",
        "resource": "/v2/models/digits/infer",
        "headers": {"Content-Type": "application/json"},
        "requestContext": {"requestId": "bench", "authorizer": {"tenant": "acme"}},
        "body": json.dumps(model.manifest.golden[0].request),
    }

    class Context:
        aws_request_id = "bench"

    return lambda: front(event, Context())


def texts_of(model: Model, tokens: int) -> Any:
    """A text of exactly so many tokens, the two special ones included."""
    words = " ".join(text for triplet in TRIPLETS for text in triplet).split() * 4
    low, high = 0, len(words)
    while low < high:  # the number of words whose tokens are just below the wanted
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(model, " ".join(words[:middle])) <= tokens else (low, middle - 1)
    text = " ".join(words[:low])
    return text + " a" * (tokens - count(model, text))


def count(model: Model, text: str) -> int:
    return int(embed(model, text).tokens)


def embed(model: Model, text: str) -> Any:
    request: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}
    checked: InferRequest = request_from({"inputs": [request]}, model.manifest.signature)
    return model.infer(checked)


_IMPORTS = """
import sys, time
started = time.perf_counter()
{statement}
print((time.perf_counter() - started) * 1e3)
"""
# Everything that the function imports, and then nothing.
OURS = "import serving.lambda_front, serving.store, serving.runtime"
POWERTOOLS = (
    "from aws_lambda_powertools import Logger, Metrics, Tracer; Logger(service='s'); Metrics(); Tracer()"
)


def import_ms(root: Path, statement: str, rounds: int) -> float:
    """Median of fresh interpreters, bytecode compiled before."""
    taken = []
    for number in range(rounds + 1):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTS.format(statement=statement)],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        if number:
            taken.append(float(done.stdout.split()[-1]))
    return float(np.median(taken))


def cold_start(root: Path, environment: dict[str, str], rounds: int) -> dict[str, float]:
    """Medians in milliseconds: what the function itself logs of its init phase, and all of it."""
    code = (
        "import time; started = time.perf_counter(); import serving.lambda_app\n"
        "print('{\"init_ms\": %f}' % ((time.perf_counter() - started) * 1e3))"
    )
    parts: dict[str, list[float]] = {}
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            for key, value in json.loads(line).items():
                if key.endswith("_ms"):
                    parts.setdefault(key, []).append(value)
    return {key: float(np.median(values)) for key, values in parts.items()}
