"""The cluster's router: one address for all its models, which need not all be running.

    /v2/models/{m}/...                             to a replica of the model, the one with the least to do
    /v1/chat/completions, completions, embeddings  to the model that the body names; language models through
                                                   the balancer, which knows what each replica has cached
    /v1/models, /v2/models                         what there is
    /v2/health/{live,ready}, /metrics              about the router itself

A model without a replica is answered for at once, with 503, Retry-After and where to leave a job instead; one
message in its jobs queue then wakes it. A name that nothing is known of never reaches the balancer: it would
pass the request to any model.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from serving import openai, router_usage
from serving.replicas import Replicas
from serving.router_asgi import Message, Receive, Refused, Send, read, send_json, until_gone
from serving.router_usage import Meter
from serving.usage_ledger import Ledger

Wake = Callable[[str], object]
"""Puts the wake message into a queue, given its URL; may take a while, and may fail."""

OPENAI_ROUTES = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})
WAKE_AGAIN_S = 60
"""How long one wake message lasts; also what clients are told to wait."""
# An answer may take minutes between two of its parts; a pod that is there takes a connection at once.
_TIMEOUT = httpx.Timeout(300, connect=2)
# A replica that has gone, and one that goes before it begins to answer.
_LEFT = (httpx.ConnectError, httpx.ConnectTimeout)
_DIED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what the client library sets itself.
_HOP_BY_HOP = frozenset(
    b"connection content-length host keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A model of the cluster."""

    engine: str
    url: str
    """Its host resolves to the replicas that are ready."""
    queue_url: str
    openai: bool


class Router:
    """The ASGI application. `wake` runs in a thread; `replicas` finds a model's replicas; `ledger` takes down
    what tenants use.

    Paths may begin with `prefix`: a private integration passes the name of the gateway's stage on.
    """

    def __init__(
        self,
        models: Mapping[str, Target],
        balancer_url: str | None,
        wake: Wake,
        replicas: Callable[[str], Awaitable[Sequence[str]]] | None = None,
        prefix: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        self._models, self._balancer_url, self._prefix = models, balancer_url, prefix
        self._wake, self._replicas, self._ledger = wake, replicas or Replicas(), ledger
        self._in_flight: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()  # replica -> requests in flight
        self._started = int(time.time())
        self._woken: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, limits=httpx.Limits(max_connections=None))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] == "http":
            try:
                await self._http(scope, receive, send)
            except Refused as refused:
                await send_json(send, refused.status, orjson.dumps(refused.document), refused.headers)
        elif scope["type"] == "lifespan":
            await receive()
            if self._ledger:
                self._ledger.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._client.aclose()
            if self._ledger:
                await self._ledger.close()
            await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if self._prefix and path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
        scope = {**scope, "path": path}
        if method == "GET" and (page := self._own_page(path)) is not None:
            await send_json(send, 200, page, {"content-type": "text/plain"} if path == "/metrics" else {})
            return
        tenant = router_usage.tenant_of(scope["headers"])
        body = await read(receive)
        inputs, hidden = 0, False
        if path in OPENAI_ROUTES and method == "POST":
            document = _document(body)
            model = self._model_of(document)
            inputs = router_usage.inputs_of(document)
            if self._models[model].engine == "vllm":
                body, hidden = router_usage.asking_for_usage(body, document)
        elif path.startswith("/v2/models/"):
            model = path.split("/")[3]
            if model not in self._models:
                raise Refused(404, {"error": f"no model {model!r} on this cluster"})
        else:
            raise Refused(404, {"error": "no such route"})
        self._in_flight[model] += 1
        meter = Meter(send, inputs, hidden=hidden)
        try:
            await self._forward(model, scope, body, receive, meter)
        finally:
            self._in_flight[model] -= 1
        asked = method == "POST" and (path in OPENAI_ROUTES or path.endswith("/infer"))
        if asked and self._ledger and tenant and (used := meter.used()):
            self._ledger.add(tenant, model, used)

    def _own_page(self, path: str) -> bytes | None:
        """Answers about the router; None for all other routes."""
        match path:
            case "/v2/health/live":
                return orjson.dumps({"live": True})
            case "/v2/health/ready":
                return orjson.dumps({"ready": True})
            case "/v2/models":
                return orjson.dumps({"models": sorted(self._models)})
            case "/v1/models":
                names = sorted(name for name in self._models if self._openai(name))
                data = [openai.model_document(name, self._started) for name in names]
                return orjson.dumps({"object": "list", "data": data})
            case "/metrics":
                name = "router_requests_in_flight"
                lines = [f'{name}{{model="{model}"}} {self._in_flight[model]}' for model in self._models]
                return "\n".join([f"# TYPE {name} gauge", *lines, ""]).encode()
        return None

    def _openai(self, name: Any) -> bool:
        return isinstance(name, str) and name in self._models and self._models[name].openai

    def _model_of(self, document: Mapping[str, Any]) -> str:
        """The model that an OpenAI request names."""
        model = document.get("model")
        if not self._openai(model):
            names = ", ".join(name for name in sorted(self._models) if self._openai(name))
            raise _openai_refusal(404, f"no model {model!r} here; there is {names or 'none'}")
        return str(model)

    async def _forward(self, model: str, scope: Message, body: bytes, receive: Receive, send: Send) -> None:
        """Pass the request on and the answer back, part by part; stop as soon as the client has gone."""
        passing = asyncio.create_task(self._pass(model, scope, body, send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                await passing
        finally:
            for task in (passing, gone):
                task.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)

    async def _pass(self, model: str, scope: Message, body: bytes, send: Send) -> None:
        target = self._models[model]
        replicas = list(await self._replicas(target.url))
        if replicas and self._balancer_url and target.engine == "vllm":
            replicas = [self._balancer_url]
        headers = [(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP]
        path = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        )
        died = 0
        for replica in sorted(replicas, key=lambda url: self._busy[url]):
            request = self._client.build_request(
                scope["method"], replica + path, headers=headers, content=body
            )
            self._busy[replica] += 1
            try:
                try:
                    answer = await self._client.send(request, stream=True)
                except _LEFT:
                    continue  # nothing was sent to it
                except _DIED as error:
                    # A prediction changes nothing, so another is asked; but what ends two may end them all.
                    died += 1
                    logger.warning("%s: a replica ended under a request: %r", model, error)
                    if died == 2:
                        break
                    continue
                try:
                    await _relay(answer, send)
                finally:
                    await answer.aclose()
                return
            finally:
                self._busy[replica] -= 1
        self._wake_up(model)
        raise Refused(
            503,
            {
                "error": f"{model} has no replica; it is being started. Try again, or leave a job",
                "jobs": f"/v2/models/{model}/jobs",
            },
            {"retry-after": str(WAKE_AGAIN_S)},
        )

    def _wake_up(self, model: str) -> None:
        """One message for all who ask within a minute."""
        if time.monotonic() < self._woken.get(model, 0):
            return
        self._woken[model] = time.monotonic() + WAKE_AGAIN_S
        task = asyncio.create_task(self._send_wake(model))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_wake(self, model: str) -> None:
        try:
            await asyncio.to_thread(self._wake, self._models[model].queue_url)
        except Exception:
            self._woken.pop(model, None)  # the next request tries again
            logger.exception("%s could not be woken", model)


def _document(body: bytes) -> Mapping[str, Any]:
    """An OpenAI request; empty where the body is no object, which names no model then."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _openai_refusal(400, "the body is not JSON") from None
    return document if isinstance(document, dict) else {}


def _openai_refusal(status: int, message: str) -> Refused:
    return Refused(status, openai.error_document(status, message))


async def _relay(answer: httpx.Response, send: Send) -> None:
    """Pass an answer on; where it breaks off, the error ends the client's connection, too."""
    # As it came: an answer that is compressed stays so.
    headers = [(name.lower(), value) for name, value in answer.headers.raw]
    kept = [(name, value) for name, value in headers if name == b"content-length" or name not in _HOP_BY_HOP]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
    async for part in answer.aiter_raw():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
