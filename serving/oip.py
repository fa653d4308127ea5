"""Open Inference Protocol v2: requests and responses, from bytes and to bytes.

Protocol: https://github.com/open-inference/open-inference-protocol (REST API). Whatever bytes come in, the
outcome is an `InferRequest` that fits the model's signature or a `RequestError` that names the input and
what was expected; nothing else is raised.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import RequestError
from serving.tensors import DATATYPES, Array, TensorSpec, from_json, to_json


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
    """Checked inputs by name and the outputs asked for; `id` is the client's, given back in the response."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    id: str | None = None

    @property
    def rows(self) -> int:
        """Size of the first dimension of the first input: the batch."""
        shape = next(iter(self.inputs.values())).shape
        return int(shape[0]) if shape else 1


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model computed: arrays by output name, in the order they were asked for."""

    model_name: str
    model_version: str
    outputs: Mapping[str, Array]
    id: str | None = None


def decode_request(body: bytes, signature: Signature) -> InferRequest:
    """Decode the body of an infer request and check it against the signature of the model it is for."""
    return request_from(_parse(body), signature)


def request_from(document: object, signature: Signature) -> InferRequest:
    """Check an infer request that is already parsed JSON, such as a golden request of a manifest."""
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with 'inputs'")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(400, "'id' must be a string")
    _check_parameters(document, "the request")
    return InferRequest(
        inputs=_inputs(document.get("inputs"), signature),
        outputs=_outputs(document.get("outputs"), signature),
        id=identifier,
    )


def encode_response(response: InferResponse, signature: Signature) -> bytes:
    """Encode a response as JSON, every output's data flat in row-major order."""
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    document["outputs"] = [
        to_json(signature.outputs[name], array) for name, array in response.outputs.items()
    ]
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


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


def _inputs(tensors: object, signature: Signature) -> dict[str, Array]:
    known = ", ".join(signature.inputs)
    if not isinstance(tensors, list) or not tensors:
        raise RequestError(400, f"'inputs' must be an array of tensors; the model takes: {known}")
    inputs: dict[str, Array] = {}
    for index, tensor in enumerate(tensors):
        spec = _known(tensor, f"inputs[{index}]", signature.inputs)
        if spec.name in inputs:
            raise RequestError(400, f"input '{spec.name}' is given twice")
        inputs[spec.name] = _input(spec, tensor)
    missing = [name for name in signature.inputs if name not in inputs]
    if missing:
        raise RequestError(400, f"missing in 'inputs': {', '.join(missing)}; the model takes: {known}")
    return inputs


def _input(spec: TensorSpec, tensor: dict[str, Any]) -> Array:
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        given = datatype if isinstance(datatype, str) and datatype in DATATYPES else "another or none"
        raise spec.refuse(f"datatype must be {spec.datatype}, not {given}")
    shape = spec.check_shape(tensor.get("shape"))
    if "data" not in tensor:
        raise spec.refuse("data is missing")
    return from_json(spec, shape, tensor["data"])


def _outputs(tensors: object, signature: Signature) -> tuple[str, ...]:
    """Names of the outputs asked for; all of them when the request names none."""
    if tensors is None or tensors == []:
        return tuple(signature.outputs)
    if not isinstance(tensors, list):
        raise RequestError(400, "'outputs' must be an array of objects with a 'name'")
    names = [_known(t, f"outputs[{i}]", signature.outputs).name for i, t in enumerate(tensors)]
    if len(set(names)) != len(names):
        raise RequestError(400, "'outputs' names an output twice")
    return tuple(names)


def _known(tensor: object, where: str, specs: Mapping[str, TensorSpec]) -> TensorSpec:
    """The declared tensor that a client's tensor names. The client's text is not echoed."""
    if not isinstance(tensor, dict):
        raise RequestError(400, f"{where} must be an object")
    _check_parameters(tensor, where)
    name = tensor.get("name")
    if not isinstance(name, str) or name not in specs:
        raise RequestError(400, f"{where} must have one of the model's names: {', '.join(specs)}")
    return specs[name]


def _check_parameters(holder: dict[str, Any], where: str) -> None:
    """Parameters carry hints that a server is free not to know; they must be an object all the same."""
    if not isinstance(holder.get("parameters", {}), dict):
        raise RequestError(400, f"'parameters' of {where} must be an object")
