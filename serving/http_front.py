"""The HTTP front: an ASGI application for the cluster and for SageMaker.

    /v2, /v2/health/{live,ready}, /v2/models, /v2/models/{m}...     Open Inference Protocol
    /v1/embeddings, /v1/models[/{m}]                                OpenAI, where the model embeds texts
    GET /ping, POST /invocations                                    SageMaker's container contract
    GET /metrics                                                    Prometheus

It speaks ASGI itself: the protocol's router is `api`, and a web framework over it took a quarter more of a
processor's time for each request (269 against 208 us).
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import orjson

from serving import api, logs, metrics, oip, openai, usage
from serving.api import Answer
from serving.errors import ModelNotFound, Overloaded, RequestError, ServingError
from serving.served import ServedModel

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SERVER_NAME = "inference-platform"
# Longest wait between two attempts to load a model, seconds.
RETRY_S = 30
# How much of a refused body is read, so that its sender gets to see the answer: bytes, and seconds for it.
_DISCARD_BYTES, _DISCARD_S = 64 * 2**20, 5

# What SageMaker hands through from whoever asks: `GET /v2/models/m[/ready]`.
_NAMED_GET = re.compile(rb"GET (/v2/models/[^ ]+)")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# SageMaker passes no headers on but the content type and the custom attributes: a route, or the tenant whose
# infer request it is. The convention is Triton's:
# https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
_BINARY_TYPE = "application/vnd.sagemaker-triton.binary+json;json-header-size="

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes on: bytes of a body, requests at once, seconds for a body to arrive."""

    max_body_bytes: int = 16 * 2**20
    max_in_flight: int = 64
    body_s: float = 30.0


class ClientGone(Exception):
    """The client left before its request was complete."""


class HttpFront:
    """Answers HTTP requests. `served`: its model, which is loaded in the background from the start on."""

    def __init__(self, served: ServedModel, limits: Limits) -> None:
        self._served = served
        self._limits = limits
        self._metrics = metrics.Metrics(served.name)
        self._started = int(time.time())
        self._in_flight = 0
        self._threads: ThreadPoolExecutor | None = None
        self.draining = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        loading = asyncio.create_task(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        loading.cancel()
        if self._threads is not None:
            self._threads.shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> None:
        """Load the model, again and again until it is there, and choose how to run it."""
        wait_s = 1
        while not self._served.loaded:
            await asyncio.to_thread(self._served.load)
            if not self._served.loaded:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S)
        model = self._served.get(self._served.name, None)
        await asyncio.to_thread(self._served.time, model)
        logger.info("serving %s", model, extra={"fields": {"inline": not self._served.slow}})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(8).hex().encode()
        answer = self._own_route(scope["method"], scope["path"])
        counted = answer is None
        if answer is None:
            try:
                answer = await self._model_route(scope["method"], scope["path"], headers, receive)
            except ClientGone:
                return
        await self._send(answer, request_id, send)
        if counted:
            seconds = time.perf_counter() - started
            version = answer.version or self._served.version
            self._metrics.observe(version, answer.status, seconds, answer.rows)
            logs.request(
                model=self._served.name,
                version=version,
                status=answer.status,
                duration_ms=seconds * 1e3,
                rows=answer.rows,
                tokens=answer.tokens,
                metrics=False,
                tenant=_tenant(scope["method"], scope["path"], headers),
                used=True,
                request_id=request_id.decode(),
            )

    def _own_route(self, method: str, path: str) -> Answer | None:
        """Answers about the server, which are given however busy it is; None for all other routes."""
        ready = self._served.loaded and not self.draining
        match path if method == "GET" else "":
            case "/v2/health/live":
                return _json(200, {"live": True})
            case "/v2/health/ready":
                return _json(200 if ready else 503, {"ready": ready})
            case "/ping":
                return Answer(200 if ready else 503, b"")
            case "/metrics":
                page = self._metrics.render(self._served.version, in_flight=self._in_flight, ready=ready)
                return Answer(200, page, content_type=metrics.CONTENT_TYPE)
            case "/v2":
                about = {"name": SERVER_NAME, "version": self._served.version, "extensions": oip.EXTENSIONS}
                return _json(200, about)
            case "/v2/models":
                return _json(200, {"models": [self._served.name]})
            case "/v1/models":
                return _json(200, {"object": "list", "data": self._openai_models()})
            case path if path.startswith("/v1/models/"):
                found = [
                    each for each in self._openai_models() if each["id"] == path.removeprefix("/v1/models/")
                ]
                return (
                    _json(200, found[0]) if found else api.refusal(ModelNotFound("no such model here"), path)
                )
        return None

    def _openai_models(self) -> list[dict[str, Any]]:
        """The model, where it is loaded and embeds texts."""
        if not self._served.loaded:
            return []
        signature = self._served.get(self._served.name, None).manifest.signature
        return [openai.model_document(self._served.name, self._started)] if openai.embeds(signature) else []

    async def _model_route(
        self, method: str, path: str, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer:
        """Answers of the model, as many at once as the limits say."""
        if self._in_flight >= self._limits.max_in_flight:
            await _discard(receive)
            return api.refusal(Overloaded(self._limits.max_in_flight), path)
        self._in_flight += 1
        try:
            body = await self._read(headers.get(b"content-length"), receive)
            json_length = headers.get(oip.JSON_LENGTH_HEADER.encode())
            length = None if json_length is None else json_length.decode("latin-1")
            if (method, path) == ("POST", "/invocations"):
                return await self._invocations(headers, body, length)
            return await self._run(method, path, body, length)
        except ServingError as error:
            return api.refusal(error, path)
        finally:
            self._in_flight -= 1

    async def _invocations(self, headers: dict[bytes, bytes], body: bytes, json_length: str | None) -> Answer:
        """SageMaker's only route: metadata or readiness where the custom attributes name them, else an infer
        request for the one model, with binary data by content type."""
        if asked := _NAMED_GET.fullmatch(headers.get(usage.ATTRIBUTES_HEADER, b"")):
            return await self._run("GET", asked[1].decode("latin-1"), b"", None)
        content_type = headers.get(b"content-type", b"")
        prefix, _, length = content_type.decode("latin-1").partition("json-header-size=")
        if f"{prefix}json-header-size=" == _BINARY_TYPE:
            json_length = length
        answer = await self._run("POST", f"/v2/models/{self._served.name}/infer", body, json_length)
        if (length := answer.headers.get(oip.JSON_LENGTH_HEADER, "")) != "":
            return replace(answer, headers={}, content_type=f"{_BINARY_TYPE}{length}")
        return answer

    async def _run(self, method: str, path: str, body: bytes, json_length: str | None) -> Answer:
        if not self._served.slow:
            return api.handle(self._served, method, path, body, json_length)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "infer")
        loop = asyncio.get_running_loop()
        arguments = (self._served, method, path, body, json_length)
        return await loop.run_in_executor(self._threads, api.handle, *arguments)

    async def _read(self, content_length: bytes | None, receive: Receive) -> bytes:
        """The request's body. Raises RequestError when it is too long or too slow, ClientGone."""
        limit = self._limits.max_body_bytes
        declared = int(content_length or 0)  # the HTTP parser lets digits through only
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_s):
                while max(declared, len(body)) <= limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    body += message.get("body", b"")
                    if not message.get("more_body") and len(body) <= limit:
                        return bytes(body)
        except TimeoutError:
            raise RequestError(408, f"the body did not arrive within {self._limits.body_s:g} s") from None
        await _discard(receive)
        raise RequestError(413, f"the body is larger than {limit} bytes; send fewer rows")

    async def _send(self, answer: Answer, request_id: bytes, send: Send) -> None:
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-request-id", request_id),
            *((name.encode(), value.encode()) for name, value in answer.headers.items()),
        ]
        if answer.rows:
            headers.append((usage.ROWS_HEADER, str(answer.rows).encode()))
            headers.append((usage.TOKENS_HEADER, str(answer.tokens).encode()))
        if self.draining or answer.status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def _discard(receive: Receive) -> None:
    """Read the rest of a body without keeping it, within bounds: closing while it comes loses the answer."""
    size = 0
    try:
        async with asyncio.timeout(_DISCARD_S):
            while size < _DISCARD_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _tenant(method: str, path: str, headers: dict[bytes, bytes]) -> str | None:
    """Whose request it is, on an endpoint: only SageMaker asks there. In a cluster the router keeps count."""
    attributes = headers.get(usage.ATTRIBUTES_HEADER, b"")
    return usage.tenant_in(attributes) if (method, path) == ("POST", "/invocations") else None


def _json(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, orjson.dumps(document))
