"""What SageMaker's monitor is given: rows of captured requests, and the constraints that they must hold."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving import drift, drift_sagemaker, monitor_record
from serving.manifest import FILE_NAME, Manifest
from serving.monitor_constraints import constraints
from serving.oip import InferResponse, encode_response, request_from
from serving.runtime import Model

TENSOR = {"name": "image", "datatype": "FP32", "shape": [2, 64], "data": [*range(64), *[16] * 64]}


@pytest.fixture(scope="module")
def model(digits: Path) -> Model:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    return Model(manifest, (digits / manifest.file).read_bytes())


def captured(model: Model, document: dict[str, Any]) -> dict[str, Any]:
    """A line as an endpoint writes it, of a request and what the model answers."""
    request = request_from(document, model.manifest.signature)
    answer: InferResponse = model.infer(request)
    body, _ = encode_response(answer, model.manifest.signature)

    def side(mode: str, data: str) -> dict[str, str]:
        return {"observedContentType": "application/json", "mode": mode, "data": data, "encoding": "JSON"}

    return {
        "captureData": {
            "endpointInput": side("INPUT", json.dumps(document)),
            "endpointOutput": side("OUTPUT", body.decode()),
        },
        "eventMetadata": {"eventId": "1", "inferenceTime": "2026-01-01T00:00:00Z"},
        "eventVersion": "0",
    }


def rows(line: dict[str, Any]) -> list[dict[str, float]]:
    kept = line["captureData"]["endpointInput"]
    record = SimpleNamespace(endpoint_input=SimpleNamespace(encoding=kept["encoding"], data=kept["data"]))
    return monitor_record.preprocess_handler(record)


def test_every_row_of_a_request_has_every_feature_of_the_constraints_and_no_other(model: Model) -> None:
    features = constraints(model.manifest)["features"]
    found = rows(captured(model, {"inputs": [TENSOR]}))
    assert [set(row) for row in found] == [{feature["name"] for feature in features}] * 2
    assert {feature["inferred_type"] for feature in features} == {"Fractional"}
    assert found[0]["image_63"] == 63.0
    assert found[1]["image_0"] == 16.0
    assert all(isinstance(value, float) for row in found for value in row.values())


def test_what_is_no_inference_request_gives_no_row() -> None:
    assert rows({"captureData": {"endpointInput": {"encoding": "JSON", "data": "{}"}}}) == []
    assert rows({"captureData": {"endpointInput": {"encoding": "BASE64", "data": "AAAA"}}}) == []


def test_the_script_needs_nothing_but_the_standard_library_of_python_3_7() -> None:
    source = Path(monitor_record.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names == {"__future__", "json", "typing"}


def test_captured_requests_are_counted_as_the_servers_count_them(model: Model) -> None:
    other = captured(model, {"inputs": [TENSOR]})
    answer = json.loads(other["captureData"]["endpointOutput"]["data"]) | {"model_version": "v0"}
    other["captureData"]["endpointOutput"]["data"] = json.dumps(answer)
    metadata = {
        "captureData": {
            side: {"encoding": "JSON", "data": "{}"} for side in ("endpointInput", "endpointOutput")
        }
    }
    lines = [captured(model, {"inputs": [TENSOR]}) for _ in range(150)]
    records = list(drift_sagemaker.counted([*lines, other, metadata], model.manifest))
    assert [record["rows"] for record in records] == [300]
    found = drift.compare("digits", "v1", model.manifest.baseline, records)
    assert (found.rows, found.missing) == (300, "")
    assert found.psi is not None
    assert found.psi > 0.2  # no digit looks like that
    assert list(drift_sagemaker.counted([metadata], model.manifest)) == []
