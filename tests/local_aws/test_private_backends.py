"""The embedded gateway in front of the local processes that stand for private backends."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from components.cluster_integration import model_integrations
from components.gateway_responses import gateway_responses
from components.sagemaker_integration import integrations
from local_aws.rest_api_import import import_document
from tests.local_aws.conftest import EmbeddedAws
from tests.local_aws.http_backend import Quiet, listening
from tests.local_aws.test_rest_api_import import Api

pytestmark = pytest.mark.integration
BACKENDS = {
    "eks": model_integrations(model="m", url="http://lb", vpc_link_id="v", load_balancer_arn="arn:lb"),
    "sagemaker": integrations(model="m", endpoint_name="e", region="us-east-1", credentials_arn="arn:role"),
}


class Cold(Quiet, BaseHTTPRequestHandler):
    """A model that is ready, and cold when it is asked for a prediction."""

    def do_GET(self) -> None:
        self.answer(200)

    def do_POST(self) -> None:
        self.answer(503)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Retry-After", "60")
        self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def port() -> Iterator[int]:
    with listening(Cold) as port:
        yield port


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:  # bound and not listening: a connection is refused
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def asked(aws: EmbeddedAws, backend: str, port: int, verb: str = "POST") -> tuple[int, Any]:
    """Status and headers of what an API says whose backend has a port."""
    api = Api(aws)
    operation = {"GET": "ready", "POST": "infer"}[verb]
    paths = {"/m": {verb.lower(): {"x-amazon-apigateway-integration": BACKENDS[backend][operation]}}}
    document = {"paths": paths, "x-amazon-apigateway-gateway-responses": gateway_responses()}
    import_document(api.run, api.id, document, lambda _: port)
    api.deploy()
    try:
        request = urllib.request.Request(f"{api.url}/m", method=verb, data=b"{}" if verb == "POST" else None)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers
    finally:
        api.delete()


@pytest.mark.parametrize(("verb", "status"), [("GET", 200), ("POST", 503)])
def test_what_a_backend_says_arrives_with_its_headers(
    embedded_aws: EmbeddedAws, port: int, verb: str, status: int
) -> None:
    got, headers = asked(embedded_aws, "eks", port, verb)
    assert got == status
    assert headers.get_all("Retry-After") == ["60"]
    assert headers.get_all("Content-Type") == ["application/problem+json"]
    assert len(headers.get_all("Date")) == 1
    assert len(headers.get_all("Content-Length")) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_down_is_answered_for_as_one_that_is_cold(
    embedded_aws: EmbeddedAws, closed_port: int, backend: str
) -> None:
    status, headers = asked(embedded_aws, backend, closed_port)
    assert (status, headers["Retry-After"]) == (503, "5")
    assert headers["Content-Type"] == "application/json"
