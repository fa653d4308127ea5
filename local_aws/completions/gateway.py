"""What ministack's API Gateway lacks: the headers of backends, and metrics."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.error import HTTPError

from .metrics import record

# Of an answer that is passed on; the gateway's own server sets them anew.
_OF_ONE_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


def complete_proxies() -> None:
    """Let an HTTP proxy pass on the headers of its backend, and tell one that is down from one that is slow:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
    ministack keeps the media type alone, not even that of an error, and has one answer for all failures.
    """
    from ministack.services import apigateway_v1

    ask, proxy = apigateway_v1._urlopen_async, apigateway_v1._invoke_http_proxy_v1
    heard: ContextVar[dict[str, str]] = ContextVar("heard")
    failure: ContextVar[str] = ContextVar("failure")

    async def asked(*request: Any) -> tuple[int, dict[str, str], bytes]:
        try:
            status, headers, body = await ask(*request)
        except HTTPError as error:
            status, headers, body = error.code, dict(error.headers), error.read()
        except TimeoutError:
            failure.set("INTEGRATION_TIMEOUT")
            raise
        heard.set({name.lower(): value for name, value in headers.items() if name.lower() not in _OF_ONE_HOP})
        return status, headers, body

    async def proxied(*request: Any) -> Any:
        heard.set({})
        failure.set("INTEGRATION_FAILURE")
        answer = await proxy(*request)
        if not isinstance(answer, tuple):
            return apigateway_v1._gw_error(failure.get(), "the backend gave no answer")
        status, headers, body = answer
        return status, {"content-type": headers["Content-Type"], **heard.get()}, body

    apigateway_v1._urlopen_async, apigateway_v1._invoke_http_proxy_v1 = asked, proxied


def complete_requests() -> None:
    """Metrics of each request, of the stage and, where its method settings say so, of the route:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    """
    from ministack.services import apigateway_v1

    execute = apigateway_v1._execute_in_scope
    integration_ms: ContextVar[float | None] = ContextVar("integration_ms")

    def timed(invoke: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def invoked(*request: Any, **more: Any) -> Any:
            began = time.monotonic()
            try:
                return await invoke(*request, **more)
            finally:
                integration_ms.set((time.monotonic() - began) * 1e3)

        return invoked

    async def executed(request: dict[str, Any], api_id: str, stage: str, method: str, *rest: Any) -> Any:
        integration_ms.set(None)
        began = time.monotonic()
        answer = await execute(request, api_id, stage, method, *rest)
        if isinstance(answer, apigateway_v1._GatewayError):
            answer = apigateway_v1._gateway_error_response(answer, request)
        if request["stage"]:
            place = {"ApiName": apigateway_v1._rest_apis[api_id]["name"], "Stage": stage}
            values = _values(answer[0], (time.monotonic() - began) * 1e3, integration_ms.get())
            settings = (request["stage"].get("methodSettings") or {}).get("*/*", {})
            route = {"Method": method, "Resource": request["resource_path"]}
            for name, value in values.items():
                record("AWS/ApiGateway", name, value, **place)
                if settings.get("metricsEnabled") and request["resource_path"]:
                    record("AWS/ApiGateway", name, value, **place, **route)
        return answer

    apigateway_v1._execute_in_scope = executed
    for name in ("_invoke_lambda_proxy_v1", "_invoke_lambda_custom_v1", "_invoke_http_proxy_v1"):
        setattr(apigateway_v1, name, timed(getattr(apigateway_v1, name)))


def _values(status: int, latency_ms: float, integration_ms: float | None) -> Mapping[str, float]:
    values = {
        "Count": 1,
        "4XXError": int(400 <= status < 500),
        "5XXError": int(status >= 500),
        "Latency": round(latency_ms),
    }
    return values if integration_ms is None else values | {"IntegrationLatency": round(integration_ms)}
