"""Integrations with what the embedded AWS does not have, led to the local processes that stand for it.

A private integration (VPC link) goes to the load balancer's port, a direct one with SageMaker to the port of
that endpoint: the container answers the route of the protocol itself that the integration names to it.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from local_aws import ports
from local_aws.values import Props

PortOf = Callable[[str], int]
"""Backend -> its port on 127.0.0.1 (`ports.port_of`)."""

_ENDPOINT = re.compile(r"arn:aws:apigateway:[^:]*:runtime\.sagemaker:path/endpoints/([^/]+)/invocations")
# `'POST /v2/models/m/infer'`, which SageMaker hands to the container as it is.
_ATTRIBUTES = "integration.request.header.X-Amzn-SageMaker-Custom-Attributes"


def local_integration(integration: Props, port_of: PortOf) -> Props:
    """The integration as the embedded gateway can call it; any other stays as it is."""
    uri = str(integration.get("uri", ""))
    if integration.get("connectionType") == "VPC_LINK":
        place = urlsplit(uri)
        return _proxy(integration["httpMethod"], port_of(ports.LOAD_BALANCER), place.path or "/")
    if found := _ENDPOINT.fullmatch(uri):
        method, _, path = str(integration["requestParameters"][_ATTRIBUTES]).strip("'").partition(" ")
        return _proxy(method, port_of(ports.endpoint(found[1])), path)
    return integration


def _proxy(method: str, port: int, path: str) -> Props:
    return {"type": "HTTP_PROXY", "httpMethod": method, "uri": f"http://127.0.0.1:{port}{path}"}
