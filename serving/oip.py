"""Open Inference Protocol v2: requests and responses, from bytes and to bytes.

Protocol: https://github.com/open-inference/open-inference-protocol (REST API and its binary tensor data
extension). Whatever bytes come in, the outcome is an `InferRequest` that fits the model's signature or a
`RequestError` that names the input and what was expected; nothing else is raised.

With the extension a body is JSON followed by the data of tensors that have a `binary_data_size` in place of
`data`, in the order of the tensors; a header tells the length of the JSON.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import RequestError
from serving.tensors import DATATYPES, Array, TensorSpec, from_binary, from_json, to_binary, to_json

JSON_LENGTH_HEADER = "inference-header-content-length"
EXTENSIONS = ("binary_tensor_data",)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, by tensor name, in declared order."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @classmethod
    def of(cls, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> "Signature":
        """The signature of tensors given in order."""
        return cls({spec.name: spec for spec in inputs}, {spec.name: spec for spec in outputs})


@dataclass(frozen=True, slots=True)
class InferRequest:
    """Checked inputs by name and the outputs asked for.

    `id` is the client's, given back in the response; `binary`: outputs to send as binary data.
    """

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    id: str | None = None
    binary: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """Size of the first dimension of the first input: the batch."""
        shape = next(iter(self.inputs.values())).shape
        return int(shape[0]) if shape else 1


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model computed: arrays by output name, in the order they were asked for.

    `tokens`: of the texts that a model with a tokenizer was given, special ones included.
    """

    model_name: str
    model_version: str
    outputs: Mapping[str, Array]
    id: str | None = None
    binary: frozenset[str] = frozenset()
    tokens: int = 0


def decode_request(body: bytes, signature: Signature, json_length: str | None = None) -> InferRequest:
    """Decode the body of an infer request and check it against the signature of the model it is for.

    `json_length`: the header's value where binary data follows the JSON.
    """
    if json_length is None:
        return request_from(_parse(body), signature)
    if not re.fullmatch("[0-9]{1,10}", json_length) or int(json_length) > len(body):
        raise RequestError(400, f"{JSON_LENGTH_HEADER} must be the length of the JSON at the body's start")
    length = int(json_length)
    return request_from(_parse(body[:length]), signature, body[length:])


def request_from(document: object, signature: Signature, binary: bytes | None = None) -> InferRequest:
    """Check an infer request that is already parsed JSON. `binary`: the data that followed it."""
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with 'inputs'")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(400, "'id' must be a string")
    all_binary = _flag(_parameters(document, "the request"), "binary_data_output", default=False)
    inputs = _inputs(document.get("inputs"), signature, binary)
    outputs = _outputs(document.get("outputs"), signature, all_binary)
    return InferRequest(
        inputs=inputs,
        outputs=tuple(outputs),
        id=identifier,
        binary=frozenset(name for name, is_binary in outputs.items() if is_binary),
    )


def encode_response(response: InferResponse, signature: Signature) -> tuple[bytes, int | None]:
    """Encode a response: the body, and the length of its JSON where binary data follows it.

    Data is flat in row-major order.
    """
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    tensors, binary = [], []
    for name, array in response.outputs.items():
        if name not in response.binary:
            tensors.append(to_json(signature.outputs[name], array))
            continue
        binary.append(to_binary(array))
        described = {"datatype": signature.outputs[name].datatype, "shape": list(array.shape)}
        tensors.append({"name": name, **described, "parameters": {"binary_data_size": len(binary[-1])}})
    document["outputs"] = tensors
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([body, *binary]), len(body)) if binary else (body, None)


def encode_error(message: str) -> bytes:
    """The protocol's error document."""
    return orjson.dumps({"error": message})


def encode_metadata(name: str, version: str, platform: str, signature: Signature) -> bytes:
    """The protocol's model metadata document. `platform` names the model's format and its runtime."""
    return orjson.dumps(
        {
            "name": name,
            "versions": [version],
            "platform": platform,
            "inputs": [spec.document() for spec in signature.inputs.values()],
            "outputs": [spec.document() for spec in signature.outputs.values()],
        }
    )


def encode_ready(name: str, ready: bool) -> bytes:
    """The protocol's model readiness document."""
    return orjson.dumps({"name": name, "ready": ready})


def _parse(body: bytes) -> object:
    if not body:
        raise RequestError(400, "the body is empty; an infer request is a JSON object with 'inputs'")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson's message gives the position and quotes nothing of the body.
        raise RequestError(400, f"the body is not JSON: {error}") from None


def _inputs(tensors: object, signature: Signature, binary: bytes | None) -> dict[str, Array]:
    known = ", ".join(signature.inputs)
    if not isinstance(tensors, list) or not tensors:
        raise RequestError(400, f"'inputs' must be an array of tensors; the model takes: {known}")
    inputs: dict[str, Array] = {}
    used = 0
    for index, tensor in enumerate(tensors):
        spec = _known(tensor, f"inputs[{index}]", signature.inputs)
        if spec.name in inputs:
            raise RequestError(400, f"input '{spec.name}' is given twice")
        shape = _shape(spec, tensor)
        size = _parameters(tensor, f"inputs[{index}]").get("binary_data_size")
        if size is None:
            inputs[spec.name] = from_json(spec, shape, tensor.get("data"))
        else:
            inputs[spec.name] = from_binary(spec, shape, _slice(spec, tensor, binary, used, size))
            used += size
    missing = [name for name in signature.inputs if name not in inputs]
    if missing:
        raise RequestError(400, f"missing in 'inputs': {', '.join(missing)}; the model takes: {known}")
    if binary and used != len(binary):
        raise RequestError(
            400, f"{len(binary)} bytes follow the JSON, the inputs' binary_data_size add to {used}"
        )
    return inputs


def _slice(spec: TensorSpec, tensor: dict[str, Any], binary: bytes | None, start: int, size: object) -> bytes:
    """The bytes of an input among those that followed the JSON."""
    if binary is None:
        raise spec.refuse(f"binary_data_size needs the header {JSON_LENGTH_HEADER}")
    if "data" in tensor:
        raise spec.refuse("data and binary_data_size exclude each other")
    if type(size) is not int or not 0 <= size <= len(binary) - start:
        raise spec.refuse(f"binary_data_size must be a part of the {len(binary)} bytes that follow the JSON")
    return binary[start : start + size]


def _shape(spec: TensorSpec, tensor: dict[str, Any]) -> tuple[int, ...]:
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        given = datatype if isinstance(datatype, str) and datatype in DATATYPES else "another or none"
        raise spec.refuse(f"datatype must be {spec.datatype}, not {given}")
    return spec.check_shape(tensor.get("shape"))


def _outputs(tensors: object, signature: Signature, all_binary: bool) -> dict[str, bool]:
    """The outputs asked for, and whether as binary data; all of them when the request names none."""
    if tensors is None or tensors == []:
        return dict.fromkeys(signature.outputs, all_binary)
    if not isinstance(tensors, list):
        raise RequestError(400, "'outputs' must be an array of objects with a 'name'")
    outputs: dict[str, bool] = {}
    for index, tensor in enumerate(tensors):
        name = _known(tensor, f"outputs[{index}]", signature.outputs).name
        if name in outputs:
            raise RequestError(400, f"output '{name}' is named twice")
        outputs[name] = _flag(_parameters(tensor, f"outputs[{index}]"), "binary_data", default=all_binary)
    return outputs


def _known(tensor: object, where: str, specs: Mapping[str, TensorSpec]) -> TensorSpec:
    """The declared tensor that a client's tensor names. The client's text is not echoed."""
    if not isinstance(tensor, dict):
        raise RequestError(400, f"{where} must be an object")
    name = tensor.get("name")
    if not isinstance(name, str) or name not in specs:
        raise RequestError(400, f"{where} must have one of the model's names: {', '.join(specs)}")
    return specs[name]


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    """Parameters, among them hints that a server is free not to know."""
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(400, f"'parameters' of {where} must be an object")
    return parameters


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"the parameter {name} must be true or false")
    return value
