"""Integrations with what the embedded AWS does not have, led to the local processes that stand for it.

A private integration (VPC link) goes to the load balancer's port, a direct one with SageMaker to the port of
that endpoint: an infer request to the container's own route, metadata and readiness to the route of the
protocol that the integration names. The headers that an integration maps are mapped here, too.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from local_aws import ports
from local_aws.values import Props

PortOf = Callable[[str], int]
"""Backend -> its port on 127.0.0.1 (`ports.port_of`)."""

_ENDPOINT = re.compile(r"arn:aws:apigateway:[^:]*:runtime\.sagemaker:path/endpoints/([^/]+)/invocations")
# `'GET /v2/models/m'`, which SageMaker hands to the container as it is; of an infer request, the tenant.
_ATTRIBUTES = "integration.request.header.X-Amzn-SageMaker-Custom-Attributes"


def local_integration(integration: Props, port_of: PortOf) -> Props:
    """The integration as the embedded gateway can call it; any other stays as it is."""
    uri = str(integration.get("uri", ""))
    if integration.get("connectionType") == "VPC_LINK":
        place = urlsplit(uri)
        return _proxy(integration, integration["httpMethod"], port_of(ports.LOAD_BALANCER), place.path or "/")
    if found := _ENDPOINT.fullmatch(uri):
        route = re.fullmatch(r"'(GET) (.*)'", str(integration["requestParameters"][_ATTRIBUTES]))
        method, path = route.groups() if route else ("POST", "/invocations")
        return _proxy(integration, method, port_of(ports.endpoint(found[1])), path)
    return integration


def _proxy(integration: Props, method: str, port: int, path: str) -> Props:
    mapped = {"requestParameters": given} if (given := integration.get("requestParameters")) else {}
    return {"type": "HTTP_PROXY", "httpMethod": method, "uri": f"http://127.0.0.1:{port}{path}", **mapped}
