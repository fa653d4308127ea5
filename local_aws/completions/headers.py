"""What an HTTP proxy integration adds to a request's headers, put into ministack, which maps its path alone.

A mapped header takes the place of the client's, however that is spelled. Known sources are a text in quotes
and what the authorizer's context holds; a header from any other is left out.
https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

_HEADER, _CONTEXT = "integration.request.header.", "context.authorizer."


def complete_headers() -> None:
    """Let ministack map headers."""
    from ministack.services import apigateway_v1

    authorize, proxy = apigateway_v1._authorize_request_v1, apigateway_v1._invoke_http_proxy_v1
    told: ContextVar[Mapping[str, Any]] = ContextVar("told")

    async def authorized(*request: Any) -> Any:
        error, context = await authorize(*request)
        told.set(context or {})
        return error, context

    async def proxied(
        integration: Any, path: str, method: str, headers: Mapping[str, str], *rest: Any
    ) -> Any:
        sources = integration.get("requestParameters") or {}
        sent = mapped(headers, sources, told.get({}))
        return await proxy(integration, path, method, sent, *rest)

    apigateway_v1._authorize_request_v1, apigateway_v1._invoke_http_proxy_v1 = authorized, proxied


def mapped(
    headers: Mapping[str, str], sources: Mapping[str, str], context: Mapping[str, Any]
) -> dict[str, str]:
    """A client's headers with those that the integration maps."""
    given = {
        name.removeprefix(_HEADER): _value(source, context)
        for name, source in sources.items()
        if name.startswith(_HEADER)
    }
    taken = {name.lower() for name in given}
    kept = {name: value for name, value in headers.items() if name.lower() not in taken}
    return kept | {name: value for name, value in given.items() if value is not None}


def _value(source: str, context: Mapping[str, Any]) -> str | None:
    if source.startswith("'") and source.endswith("'"):
        return source[1:-1]
    found = context.get(source.removeprefix(_CONTEXT)) if source.startswith(_CONTEXT) else None
    return None if found is None else str(found)
