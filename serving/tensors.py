"""Tensors of the Open Inference Protocol: datatypes, declared shapes, and data checked into numpy arrays.

Protocol: https://github.com/open-inference/open-inference-protocol (Tensor data types, Tensor data).
A checked array is safe to hand to a model: its datatype and shape are the declared ones and no value was
changed on the way, so that a number that does not fit is refused and never wrapped around.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import InferenceFailed, RequestError

Array = np.ndarray[Any, np.dtype[Any]]

# Datatype -> little-endian numpy dtype. BYTES are opaque byte strings, held as Python `bytes`.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}

# What a JSON value of each numpy kind must be. A bool is an int to Python and none to JSON: exact types.
_JSON_TYPES: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "true or false"),
    "u": (frozenset({int}), "integers"),
    "i": (frozenset({int}), "integers"),
    "f": (frozenset({int, float}), "numbers"),
    "O": (frozenset({str}), "strings"),
}
_JSON_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction or beyond 64 bits",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A declared tensor: `shape` has one size per dimension, -1 where any size of 1 or more is taken."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """The tensor as the protocol's model metadata states it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def check_shape(self, shape: object) -> tuple[int, ...]:
        """The shape that a client sent, once it is known to fit the declared one."""
        if not isinstance(shape, list) or any(type(size) is not int for size in shape):
            raise self.refuse(f"shape must be an array of integers that fits {list(self.shape)}")
        fits = len(shape) == len(self.shape) and all(
            size >= 1 and declared in (-1, size) for size, declared in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise self.refuse(f"shape {_short(shape)} does not fit {list(self.shape)} (-1: any size from 1)")
        return tuple(shape)

    def refuse(self, reason: str) -> RequestError:
        """A 400 that names this input."""
        return RequestError(400, f"input '{self.name}': {reason}")


def from_json(spec: TensorSpec, shape: tuple[int, ...], data: object) -> Array:
    """Check JSON `data`, flat in row-major order or nested as `shape` says, into an array of `shape`."""
    if not isinstance(data, list):
        raise spec.refuse("data must be an array, flat or nested as the shape says")
    values = _flatten(spec, shape, data)
    dtype = DATATYPES[spec.datatype]
    allowed, expected = _JSON_TYPES[dtype.kind]
    if not allowed.issuperset(map(type, values)):
        raise spec.refuse(_wrong_type(values, allowed, f"{spec.datatype} takes {expected}"))
    # Compared before any allocation: a huge shape costs nothing.
    if len(values) != math.prod(shape):
        raise spec.refuse(f"shape {list(shape)} takes {math.prod(shape)} values, data has {len(values)}")
    if spec.datatype == "BYTES":
        values = [value.encode() for value in values]
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype)
    except OverflowError:
        raise spec.refuse(f"data has a value out of range for {spec.datatype}") from None
    # JSON has no infinity, so one here is a number too large for the datatype.
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise spec.refuse(f"data has a value out of range for {spec.datatype}")
    return array.reshape(shape)


def to_json(spec: TensorSpec, array: Array) -> dict[str, Any]:
    """The tensor as a response document for orjson (OPT_SERIALIZE_NUMPY), data flat in row-major order."""
    flat = np.ascontiguousarray(array).reshape(-1)
    data: Any = flat
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise InferenceFailed(f"output '{spec.name}' has values that are not finite, which JSON cannot carry")
    if flat.dtype.kind == "O":
        try:
            data = text(flat).tolist()
        except RequestError:
            raise InferenceFailed(f"output '{spec.name}' has bytes that are not UTF-8 text") from None
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": data}


def text(array: Array) -> Array:
    """BYTES as the Python strings that models take. Raises RequestError for bytes that are not UTF-8."""
    try:
        flat = [value if isinstance(value, str) else value.decode() for value in array.reshape(-1)]
    except UnicodeDecodeError:
        raise RequestError(400, "a BYTES tensor has bytes that are not UTF-8 text") from None
    return np.array(flat, dtype=object).reshape(array.shape)


def _flatten(spec: TensorSpec, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """Nested data as one row-major list, its lengths checked against the shape; flat data as it is."""
    if not data or type(data[0]) is not list or len(shape) < 2:
        return data
    if len(data) != shape[0]:
        raise spec.refuse(f"dimension 0 of the shape is {shape[0]}, data has {len(data)} arrays")
    level = data
    for axis, size in enumerate(shape[1:], start=1):
        if set(map(type, level)) != {list}:
            raise spec.refuse(f"data is ragged: at dimension {axis} some elements are no arrays")
        if set(map(len, level)) != {size}:
            raise spec.refuse(f"data is ragged or wrong: every array at dimension {axis} must have {size}")
        level = list(chain.from_iterable(level))
    return level


def _wrong_type(values: Sequence[Any], allowed: frozenset[type], expected: str) -> str:
    index, found = next((i, type(v)) for i, v in enumerate(values) if type(v) not in allowed)
    return f"{expected}; value {index} is {_JSON_NAMES[found]}"


def _short(shape: list[int]) -> str:
    """A client's shape for an error text, cut so that the answer cannot be made large."""
    text = str(shape)
    return text if len(text) <= 80 else f"{text[:77]}..."
