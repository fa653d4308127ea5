"""manifest.json: what is read is what was written, and each fault is named."""

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ModelNotFound, ModelRefused
from serving.manifest import Manifest, version_prefix

BAD_NAMES = ["", "..", "../other", "a/b", ".hidden", "-a", "A", "a b", "a\n", "a\x00", "é", "a" * 65]


@pytest.fixture
def document(scale_model: Callable[..., bytes], scale_manifest: Callable[..., Manifest]) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(scale_manifest(scale_model()).encode())
    return read


def test_a_manifest_survives_writing_and_reading(
    scale_model: Callable[..., bytes], scale_manifest: Callable[..., Manifest]
) -> None:
    manifest = scale_manifest(scale_model(), metrics={"accuracy": 0.5}, baseline={"rows": 3})
    assert Manifest.parse(manifest.encode()) == manifest
    assert Manifest.parse(manifest.encode()).encode() == manifest.encode()


def test_a_version_lies_under_its_models_prefix() -> None:
    assert version_prefix("digits", "v1.2_rc-1") == "models/digits/v1.2_rc-1/"


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_could_lead_elsewhere_are_no_names(name: str, document: dict[str, Any]) -> None:
    with pytest.raises(ModelNotFound, match="must match"):
        version_prefix(name, "v1")
    with pytest.raises(ModelNotFound, match="must match"):
        version_prefix("digits", name)
    for field in ("name", "version", "file"):
        with pytest.raises(ModelRefused, match=f"manifest: {field} must be a string that matches"):
            Manifest.parse(orjson.dumps(document | {field: name}))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["sha256"], "A" * 64, "sha256 must be a string that matches"),
        (["sha256"], ..., r"the manifest must have exactly .* missing \['sha256'\]"),
        (["extra"], 1, r"the manifest must have exactly .* unknown \['extra'\]"),
        (["size"], 0, "size must be the file's size"),
        (["size"], True, "size must be the file's size"),
        (["signature"], [], "signature must be an object"),
        (["signature", "outputs"], ..., r"signature must have exactly .* missing \['outputs'\]"),
        (["signature", "inputs"], [], "signature.inputs must be an array of one tensor or more"),
        (
            ["signature", "inputs", 0, "datatype"],
            "FLOAT",
            r"signature.inputs\[0\].datatype must be one of BOOL",
        ),
        (["signature", "inputs", 0, "shape"], [0], r"signature.inputs\[0\].shape must be an array of sizes"),
        (["signature", "inputs", 0, "shape"], [-2], r"signature.inputs\[0\].shape must be an array of sizes"),
        (
            ["signature", "inputs", 0, "name"],
            "x y",
            r"signature.inputs\[0\].name must be a string that matches",
        ),
        (["golden"], [], "golden must be an array of one element or more"),
        (["golden", 0, "request"], "x", r"golden\[0\].request must be an object"),
        (["golden", 0, "outputs"], [], r"golden\[0\].outputs must be an array of one element or more"),
        (["golden", 0, "tolerance", "absolute"], "0", r"golden\[0\].tolerance.absolute must be a number"),
        (["metrics"], {"accuracy": "high"}, "metrics.accuracy must be a number"),
        (["baseline"], None, "baseline must be an object"),
    ],
)
def test_each_fault_is_refused_with_its_field(
    document: dict[str, Any], path: list[str | int], value: object, reason: str
) -> None:
    changed = copy.deepcopy(document)
    holder: Any = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    with pytest.raises(ModelRefused, match=reason):
        Manifest.parse(orjson.dumps(changed))


def test_two_tensors_of_one_name_are_refused(document: dict[str, Any]) -> None:
    document["signature"]["inputs"] *= 2
    with pytest.raises(ModelRefused, match=r"signature\.inputs names a tensor twice"):
        Manifest.parse(orjson.dumps(document))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(ModelRefused):
        Manifest.parse(data)
