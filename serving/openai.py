"""OpenAI's embeddings API, for models that turn a text into one vector.

    POST /v1/embeddings        {"model", "input": text or [text, ...], "encoding_format": "float" | "base64"}
    GET  /v1/models[/{m}]      what is served

Reference: https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestError
from serving.manifest import Manifest
from serving.oip import InferRequest, InferResponse, Signature
from serving.tensors import Array

MAX_TEXTS = 2048
"""Texts of one request, as with OpenAI."""
OWNER = "inference-platform"
_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """A checked request; `dimensions`: how long the client says that a vector is, None where it does not."""

    model: str
    texts: Sequence[str]
    base64: bool
    dimensions: int | None


def embeds(signature: Signature) -> bool:
    """Whether a model with this signature has embeddings: one text in, one vector of fixed length out."""
    inputs, outputs = list(signature.inputs.values()), list(signature.outputs.values())
    return (
        [(spec.datatype, spec.shape) for spec in inputs] == [("BYTES", (-1,))]
        and [spec.datatype for spec in outputs] == ["FP32"]
        and len(outputs[0].shape) == 2
        and outputs[0].shape[1] > 0
    )


def decode(body: bytes) -> EmbeddingsRequest:
    """Read the body of an embeddings request. Raises RequestError that names the field at fault."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with 'model' and 'input'")
    if document.keys() - _FIELDS:
        raise RequestError(400, f"the body has a field that is none of {', '.join(sorted(_FIELDS))}")
    model, given = document.get("model"), document.get("input")
    if not isinstance(model, str):
        raise RequestError(400, "'model' must be a string")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or any(type(text) is not str or not text for text in texts):
        raise RequestError(
            400, "'input' must be a text or an array of texts, none of them empty; tokens are not taken"
        )
    if len(texts) > MAX_TEXTS:
        raise RequestError(400, f"'input' has {len(texts)} texts, {MAX_TEXTS} are taken at once")
    encoding = document.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise RequestError(400, "'encoding_format' must be 'float' or 'base64'")
    dimensions = document.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise RequestError(400, "'dimensions' must be an integer")
    return EmbeddingsRequest(model, texts, encoding == "base64", dimensions)


def infer_request(request: EmbeddingsRequest, manifest: Manifest) -> InferRequest:
    """The request as the model takes it. Raises RequestError for a model that has no such embeddings."""
    if not embeds(manifest.signature):
        raise RequestError(400, f"{manifest.name} has no embeddings; ask it at /v2/models/{manifest.name}")
    [text], [vector] = manifest.signature.inputs.values(), manifest.signature.outputs.values()
    if request.dimensions not in (None, vector.shape[1]):
        raise RequestError(400, f"'dimensions' can only be {vector.shape[1]} with {manifest.name}")
    array = np.empty(len(request.texts), object)
    array[:] = request.texts
    return InferRequest({text.name: array}, (vector.name,))


def encode(request: EmbeddingsRequest, response: InferResponse) -> bytes:
    """The embeddings document of OpenAI's reference."""
    [vectors] = response.outputs.values()
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(vector, request.base64)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": response.tokens, "total_tokens": response.tokens}
    document = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def error_document(status: int, message: str) -> dict[str, Any]:
    """The error document of OpenAI's reference."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = "model_not_found" if status == 404 else None
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def model_document(name: str, created: int) -> dict[str, Any]:
    """One entry of the list of models. `created`: Unix time in seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def _vector(vector: Array, as_base64: bool) -> Any:
    if not as_base64:
        return np.ascontiguousarray(vector)
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
