"""Headers that an integration maps: what the gateway knows takes the place of what a client says."""

import http.client
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.cluster_integration import model_integrations, openai_integrations
from components.sagemaker_integration import integrations
from local_aws.completions.headers import mapped
from local_aws.rest_api_import import import_document
from tests.local_aws.conftest import EmbeddedAws
from tests.local_aws.http_backend import Quiet, listening
from tests.local_aws.test_rest_api_import import Api

TENANT = "integration.request.header.X-Inference-Tenant"
SOURCES = {TENANT: "context.authorizer.tenant"}
PLACE: dict[str, Any] = {"vpc_link_id": "v", "load_balancer_arn": "arn:lb"}
EKS = model_integrations(model="m", url="http://lb", **PLACE)
OPENAI = openai_integrations(url="http://lb", **PLACE)
SAGEMAKER = integrations(model="m", endpoint_name="e", region="us-east-1", credentials_arn="arn:role")


@pytest.mark.parametrize("spelled", ["X-Inference-Tenant", "x-inference-tenant", "X-INFERENCE-TENANT"])
@pytest.mark.parametrize("context", [{"tenant": "acme"}, {}])
def test_a_clients_own_value_never_counts(spelled: str, context: dict[str, str]) -> None:
    sent = mapped({spelled: "globex", "Accept": "*/*"}, SOURCES, context)
    assert "globex" not in sent.values()
    assert sent.get("X-Inference-Tenant") == context.get("tenant")
    assert sent["Accept"] == "*/*"


def test_texts_are_mapped_and_what_is_not_known_is_left_out() -> None:
    sources = {
        "integration.request.header.A": "'a text'",
        "integration.request.header.B": "context.requestId",
        "integration.request.path.c": "'c'",
    }
    assert mapped({"b": "mine"}, sources, {"requestId": "no"}) == {"A": "a text"}


class Echo(Quiet, BaseHTTPRequestHandler):
    """A backend that says how it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = {"path": self.path, "headers": self.headers.items(), "body": body.hex()}
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()


@pytest.fixture
def port() -> Iterator[int]:
    with listening(Echo) as port:
        yield port


@pytest.mark.integration
@pytest.mark.parametrize(
    ("integration", "header", "path"),
    [
        (EKS["infer"], "x-inference-tenant", "/v2/models/m/infer"),
        (OPENAI["/v1/embeddings"], "x-inference-tenant", "/v1/embeddings"),
        (SAGEMAKER["infer"], "x-amzn-sagemaker-custom-attributes", "/invocations"),
    ],
)
def test_no_client_says_to_a_backend_whose_request_it_is(
    embedded_aws: EmbeddedAws, port: int, integration: Any, header: str, path: str
) -> None:
    api = Api(embedded_aws)
    document = {"paths": {"/m": {"post": {"x-amazon-apigateway-integration": integration}}}}
    import_document(api.run, api.id, document, lambda _: port)
    api.deploy()
    place = urlsplit(f"{api.url}/m")
    connection = http.client.HTTPConnection(place.netloc, timeout=20)
    try:
        body = bytes(range(256))
        connection.request(
            "POST", place.path, body, {header: "globex", "Content-Type": "application/octet-stream"}
        )
        said = json.loads(connection.getresponse().read())
    finally:
        connection.close()
        api.delete()
    # Nobody was authorized here, so there is no tenant.
    assert [value for name, value in said["headers"] if name.lower() == header] == []
    assert (said["path"], bytes.fromhex(said["body"])) == (path, body)


@pytest.mark.integration
def test_questions_about_an_endpoints_model_go_to_their_routes(embedded_aws: EmbeddedAws, port: int) -> None:
    api = Api(embedded_aws)
    paths = {"/m": {"get": {"x-amazon-apigateway-integration": SAGEMAKER["ready"]}}}
    import_document(api.run, api.id, {"paths": paths}, lambda _: port)
    api.deploy()
    status, said = api.ask("GET", "/m")
    api.delete()
    assert (status, json.loads(said)["path"]) == (200, "/v2/models/m/ready")
