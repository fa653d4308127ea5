"""What the Open Inference Protocol (v2, REST) asks of a server, as checks that any front can be put through.

Written from https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
for a front that serves `digits`, whose input is `image` FP32 [-1, 64].
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DATATYPES = {"BOOL", "BYTES", "FP16", "FP32", "FP64"} | {
    f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
MODEL = "/v2/models/digits"
ROWS = [[float((row + column) % 17) for column in range(64)] for row in range(3)]
FLAT = [value for row in ROWS for value in row]
JSON_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Answer:
    """`headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Front:
    """`ask` sends a method, a path, a body and headers. What a front leaves to another is `without`."""

    ask: Callable[[str, str, bytes, Mapping[str, str]], Answer]
    without: frozenset[str] = field(default_factory=frozenset)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path, b"", {})

    def infer(self, document: Any, path: str = f"{MODEL}/infer") -> Answer:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", path, body, {"content-type": "application/json"})


def image(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [3, 64], "data": FLAT}
    return given | changes


def server_health(front: Front) -> None:
    """Both health routes answer 200 while the server runs."""
    for state in ("live", "ready"):
        assert front.get(f"/v2/health/{state}").status == 200


def server_metadata(front: Front) -> None:
    """name, version: string; extensions: array of the names of extensions."""
    answer = front.get("/v2")
    assert answer.status == 200
    document = answer.json()
    assert all(isinstance(document[key], str) for key in ("name", "version"))
    assert all(isinstance(name, str) for name in document["extensions"])


def model_ready(front: Front) -> None:
    assert front.get(f"{MODEL}/ready").status == 200


def model_metadata(front: Front) -> None:
    """name, versions, platform, inputs and outputs, whose variable sizes are -1."""
    answer = front.get(MODEL)
    assert answer.status == 200
    document = answer.json()
    assert document["name"] == "digits"
    assert isinstance(document["platform"], str)
    assert all(isinstance(version, str) for version in document["versions"])
    for tensor in document["inputs"] + document["outputs"]:
        assert tensor.keys() == {"name", "datatype", "shape"}
        assert tensor["datatype"] in DATATYPES
        assert all(isinstance(size, int) and (size > 0 or size == -1) for size in tensor["shape"])
    assert [tensor["name"] for tensor in document["inputs"]] == ["image"]


def versions(front: Front) -> None:
    """Every route of a model may name its version."""
    [version] = front.get(MODEL).json()["versions"]
    for path in (f"{MODEL}/versions/{version}", f"{MODEL}/versions/{version}/ready"):
        assert front.get(path).status == 200
    assert front.infer({"inputs": [image()]}, f"{MODEL}/versions/{version}/infer").status == 200
    assert 400 <= front.get(f"{MODEL}/versions/none").status < 500


def inference(front: Front) -> None:
    """The response's object, and one output tensor for each of the model's."""
    answer = front.infer({"id": "the client's", "inputs": [image()]})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["model_name"] == "digits"
    assert isinstance(document["model_version"], str)
    assert document["id"] == "the client's"
    assert len(document["outputs"]) == 2
    for tensor in document["outputs"]:
        assert tensor["datatype"] in DATATYPES
        assert tensor["shape"][0] == 3
        assert len(np.ravel(tensor["data"])) == math.prod(tensor["shape"])


def identifier(front: Front) -> None:
    """A request's id comes back, and none where none was given."""
    assert "id" not in front.infer({"inputs": [image()]}).json()
    assert front.infer({"id": "", "inputs": [image()]}).json()["id"] == ""


def data_flat_or_nested(front: Front) -> None:
    """Data is in row-major order, flat or nested; a row has the same answer alone and in a batch."""
    flat = front.infer({"inputs": [image()]}).json()["outputs"]
    assert front.infer({"inputs": [image(data=ROWS)]}).json()["outputs"] == flat
    one = front.infer({"inputs": [image(shape=[1, 64], data=ROWS[1])]}).json()["outputs"]
    for alone, batch in zip(one, flat, strict=True):
        row = np.reshape(batch["data"], batch["shape"])[1]
        np.testing.assert_allclose(np.ravel(alone["data"]), np.ravel(row), rtol=1e-5, atol=1e-7)


def requested_outputs(front: Front) -> None:
    """Only the outputs that are asked for are given."""
    for names in (["label"], ["probabilities", "label"]):
        asked = {"inputs": [image()], "outputs": [{"name": name} for name in names]}
        assert [tensor["name"] for tensor in front.infer(asked).json()["outputs"]] == names


def parameters(front: Front) -> None:
    """Parameters are optional, and those that a server does not know are no error here."""
    asked = {"inputs": [image(parameters={"unknown": 1})], "parameters": {"priority": 2}}
    assert front.infer(asked).status == 200


def errors(front: Front) -> None:
    """What cannot be served has an HTTP error status and a JSON object whose `error` is a string."""
    wrong: tuple[Any, ...] = (
        b"not JSON",
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [image(name="other")]},
        {"inputs": [image(shape=[64])]},
        {"inputs": [image(shape=[-3, 64])]},
        {"inputs": [image(datatype="FP64")]},
        {"inputs": [image(datatype="TEXT")]},
        {"inputs": [image(data=ROWS[0])]},
        {"inputs": [image(data=[*ROWS[:2], [0.0]])]},
        {"inputs": [image(), image()]},
        {"inputs": [image()], "outputs": [{"name": "other"}]},
    )
    for document in wrong:
        answer = front.infer(document)
        assert answer.status == 400, document
        assert isinstance(answer.json()["error"], str)
    unknown = front.get("/v2/models/unknown")
    assert (unknown.status, type(unknown.json()["error"])) == (404, str)


def binary_data(front: Front) -> None:
    """The binary tensor data extension: little-endian, row-major, after the JSON that a header measures."""
    assert "binary_tensor_data" in front.get("/v2").json()["extensions"]
    exchange_binary(front)


def exchange_binary(front: Front) -> None:
    expected = front.infer({"inputs": [image()]}).json()["outputs"]
    data = np.array(ROWS, "<f4").tobytes()
    tensor = image(parameters={"binary_data_size": len(data)})
    del tensor["data"]
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {JSON_LENGTH: str(len(head)), "content-type": "application/octet-stream"}
    answer = front.ask("POST", f"{MODEL}/infer", head + data, headers)
    assert answer.status == 200
    length = int(answer.headers[JSON_LENGTH])
    at = length
    for tensor, known in zip(json.loads(answer.body[:length])["outputs"], expected, strict=True):
        size = tensor["parameters"]["binary_data_size"]
        values = np.frombuffer(
            answer.body[at : at + size], {"INT64": "<i8", "FP32": "<f4"}[tensor["datatype"]]
        )
        np.testing.assert_allclose(values, known["data"], rtol=1e-6)
        at += size
    assert at == len(answer.body)


CHECKS = (
    server_health,
    server_metadata,
    model_ready,
    model_metadata,
    versions,
    inference,
    identifier,
    data_flat_or_nested,
    requested_outputs,
    parameters,
    errors,
    binary_data,
)
