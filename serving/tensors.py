"""Tensors of the Open Inference Protocol: datatypes, declared shapes, and data checked into numpy arrays.

Protocol: https://github.com/open-inference/open-inference-protocol (Tensor data types, Tensor data).
A checked array is safe to hand to a model: its datatype and shape are the declared ones and no value was
changed on the way, so that a number that does not fit is refused and never wrapped around.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import RequestError

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

_HINT = "ask for it with the parameter binary_data"


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


def from_binary(spec: TensorSpec, shape: tuple[int, ...], data: bytes) -> Array:
    """Check the bytes of a tensor (binary tensor data extension) into an array of `shape`.

    Row-major and little-endian; BYTES elements follow each other, each after its length in 4 bytes. Unlike
    JSON, this can carry numbers that are not finite, which to some models mean a missing value.
    """
    count = math.prod(shape)
    dtype = DATATYPES[spec.datatype]
    if spec.datatype == "BYTES":
        elements = _split(spec, count, data)
        array = np.empty(count, dtype)
        array[:] = elements
        return array.reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise spec.refuse(f"shape {list(shape)} takes {count * dtype.itemsize} bytes, data has {len(data)}")
    if spec.datatype == "BOOL" and data.strip(b"\0\1"):
        raise spec.refuse("BOOL takes bytes of 0 or 1")
    return np.frombuffer(data, dtype).reshape(shape)


def to_json(spec: TensorSpec, array: Array) -> dict[str, Any]:
    """The tensor as a response document for orjson (OPT_SERIALIZE_NUMPY), data flat in row-major order.

    Raises RequestError where JSON cannot carry a value, which binary tensor data can.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    data: Any = flat
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise RequestError(400, f"output '{spec.name}' is not finite here; JSON has no such numbers: {_HINT}")
    if flat.dtype.kind == "O":
        try:
            data = text(flat).tolist()
        except RequestError:
            raise RequestError(400, f"output '{spec.name}' has bytes that are no text: {_HINT}") from None
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": data}


def to_binary(array: Array) -> bytes:
    """The tensor's bytes, as `from_binary` takes them."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    elements = [value.encode() if isinstance(value, str) else value for value in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def text(array: Array) -> Array:
    """BYTES as the Python strings that models take. Raises RequestError for bytes that are not UTF-8."""
    try:
        flat = [value if isinstance(value, str) else value.decode() for value in array.reshape(-1)]
    except UnicodeDecodeError:
        raise RequestError(400, "a BYTES tensor has bytes that are not UTF-8 text") from None
    return np.array(flat, dtype=object).reshape(array.shape)


def _split(spec: TensorSpec, count: int, data: bytes) -> list[bytes]:
    """BYTES elements. Their lengths are the client's word, so every one is checked against what is there."""
    elements: list[bytes] = []
    at = 0
    while at < len(data) and len(elements) <= count:
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4 + length
        if at > len(data):
            raise spec.refuse(f"element {len(elements)} is longer than the data")
        elements.append(data[at - length : at])
    if len(elements) != count or at != len(data):
        raise spec.refuse(
            f"the shape takes {count} elements, data has {'more' if at < len(data) else 'fewer'}"
        )
    return elements


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
