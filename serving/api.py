"""The routes of models, for every front: a method, a path and a body to an answer.

    GET  /v2/models/{m}[/versions/{v}]          metadata
    GET  /v2/models/{m}[/versions/{v}]/ready    readiness
    POST /v2/models/{m}[/versions/{v}]/infer    inference
    POST /v1/embeddings                         OpenAI's embeddings of the model that the body names

A front brings the bytes and bounds them; whatever they are, `handle` answers and raises nothing.
"""

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import orjson

from serving import oip, openai
from serving.errors import RequestError, ServingError
from serving.runtime import PLATFORM, Model

EMBEDDINGS = "/v1/embeddings"
_MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<action>/ready|/infer)?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets.

    `headers`: those beside the content type; `rows`: how many were predicted; `tokens`: of their texts;
    `version`: of the model, empty where none was asked.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    rows: int = 0
    tokens: int = 0
    version: str = ""


class Models(Protocol):
    """The models that a front serves."""

    def get(self, name: str, version: str | None) -> Model:
        """A loaded model; the version that is live when none is named. Raises ServingError."""

    def observed(self, model: Model, request: oip.InferRequest, response: oip.InferResponse) -> None:
        """Told of every inference that a client asked for and got."""


def handle(models: Models, method: str, path: str, body: bytes, json_length: str | None = None) -> Answer:
    """Answer one request. `json_length`: the request's header Inference-Header-Content-Length."""
    asked = _Asked(models)
    return replace(_answer(asked, method, path, body, json_length), version=asked.version)


class _Asked:
    """The models, and which version of them was asked: an answer that is a fault must name it, too."""

    def __init__(self, models: Models) -> None:
        self._models, self.version = models, ""
        self.observed = models.observed

    def get(self, name: str, version: str | None) -> Model:
        model = self._models.get(name, version)
        self.version = model.manifest.version
        return model


def _answer(models: Models, method: str, path: str, body: bytes, json_length: str | None) -> Answer:
    try:
        return _route(models, method, path, body, json_length)
    except ServingError as error:
        return refusal(error, path)
    except Exception as error:
        # Where it happened, without what a message or a traceback could quote.
        frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        logger.error("unexpected %s in %s", type(error).__name__, " > ".join(frames))
        return refusal(ServingError("internal error"), path)


def refusal(error: ServingError, path: str) -> Answer:
    """An error in the form of the protocol that `path` belongs to, with Retry-After where it makes sense."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if path.startswith("/v1/"):
        return Answer(error.status, orjson.dumps(openai.error_document(error.status, str(error))), headers)
    return Answer(error.status, oip.encode_error(str(error)), headers)


def _route(models: Models, method: str, path: str, body: bytes, json_length: str | None) -> Answer:
    if path == EMBEDDINGS:
        return _embeddings(models, method, body)
    match = _MODEL.fullmatch(path)
    if match is None:
        raise RequestError(404, "no such route")
    name, version, action = match["name"], match["version"], match["action"]
    allowed = "POST" if action == "/infer" else "GET"
    if method != allowed:
        return _wrong_method(allowed, path)
    model = models.get(name, version)
    manifest = model.manifest
    if action == "/infer":
        request = oip.decode_request(body, manifest.signature, json_length)
        response = model.infer(request)
        encoded, length = oip.encode_response(response, manifest.signature)
        models.observed(model, request, response)
        if length is None:
            return Answer(200, encoded, rows=request.rows, tokens=response.tokens)
        header = {oip.JSON_LENGTH_HEADER: str(length)}
        return Answer(200, encoded, header, "application/octet-stream", request.rows, response.tokens)
    if action == "/ready":
        return Answer(200, oip.encode_ready(manifest.name, ready=True))
    return Answer(200, oip.encode_metadata(manifest.name, manifest.version, PLATFORM, manifest.signature))


def _embeddings(models: Models, method: str, body: bytes) -> Answer:
    if method != "POST":
        return _wrong_method("POST", EMBEDDINGS)
    request = openai.decode(body)
    model = models.get(request.model, None)
    response = model.infer(openai.infer_request(request, model.manifest))
    return Answer(200, openai.encode(request, response), rows=len(request.texts), tokens=response.tokens)


def _wrong_method(allowed: str, path: str) -> Answer:
    answer = refusal(RequestError(405, f"this route takes {allowed}"), path)
    return replace(answer, headers={"allow": allowed})
