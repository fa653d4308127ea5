"""The Lambda front: API Gateway REST proxy events in, Open Inference Protocol answers out.

A model that could not be loaded in the init phase is tried again at every request.
"""

import base64
import binascii
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from serving import api, golden, logs, oip, tracing
from serving.api import Answer
from serving.errors import RequestError, ServingError
from serving.served import ServedModel

# Lambda's limit for a synchronous request and for its answer:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_BODY_BYTES = 6 * 2**20

logger = logging.getLogger(__name__)


class LambdaFront:
    """Answers the events of one function. `served`: its model."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._cold = True

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an API Gateway proxy event, or {"golden": true} with the outcome of the golden requests."""
        if not isinstance(event, dict):
            event = {}
        began, started = time.time(), time.perf_counter()
        self._served.load()
        if event.get("golden") is True:
            return self._golden()
        answer = self._answer(event)
        gateway = event.get("requestContext") or {}
        request_id = gateway.get("requestId") or context.aws_request_id
        tenant = (gateway.get("authorizer") or {}).get("tenant")
        logs.request(
            model=self._served.name,
            version=self._served.version,
            status=answer.status,
            duration_ms=(time.perf_counter() - started) * 1e3,
            rows=answer.rows,
            tokens=answer.tokens,
            metrics=True,
            tenant=tenant,
            used=event.get("httpMethod") == "POST",
            route=event.get("resource"),
            request_id=request_id,
            trace_id=tracing.trace_id(),
            cold_start=self._cold,
        )
        tracing.subsegment(
            "inference",
            began,
            answer.status,
            model=self._served.name,
            version=self._served.version,
            tenant=tenant,
            rows=answer.rows,
            cold_start=self._cold,
        )
        self._cold = False
        binary = answer.content_type != "application/json"
        return {
            "statusCode": answer.status,
            "headers": {"content-type": answer.content_type, "x-request-id": request_id, **answer.headers},
            "body": (base64.b64encode(answer.body) if binary else answer.body).decode(),
            "isBase64Encoded": binary,
        }

    def _answer(self, event: Mapping[str, Any]) -> Answer:
        try:
            body = _body(event)
        except RequestError as error:
            return api.refusal(error, _path(event))
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        answer = api.handle(
            self._served,
            event.get("httpMethod", ""),
            _path(event),
            body,
            headers.get(oip.JSON_LENGTH_HEADER),
        )
        base64_share = 1 if answer.content_type == "application/json" else 4 / 3
        if len(answer.body) * base64_share > MAX_BODY_BYTES:
            large = RequestError(413, f"the answer is larger than {MAX_BODY_BYTES} bytes; send fewer rows")
            return api.refusal(large, _path(event))
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
                "slowest_ms": round(report.slowest_ms, 3),
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
