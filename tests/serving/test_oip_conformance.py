"""The protocol's conformance checks on the Lambda handler and on the HTTP server."""

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from serving.lambda_front import LambdaFront
from serving.manifest import FILE_NAME, Manifest
from serving.runtime import Model
from serving.served import ServedModel
from tests import oip_conformance
from tests.oip_conformance import Answer, Front
from tests.serving.http_server import Server


class Context:
    aws_request_id = "id"


@pytest.fixture(scope="module")
def fronts(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Front]]:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    served = ServedModel("digits", "v1", lambda: Model(manifest, (digits / manifest.file).read_bytes()))
    handler = LambdaFront(served)

    def invoke(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """As API Gateway does: text as it is, other bodies in base64."""
        binary = headers.get("content-type") == "application/octet-stream"
        event = {
            "httpMethod": method,
            "path": path,
            "headers": dict(headers),
            "body": (base64.b64encode(body) if binary else body).decode(),
            "isBase64Encoded": binary,
        }
        got = handler(event, Context())
        answered = base64.b64decode(got["body"]) if got["isBase64Encoded"] else got["body"].encode()
        return Answer(got["statusCode"], got["headers"], answered)

    server = Server(tmp_path_factory.mktemp("server") / "log", MODEL_DIR=str(digits))

    def ask(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        got = server.http.request(method, path, content=body, headers=dict(headers))
        return Answer(got.status_code, got.headers, got.content)

    try:
        server.wait()
        # The gateway in front of a function answers for the server itself.
        own = frozenset({"server_health", "server_metadata", "binary_data"})
        yield {"lambda": Front(invoke, own), "http": Front(ask)}
    finally:
        server.end()


@pytest.mark.parametrize("front", ["lambda", "http"])
@pytest.mark.parametrize("check", oip_conformance.CHECKS, ids=lambda check: check.__name__)
def test_the_front_does_what_the_protocol_says(
    fronts: Mapping[str, Front], front: str, check: Callable[[Front], Any]
) -> None:
    if check.__name__ in fronts[front].without:
        assert front == "lambda"
        return
    check(fronts[front])


def test_the_lambda_handler_exchanges_binary_data(fronts: Mapping[str, Front]) -> None:
    oip_conformance.exchange_binary(fronts["lambda"])
