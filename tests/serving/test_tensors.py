"""Tensor data: what is taken, what is refused, and that nothing is changed on the way."""

import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.errors import RequestError
from serving.tensors import DATATYPES, Array, TensorSpec, from_binary, from_json, to_binary, to_json

NUMERIC = [name for name in DATATYPES if name != "BYTES"]
INTEGERS = [name for name in DATATYPES if "INT" in name]
FLOATS = ["FP16", "FP32", "FP64"]


def spec(datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec("x", datatype, shape)


def arrays(datatype: str) -> st.SearchStrategy[Array]:
    dtype = DATATYPES[datatype]
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    return hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=4), elements=elements)


@pytest.mark.parametrize("datatype", NUMERIC)
@given(data=st.data())
def test_every_numeric_value_survives_a_round_trip_flat_and_nested(
    datatype: str, data: st.DataObject
) -> None:
    array = data.draw(arrays(datatype))
    declared = spec(datatype, *[-1] * array.ndim)
    document = orjson.loads(orjson.dumps(to_json(declared, array), option=orjson.OPT_SERIALIZE_NUMPY))
    for form in (document["data"], orjson.loads(json.dumps(array.tolist()))):
        read = from_json(declared, declared.check_shape(document["shape"]), form)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_text_survives_a_round_trip(values: list[str]) -> None:
    declared = spec("BYTES", -1)
    read = from_json(declared, (len(values),), values)
    assert [value.decode() for value in read] == values
    assert to_json(declared, read)["data"] == values


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_hold_their_limits_and_refuse_one_more(datatype: str) -> None:
    limits = np.iinfo(DATATYPES[datatype])
    read = from_json(spec(datatype, 2), (2,), [int(limits.min), int(limits.max)])
    assert read.tolist() == [limits.min, limits.max]
    for beyond in (limits.min - 1, limits.max + 1):
        # What the JSON parser makes of the number: beyond 64 bits that is a float.
        value = orjson.loads(str(int(beyond)))
        with pytest.raises(RequestError, match=r"out of range|beyond 64 bits"):
            from_json(spec(datatype, 1), (1,), [value])


@pytest.mark.parametrize(("datatype", "value"), [("FP16", 65520.0), ("FP32", 3.5e38), ("FP32", -1e300)])
def test_a_number_too_large_for_its_float_is_refused_and_not_made_infinite(
    datatype: str, value: float
) -> None:
    with pytest.raises(RequestError, match=f"out of range for {datatype}"):
        from_json(spec(datatype, 1), (1,), [value])


@pytest.mark.parametrize(
    ("datatype", "value", "found"),
    [
        ("FP32", True, "a boolean"),
        ("FP32", "1", "a string"),
        ("FP32", None, "null"),
        ("FP32", [1.0], "an array"),
        ("INT64", 1.0, "a number with a fraction"),
        ("INT8", False, "a boolean"),
        ("BOOL", 1, "an integer"),
        ("BYTES", 7, "an integer"),
        ("BYTES", {}, "an object"),
    ],
)
def test_a_json_value_of_another_type_is_refused_with_its_place(
    datatype: str, value: object, found: str
) -> None:
    good = {"FP32": 0.5, "INT64": 1, "INT8": 1, "BOOL": True, "BYTES": "a"}[datatype]
    with pytest.raises(RequestError, match=f"input 'x': {datatype} takes .*; value 1 is {found}") as refused:
        from_json(spec(datatype, 2), (2,), [good, value])
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("shape", "data", "reason"),
    [
        ((2, 2), [1, 2, 3], "takes 4 values, data has 3"),
        ((2, 2), [], "takes 4 values, data has 0"),
        ((2, 2), [[1, 2]], "dimension 0 of the shape is 2, data has 1 arrays"),
        ((2, 2), [[1, 2], [3]], "ragged"),
        ((2, 2), [[1, 2], 3], "ragged"),
        ((2, 2), [[1, 2, 3, 4]] * 2, "every array at dimension 1 must have 2"),
        ((2, 2), [[[1], [2]], [[3], [4]]], "value 0 is an array"),
        ((2, 2), [1, [2, 3, 4], 5, 6], "value 1 is an array"),
        ((4,), [[1, 2, 3, 4]], "value 0 is an array"),
        ((2, 2), {"0": 1}, "data must be an array"),
        ((2, 2), 4, "data must be an array"),
        ((10**9, 10**9), [1.0], "data has 1"),
    ],
)
def test_data_that_does_not_fill_the_shape_is_refused(
    shape: tuple[int, ...], data: object, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason):
        from_json(spec("FP32", *shape), shape, data)


@pytest.mark.parametrize(
    "shape",
    [
        None,
        3,
        "64",
        [],
        [64],
        [1, 63],
        [1, 64, 1],
        [0, 64],
        [-1, 64],
        [1.0, 64],
        [True, 64],
        ["1", 64],
        [[1], 64],
    ],
)
def test_a_shape_that_does_not_fit_the_declared_one_is_refused(shape: object) -> None:
    with pytest.raises(RequestError, match=r"input 'x': shape .*\[-1, 64\]"):
        spec("FP32", -1, 64).check_shape(shape)


def test_an_answer_about_a_long_shape_stays_short() -> None:
    with pytest.raises(RequestError) as refused:
        spec("FP32", -1, 64).check_shape([1] * 10_000)
    assert len(str(refused.value)) < 200


def test_a_scalar_is_one_value_in_an_array() -> None:
    assert from_json(spec("FP32"), (), [2.5]).shape == ()
    assert to_json(spec("FP32"), np.float32(2.5) * np.ones((), np.float32))["data"].tolist() == [2.5]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_output_that_json_cannot_carry_is_refused_and_not_null(value: float) -> None:
    with pytest.raises(RequestError, match=r"not finite .* ask for it with the parameter binary_data"):
        to_json(spec("FP32", -1), np.array([1, value], np.float32))


def test_output_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(RequestError, match="no text: ask for it with the parameter binary_data"):
        to_json(spec("BYTES", -1), np.array([b"\xff"], object))


def test_an_output_that_is_not_contiguous_is_encoded_in_row_major_order() -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert to_json(spec("FP32", -1, -1), transposed)["data"].tolist() == [0, 3, 1, 4, 2, 5]
    assert np.frombuffer(to_binary(transposed), "<f4").tolist() == [0, 3, 1, 4, 2, 5]


def test_binary_data_is_little_endian_whatever_the_array_is() -> None:
    assert to_binary(np.array([1], ">i4")) == b"\1\0\0\0"


@pytest.mark.parametrize("datatype", NUMERIC)
@given(data=st.data())
def test_every_numeric_value_survives_a_binary_round_trip(datatype: str, data: st.DataObject) -> None:
    dtype = DATATYPES[datatype]
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=4)))
    read = from_binary(spec(datatype, *[-1] * array.ndim), array.shape, to_binary(array))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)  # NaN is equal to NaN here


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6))
def test_bytes_survive_a_binary_round_trip(values: list[bytes]) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    assert from_binary(spec("BYTES", -1), (len(values),), to_binary(array)).tolist() == values


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "reason"),
    [
        ("FP32", (2,), bytes(7), "takes 8 bytes, data has 7"),
        ("FP32", (2,), bytes(9), "takes 8 bytes, data has 9"),
        ("INT64", (10**9, 10**9), bytes(8), "data has 8"),
        ("BOOL", (2,), b"\0\2", "BOOL takes bytes of 0 or 1"),
        ("BYTES", (2,), b"\1\0\0\0a", "takes 2 elements, data has fewer"),
        ("BYTES", (1,), b"\1\0\0\0a\0\0\0\0", "takes 1 elements"),
        ("BYTES", (1,), b"\1\0\0\0a\0", "element 1 is longer than the data"),
        ("BYTES", (1,), b"\2\0\0\0a", "element 0 is longer than the data"),
        ("BYTES", (1,), b"\xff\xff\xff\xffa", "element 0 is longer than the data"),
        ("BYTES", (1,), b"\0", "element 0 is longer than the data"),
        ("BYTES", (10**9,), b"", "data has fewer"),
    ],
)
def test_binary_data_that_does_not_fill_the_shape_is_refused(
    datatype: str, shape: tuple[int, ...], data: bytes, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason):
        from_binary(spec(datatype, *shape), shape, data)


@given(st.binary(max_size=40), st.sampled_from(list(DATATYPES)), st.integers(1, 12))
def test_any_bytes_fill_the_shape_or_are_refused(data: bytes, datatype: str, count: int) -> None:
    try:
        read = from_binary(spec(datatype, -1), (count,), data)
    except RequestError:
        return
    assert to_binary(read) == data
