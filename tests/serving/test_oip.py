"""The protocol's documents: every byte string gives a checked request or a 400 with a reason."""

import copy
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import oip
from serving.errors import RequestError
from serving.tensors import TensorSpec

SIGNATURE = oip.Signature.of(
    inputs=[TensorSpec("image", "FP32", (-1, 4)), TensorSpec("mask", "BOOL", (-1,))],
    outputs=[TensorSpec("label", "INT64", (-1,)), TensorSpec("score", "FP32", (-1, 2))],
)
REQUEST: dict[str, Any] = {
    "id": "42",
    "inputs": [
        {"name": "image", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6, 7, 8]},
        {"name": "mask", "shape": [1], "datatype": "BOOL", "data": [True]},
    ],
    "outputs": [{"name": "score"}],
}


def changed(path: list[str | int], value: object) -> dict[str, Any]:
    """The good request with one place changed; `...` removes the place."""
    document = copy.deepcopy(REQUEST)
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return document


def test_a_good_request_is_decoded() -> None:
    request = oip.decode_request(orjson.dumps(REQUEST), SIGNATURE)
    assert request.id == "42"
    assert request.outputs == ("score",)
    assert request.rows == 2
    np.testing.assert_array_equal(request.inputs["image"], [[1, 2, 3, 4], [5, 6, 7, 8]])
    assert request.inputs["mask"].tolist() == [True]


@pytest.mark.parametrize("outputs", [..., None, []])
def test_all_outputs_are_given_when_none_is_named(outputs: object) -> None:
    request = oip.decode_request(orjson.dumps(changed(["outputs"], outputs)), SIGNATURE)
    assert request.outputs == ("label", "score")


def test_fields_that_a_client_sends_as_null_are_as_if_left_out() -> None:
    document = changed(["id"], None) | {"parameters": None, "outputs": None}
    for tensor in document["inputs"]:
        tensor["parameters"] = None
    assert oip.request_from(document, SIGNATURE).outputs == ("label", "score")


def test_parameters_that_the_server_does_not_know_are_taken() -> None:
    document = changed(["parameters"], {"priority": 3})
    document["inputs"][0]["parameters"] = {"content_type": "np"}
    document["outputs"][0]["parameters"] = {"classification": 2}
    assert oip.decode_request(orjson.dumps(document), SIGNATURE).id == "42"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"not json", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (orjson.dumps(REQUEST).replace(b"[1,2,", b"[NaN,2,"), "the body is not JSON"),
        (orjson.dumps(REQUEST).replace(b"[1,2,", b"[Infinity,2,"), "the body is not JSON"),
        (orjson.dumps(REQUEST).replace(b"[1,2,", b"[1e999,2,"), "the body is not JSON"),
    ],
)
def test_bodies_that_are_no_request_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        oip.decode_request(body, SIGNATURE)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["id"], 42, "'id' must be a string"),
        (["parameters"], [], "'parameters' of the request must be an object"),
        (["inputs"], ..., "'inputs' must be an array of tensors; the model takes: image, mask"),
        (["inputs"], {}, "'inputs' must be an array"),
        (["inputs"], [], "'inputs' must be an array"),
        (["inputs", 0], 7, r"inputs\[0\] must be an object"),
        (["inputs", 1], ..., "missing in 'inputs': mask"),
        (["inputs", 1, "name"], "image", "input 'image' is given twice"),
        (["inputs", 1, "name"], "other", r"inputs\[1\] must have one of the model's names: image, mask"),
        (["inputs", 1, "name"], ["mask"], r"inputs\[1\] must have one of the model's names"),
        (["inputs", 1, "name"], ..., r"inputs\[1\] must have one of the model's names"),
        (["inputs", 0, "datatype"], "FP64", "input 'image': datatype must be FP32, not FP64"),
        (["inputs", 0, "datatype"], "float", "input 'image': datatype must be FP32, not another or none"),
        (["inputs", 0, "datatype"], ..., "input 'image': datatype must be FP32"),
        (["inputs", 0, "shape"], [8], r"input 'image': shape \[8\] does not fit \[-1, 4\]"),
        (["inputs", 0, "shape"], ..., "input 'image': shape must be an array"),
        (["inputs", 0, "data"], ..., "input 'image': data must be an array"),
        (["inputs", 0, "data"], None, "input 'image': data must be an array"),
        (["inputs", 0, "data", 3], True, "input 'image': FP32 takes numbers; value 3 is a boolean"),
        (["inputs", 0, "parameters"], 1, r"'parameters' of inputs\[0\] must be an object"),
        (["outputs"], "score", "'outputs' must be an array"),
        (["outputs", 0], "score", r"outputs\[0\] must be an object"),
        (["outputs", 0, "name"], "other", r"outputs\[0\] must have one of the model's names: label, score"),
        (["outputs"], [{"name": "score"}, {"name": "score"}], "output 'score' is named twice"),
    ],
)
def test_each_fault_of_a_request_is_refused_with_its_place(
    path: list[str | int], value: object, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        oip.decode_request(orjson.dumps(changed(path, value)), SIGNATURE)
    assert refused.value.status == 400


def test_a_refusal_quotes_nothing_of_the_payload() -> None:
    for path in (["inputs", 0, "name"], ["inputs", 0, "datatype"], ["inputs", 0, "data", 0], ["inputs"]):
        with pytest.raises(RequestError) as refused:
            oip.decode_request(orjson.dumps(changed([*path], "s3cret-value")), SIGNATURE)
        assert "s3cret" not in str(refused.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
PLACES: list[list[str | int]] = [
    [],
    ["id"],
    ["inputs"],
    ["outputs"],
    ["parameters"],
    ["inputs", 0],
    ["inputs", 0, "name"],
    ["inputs", 0, "shape"],
    ["inputs", 0, "datatype"],
    ["inputs", 0, "data"],
    ["inputs", 0, "parameters"],
    ["inputs", 0, "shape", 0],
    ["inputs", 0, "data", 2],
    ["outputs", 0],
    ["outputs", 0, "name"],
]


def outcome(body: bytes, json_length: str | None = None) -> None:
    """Decode; a refusal must be a short 400, and what is taken must fit the signature."""
    try:
        request = oip.decode_request(body, SIGNATURE, json_length)
    except RequestError as refused:
        assert refused.status == 400
        assert 0 < len(str(refused)) < 500
        return
    assert request.inputs.keys() == SIGNATURE.inputs.keys()
    for name, spec in SIGNATURE.inputs.items():
        assert spec.check_shape(list(request.inputs[name].shape))
    assert set(request.outputs) <= SIGNATURE.outputs.keys()


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    outcome(body)


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=1000)
def test_any_json_at_any_place_of_a_request_is_taken_or_refused(path: list[str | int], value: object) -> None:
    outcome(orjson.dumps(changed(path, value) if path else value))


@given(st.integers(0, len(orjson.dumps(REQUEST)) - 1), st.binary(max_size=3))
@settings(max_examples=1000)
def test_a_request_with_bytes_overwritten_is_taken_or_refused(at: int, noise: bytes) -> None:
    body = orjson.dumps(REQUEST)
    outcome(body[:at] + noise + body[at + len(noise) :])


def test_a_response_is_encoded_as_the_protocol_says() -> None:
    response = oip.InferResponse(
        "digits", "v1", {"score": np.array([[0.5, 0.25]], np.float32), "label": np.array([7])}, id="42"
    )
    body, json_length = oip.encode_response(response, SIGNATURE)
    assert json_length is None
    assert orjson.loads(body) == {
        "model_name": "digits",
        "model_version": "v1",
        "id": "42",
        "outputs": [
            {"name": "score", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]},
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [7]},
        ],
    }


def test_a_response_to_a_request_without_id_has_none() -> None:
    response = oip.InferResponse("digits", "v1", {"label": np.array([7])})
    assert "id" not in orjson.loads(oip.encode_response(response, SIGNATURE)[0])


def test_metadata_states_the_signature() -> None:
    assert orjson.loads(oip.encode_metadata("digits", "v1", "onnx", SIGNATURE)) == {
        "name": "digits",
        "versions": ["v1"],
        "platform": "onnx",
        "inputs": [
            {"name": "image", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "mask", "datatype": "BOOL", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }


class TestBinaryTensorData:
    """The extension: data behind the JSON, in the order of the tensors that say so."""

    IMAGE = np.arange(8, dtype="<f4").reshape(2, 4)

    def body(self, *, tail: bytes | None = None, **changes: object) -> tuple[bytes, str]:
        """A request with the image as binary data and the mask as JSON, and the header's value."""
        image: dict[str, Any] = {"name": "image", "shape": [2, 4], "datatype": "FP32"}
        image = image | {"parameters": {"binary_data_size": 32}} | changes
        document = orjson.dumps({"inputs": [image, REQUEST["inputs"][1]]})
        return document + (self.IMAGE.tobytes() if tail is None else tail), str(len(document))

    def test_binary_and_json_inputs_may_be_mixed(self) -> None:
        request = oip.decode_request(self.body()[0], SIGNATURE, self.body()[1])
        np.testing.assert_array_equal(request.inputs["image"], self.IMAGE)
        assert request.inputs["mask"].tolist() == [True]

    def test_several_binary_inputs_follow_each_other_in_their_order(self) -> None:
        tensors = [
            {"name": "mask", "shape": [3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}},
            {"name": "image", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}},
        ]
        document = orjson.dumps({"inputs": tensors})
        body = document + b"\1\0\1" + self.IMAGE.tobytes()
        request = oip.decode_request(body, SIGNATURE, str(len(document)))
        assert request.inputs["mask"].tolist() == [True, False, True]
        np.testing.assert_array_equal(request.inputs["image"], self.IMAGE)

    @pytest.mark.parametrize(
        ("changes", "tail", "reason"),
        [
            ({"parameters": {"binary_data_size": 31}}, None, "takes 32 bytes, data has 31"),
            ({"parameters": {"binary_data_size": 33}}, None, "must be a part of the 32 bytes"),
            ({"parameters": {"binary_data_size": -1}}, None, "must be a part of the 32 bytes"),
            ({"parameters": {"binary_data_size": 10**18}}, None, "must be a part of the 32 bytes"),
            ({"parameters": {"binary_data_size": "32"}}, None, "must be a part of the 32 bytes"),
            ({"parameters": {"binary_data_size": True}}, None, "must be a part of the 32 bytes"),
            ({"data": [1]}, None, "data and binary_data_size exclude each other"),
            ({}, b"", "must be a part of the 0 bytes"),
            ({}, bytes(40), "40 bytes follow the JSON, the inputs' binary_data_size add to 32"),
            ({"parameters": {}}, None, "data must be an array"),
            ({"shape": [10**6, 4]}, None, "takes 16000000 bytes, data has 32"),
        ],
    )
    def test_lengths_that_lie_are_refused(
        self, changes: dict[str, object], tail: bytes | None, reason: str
    ) -> None:
        body, length = self.body(tail=tail, **changes)
        with pytest.raises(RequestError, match=reason):
            oip.decode_request(body, SIGNATURE, length)

    @pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "9" * 5000, "0" * 5000, "\u0661", " 7", "999"])
    def test_a_header_that_is_no_length_of_the_json_is_refused(self, length: str) -> None:
        with pytest.raises(RequestError, match="inference-header-content-length must be the length"):
            oip.decode_request(self.body()[0], SIGNATURE, length)

    def test_a_header_that_cuts_the_json_is_refused(self) -> None:
        body, length = self.body()
        for wrong in (int(length) - 1, int(length) + 1, 0):
            with pytest.raises(RequestError, match=r"not JSON|empty"):
                oip.decode_request(body, SIGNATURE, str(wrong))

    def test_binary_data_without_the_header_is_refused(self) -> None:
        body, length = self.body()
        with pytest.raises(RequestError, match="needs the header inference-header-content-length"):
            oip.decode_request(body[: int(length)], SIGNATURE)

    @pytest.mark.parametrize(
        ("parameters", "outputs", "binary"),
        [
            ({}, None, set()),
            ({"binary_data_output": True}, None, {"label", "score"}),
            ({}, [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}], {"score"}),
            (
                {"binary_data_output": True},
                [{"name": "score", "parameters": {"binary_data": False}}, {"name": "label"}],
                {"label"},
            ),
        ],
    )
    def test_a_request_says_which_outputs_it_wants_as_binary_data(
        self, parameters: dict[str, Any], outputs: Any, binary: set[str]
    ) -> None:
        document = {"inputs": REQUEST["inputs"], "parameters": parameters, "outputs": outputs}
        assert oip.request_from(document, SIGNATURE).binary == binary

    @pytest.mark.parametrize(
        "changes",
        [
            {"parameters": {"binary_data_output": 1}},
            {"outputs": [{"name": "score", "parameters": {"binary_data": "y"}}]},
        ],
    )
    def test_a_wish_that_is_no_boolean_is_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match=r"the parameter binary_data\w* must be true or false"):
            oip.request_from({"inputs": REQUEST["inputs"], **changes}, SIGNATURE)

    def test_a_response_with_binary_data(self) -> None:
        score = np.array([[0.5, np.nan]], np.float32)
        outputs = {"score": score, "label": np.array([7])}
        body, length = oip.encode_response(
            oip.InferResponse("digits", "v1", outputs, binary=frozenset({"score"})), SIGNATURE
        )
        assert length is not None
        tensors = orjson.loads(body[:length])["outputs"]
        assert tensors == [
            {"name": "score", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [7]},
        ]
        assert body[length:] == score.tobytes()

    @settings(max_examples=500)
    @given(at=st.integers(0, 250), noise=st.binary(max_size=6), length=st.integers(0, 260))
    def test_any_bytes_and_any_length_are_taken_or_refused(self, at: int, noise: bytes, length: int) -> None:
        body = self.body()[0]
        outcome(body[:at] + noise + body[at + len(noise) :], str(length))
        outcome(body[:at] + noise + body[at + len(noise) :], self.body()[1])
