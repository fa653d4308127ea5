"""The manifest of a model version: what the file is, what it takes and gives, and how to try it.

Layout in the models bucket, written by `delivery.publish` in this order:

    models/<name>/<version>/<file>            the model, such as model.onnx
    models/<name>/<version>/model.tar.gz      both files, for serverless endpoints of SageMaker
    models/<name>/<version>/manifest.json     this document: a version exists once it does

Fields of manifest.json:
    name, version   as in the path
    file            name of the model's file beside the manifest
    sha256, size    of the file: hex digest, bytes
    signature       {"inputs": [...], "outputs": [...]}: tensors {"name", "datatype", "shape"}; -1: any size
    golden          requests whose outputs are known: {"name", "request", "outputs", "tolerance"}; request
                    and outputs as in the Open Inference Protocol, tolerance {"absolute", "relative"}
    metrics         figures measured on held-out data, by name
    baseline        statistics of the training data, to see drift against

It is read with the standard library and orjson alone: a validation library would cost every cold start more
than the download of the manifest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from serving.errors import ModelNotFound, ModelRefused
from serving.oip import Signature
from serving.tensors import DATATYPES, TensorSpec

FILE_NAME = "manifest.json"
# A name is a part of an S3 key, of a cache path and of a URL: nothing in it may lead elsewhere.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TENSOR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")


@dataclass(frozen=True, slots=True)
class Golden:
    """A request whose outputs are known. `absolute` and `relative`: how far a number may be off them."""

    name: str
    request: Mapping[str, Any]
    outputs: tuple[Mapping[str, Any], ...]
    absolute: float
    relative: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of a model, as its manifest.json states it (fields: see the module)."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    signature: Signature
    golden: tuple[Golden, ...]
    metrics: Mapping[str, float]
    baseline: Mapping[str, Any]

    @property
    def prefix(self) -> str:
        """Where the version lies in the models bucket."""
        return version_prefix(self.name, self.version)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest. Raises ModelRefused with the field at fault."""
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ModelRefused(f"the manifest is not JSON: {error}") from None
        document = _object(document, "the manifest")
        _only(document, "the manifest", set(cls.__dataclass_fields__))
        signature = _object(document["signature"], "signature")
        _only(signature, "signature", {"inputs", "outputs"})
        return cls(
            name=_match(document["name"], "name", _NAME),
            version=_match(document["version"], "version", _NAME),
            file=_match(document["file"], "file", _NAME),
            sha256=_match(document["sha256"], "sha256", _SHA256),
            size=_size(document["size"]),
            signature=Signature.of(
                _tensors(signature["inputs"], "signature.inputs"),
                _tensors(signature["outputs"], "signature.outputs"),
            ),
            golden=tuple(_golden(item, f"golden[{i}]") for i, item in enumerate(_array(document, "golden"))),
            metrics={
                name: _number(value, f"metrics.{name}")
                for name, value in _object(document["metrics"], "metrics").items()
            },
            baseline=_object(document["baseline"], "baseline"),
        )

    def encode(self) -> bytes:
        """The manifest's bytes; the same manifest always gives the same bytes."""
        document = {
            "name": self.name,
            "version": self.version,
            "file": self.file,
            "sha256": self.sha256,
            "size": self.size,
            "signature": {
                "inputs": [spec.document() for spec in self.signature.inputs.values()],
                "outputs": [spec.document() for spec in self.signature.outputs.values()],
            },
            "golden": [
                {
                    "name": golden.name,
                    "request": golden.request,
                    "outputs": golden.outputs,
                    "tolerance": {"absolute": golden.absolute, "relative": golden.relative},
                }
                for golden in self.golden
            ],
            "metrics": self.metrics,
            "baseline": self.baseline,
        }
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def version_prefix(name: str, version: str) -> str:
    """Key prefix of a model's version. Raises ModelNotFound for a name that no model can have."""
    for what, text in (("name", name), ("version", version)):
        if not _NAME.fullmatch(text):
            raise ModelNotFound(f"no model has this {what}: it must match {_NAME.pattern}")
    return f"models/{name}/{version}/"


def _golden(item: object, where: str) -> Golden:
    item = _object(item, where)
    _only(item, where, {"name", "request", "outputs", "tolerance"})
    tolerance = _object(item["tolerance"], f"{where}.tolerance")
    _only(tolerance, f"{where}.tolerance", {"absolute", "relative"})
    outputs = tuple(_object(o, f"{where}.outputs[{i}]") for i, o in enumerate(_array(item, "outputs", where)))
    return Golden(
        name=_match(item["name"], f"{where}.name", _NAME),
        request=_object(item["request"], f"{where}.request"),
        outputs=outputs,
        absolute=_number(tolerance["absolute"], f"{where}.tolerance.absolute"),
        relative=_number(tolerance["relative"], f"{where}.tolerance.relative"),
    )


def _tensors(items: object, where: str) -> list[TensorSpec]:
    if not isinstance(items, list) or not items:
        raise _refuse(where, "must be an array of one tensor or more")
    specs = [_tensor(_object(item, f"{where}[{i}]"), f"{where}[{i}]") for i, item in enumerate(items)]
    if len({spec.name for spec in specs}) != len(specs):
        raise _refuse(where, "names a tensor twice")
    return specs


def _tensor(item: dict[str, Any], where: str) -> TensorSpec:
    _only(item, where, {"name", "datatype", "shape"})
    if not isinstance(item["datatype"], str) or item["datatype"] not in DATATYPES:
        raise _refuse(f"{where}.datatype", f"must be one of {', '.join(DATATYPES)}")
    shape = item["shape"]
    if not isinstance(shape, list) or any(
        type(size) is not int or (size < 1 and size != -1) for size in shape
    ):
        raise _refuse(f"{where}.shape", "must be an array of sizes of 1 or more, -1 for any")
    return TensorSpec(_match(item["name"], f"{where}.name", _TENSOR_NAME), item["datatype"], tuple(shape))


def _only(document: dict[str, Any], where: str, keys: set[str]) -> None:
    if document.keys() != keys:
        missing, unknown = sorted(keys - document.keys()), sorted(document.keys() - keys)
        raise _refuse(where, f"must have exactly {sorted(keys)}; missing {missing}, unknown {unknown}")


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse(where, "must be an object")
    return value


def _array(document: dict[str, Any], key: str, where: str = "") -> list[Any]:
    if not isinstance(document[key], list) or not document[key]:
        raise _refuse(f"{where}.{key}".lstrip("."), "must be an array of one element or more")
    return list(document[key])


def _match(value: object, where: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _refuse(where, f"must be a string that matches {pattern.pattern}")
    return value


def _size(value: object) -> int:
    if type(value) is not int or value < 1:
        raise _refuse("size", "must be the file's size in bytes")
    return value


def _number(value: object, where: str) -> float:
    if type(value) not in (int, float):
        raise _refuse(where, "must be a number")
    return float(value)  # type: ignore[arg-type]


def _refuse(where: str, reason: str) -> ModelRefused:
    return ModelRefused(f"manifest: {where} {reason}" if where != "the manifest" else f"{where} {reason}")
