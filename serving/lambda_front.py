"""The Lambda front: API Gateway REST proxy events in, Open Inference Protocol answers out.

A function serves one version of one model, the one that its configuration names. Another version of the same
model is answered with 404 even where storage has it: only a delivery decides what goes live.
"""

import base64
import binascii
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from serving import api, golden, logs
from serving.api import Answer
from serving.errors import ModelNotFound, ModelUnavailable, RequestError, ServingError
from serving.runtime import Model

# Lambda's limit for a synchronous request and for its answer:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_BODY_BYTES = 6 * 2**20

logger = logging.getLogger(__name__)


class ServedModel:
    """The one model version of a function, loaded by `load` when it can be.

    A failure is kept as the reason that clients get and tried again at the next request, so that neither a
    storage that is away nor a bad file makes the function restart without end.
    """

    def __init__(self, name: str, version: str, load: Callable[[], Model]) -> None:
        self.name = name
        self.version = version
        self._load = load
        self._model: Model | None = None

    def warm(self) -> None:
        """Load the model ahead of the first request, if it can be loaded."""
        try:
            self.get(self.name, self.version)
        except ServingError as error:
            logger.error("%s %s is not loaded: %s", self.name, self.version, error)

    def get(self, name: str, version: str | None) -> Model:
        """The model, when it is the one that is served here. Raises ModelNotFound or ModelUnavailable."""
        if name != self.name:
            raise ModelNotFound(f"no such model here; this serves {self.name}")
        if version not in (None, self.version):
            raise ModelNotFound(f"no such version is live; {self.name} serves {self.version}")
        if self._model is None:
            try:
                self._model = self._load()
            except ModelNotFound as error:  # it is configured here, so the request is not at fault
                raise ModelUnavailable(str(error)) from error
        return self._model


class LambdaFront:
    """Answers the events of one function. `served`: its model."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._cold = True

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an API Gateway proxy event, or {"golden": true} with the outcome of the golden requests."""
        if not isinstance(event, dict):
            event = {}
        if event.get("golden") is True:
            return self._golden()
        started = time.perf_counter()
        answer = self._answer(event)
        gateway = event.get("requestContext") or {}
        request_id = gateway.get("requestId") or context.aws_request_id
        logs.request(
            model=self._served.name,
            version=self._served.version,
            status=answer.status,
            duration_ms=(time.perf_counter() - started) * 1e3,
            rows=answer.rows,
            tenant=(gateway.get("authorizer") or {}).get("tenant"),
            route=event.get("resource"),
            request_id=request_id,
            cold_start=self._cold,
        )
        self._cold = False
        return {
            "statusCode": answer.status,
            "headers": {"content-type": "application/json", "x-request-id": request_id, **answer.headers},
            "body": answer.body.decode(),
            "isBase64Encoded": False,
        }

    def _answer(self, event: Mapping[str, Any]) -> Answer:
        try:
            body = _body(event)
        except RequestError as error:
            return api.refusal(error)
        answer = api.handle(self._served, event.get("httpMethod", ""), _path(event), body)
        if len(answer.body) > MAX_BODY_BYTES:
            return api.refusal(
                RequestError(413, f"the answer is larger than {MAX_BODY_BYTES} bytes; send fewer rows")
            )
        return answer

    def _golden(self) -> dict[str, Any]:
        """What the golden requests of the loaded model gave. A model that cannot be loaded fails them."""
        outcome: dict[str, Any] = {"model": self._served.name, "version": self._served.version}
        try:
            model = self._served.get(self._served.name, self._served.version)
        except ServingError as error:
            outcome |= {"digest": None, "passed": 0, "failed": [{"golden": None, "reason": str(error)}]}
        else:
            report = golden.run(model.manifest, model.infer)
            outcome |= {
                "digest": model.manifest.sha256,
                "passed": report.passed,
                "failed": list(report.failed),
            }
        logger.info("golden requests", extra={"fields": outcome})
        return outcome


def _body(event: Mapping[str, Any]) -> bytes:
    """The request's body. Its limit is that of the event, which carries it as it came or in base64."""
    text = event.get("body") or ""
    body = text.encode(errors="surrogatepass")  # half a surrogate pair is then no UTF-8 to the JSON parser
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send fewer rows or a job")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise RequestError(400, "the body is not the base64 that it says it is") from None


def _path(event: Mapping[str, Any]) -> str:
    """The path below the stage. `resource` has it without the base path of a custom domain."""
    path = str(event.get("resource") or event.get("path") or "")
    for name, value in (event.get("pathParameters") or {}).items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}+}}", value)
    return unquote(path)
