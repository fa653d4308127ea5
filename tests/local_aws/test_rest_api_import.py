"""Importing a document into a real REST API: only what differs is touched, whatever was there before."""

import functools
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from local_aws.operations import CallFailed
from local_aws.rest_api_import import import_document
from tests.local_aws.conftest import EmbeddedAws
from tests.local_aws.test_rest_api import DOCUMENT, changed

pytestmark = pytest.mark.integration
READS = ("get_authorizers", "get_request_validators", "get_models", "get_resources", "get_gateway_responses")


class Api:
    """A REST API with the operations that were called on it; `fail_at` stops the import before one."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._run = functools.partial(aws.run, "apigateway")
        self.id = self._run("create_rest_api", name="import")["id"]
        self.url = f"{aws.environment['LOCAL_AWS_ENDPOINT']}/_aws/execute-api/{self.id}/live"
        self.calls: list[str] = []
        self.fail_at = ""

    def run(self, operation: str, **parameters: Any) -> Any:
        if operation == self.fail_at:
            raise CallFailed(operation, "Killed", "here")
        if operation not in READS:
            self.calls.append(operation)
        return self._run(operation, **parameters)

    def import_(self, document: dict[str, Any]) -> list[str]:
        """What was called, reads aside."""
        self.calls.clear()
        import_document(self.run, self.id, document)
        return list(self.calls)

    def methods(self) -> dict[tuple[str, str], Any]:
        resources = self._run("get_resources", restApiId=self.id, embed=["methods"])["items"]
        return {
            (resource["path"], verb): method
            for resource in resources
            for verb, method in resource.get("resourceMethods", {}).items()
        }

    def deploy(self) -> None:
        self._run("create_deployment", restApiId=self.id, stageName="live")

    def ask(self, verb: str, path: str) -> tuple[int, bytes]:
        try:
            request = urllib.request.Request(self.url + path, method=verb)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def delete(self) -> None:
        self._run("delete_rest_api", restApiId=self.id)


@pytest.fixture
def api(embedded_aws: EmbeddedAws) -> Iterator[Api]:
    made = Api(embedded_aws)
    yield made
    made.delete()


def test_the_imported_api_answers_over_http(api: Api) -> None:
    api.import_(DOCUMENT)
    api.deploy()
    assert api.ask("GET", "/live")[0] == 200
    assert api.ask("POST", "/models/m/infer") == (401, b"{}")  # the body is the document's
    assert set(api.methods()) == {
        ("/live", "GET"),
        ("/models/{model}/infer", "POST"),
        ("/models/{model}/infer", "GET"),
    }


def test_the_same_document_again_changes_nothing(api: Api) -> None:
    api.import_(DOCUMENT)
    assert api.import_(DOCUMENT) == []


@pytest.mark.parametrize(
    ("path", "value", "calls"),
    [
        (
            "paths|/live|get|x-amazon-apigateway-integration|responses|default|responseTemplates",
            {"application/json": '{"live": true}'},
            ["put_integration_response"],
        ),
        (
            "paths|/models/{model}/infer|post|x-amazon-apigateway-integration|uri",
            "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/g/invocations",
            ["put_integration"],
        ),
        ("paths|/models/{model}/infer|get|operationId", "ready", ["put_method", "put_integration"]),
        (
            "components|securitySchemes|token|x-amazon-apigateway-authorizer|authorizerResultTtlInSeconds",
            60,
            ["update_authorizer"],
        ),
        ("components|schemas|Part|required", ["a"], ["update_model"]),
        (
            "x-amazon-apigateway-request-validators|all|validateRequestBody",
            False,
            ["update_request_validator"],
        ),
        (
            "x-amazon-apigateway-gateway-responses|UNAUTHORIZED|statusCode",
            "403",
            ["put_gateway_response"],
        ),
        ("x-amazon-apigateway-gateway-responses|UNAUTHORIZED", None, ["delete_gateway_response"]),
        ("paths|/models/{model}/infer|get", None, ["delete_method"]),
        ("paths|/live", None, ["delete_resource"]),
    ],
)
def test_a_change_touches_only_what_it_changes(api: Api, path: str, value: Any, calls: list[str]) -> None:
    api.import_(DOCUMENT)
    document = changed(path, value)
    assert api.import_(document) == calls
    assert api.import_(document) == []


def test_an_open_method_opens_and_a_closed_one_closes(api: Api) -> None:
    api.import_(DOCUMENT)
    api.deploy()
    api.import_(changed("paths|/live|get|security", [{"key": []}]))
    assert api.ask("GET", "/live")[0] == 403
    api.import_(DOCUMENT)
    assert api.ask("GET", "/live")[0] == 200


@pytest.mark.parametrize("at", ["create_model", "create_resource", "put_integration", "put_gateway_response"])
def test_an_import_that_was_cut_short_is_completed_by_the_next(api: Api, at: str) -> None:
    api.fail_at = at
    with pytest.raises(CallFailed):
        api.import_(DOCUMENT)
    api.fail_at = ""
    assert at in api.import_(DOCUMENT)
    assert api.import_(DOCUMENT) == []
    assert all(method.get("methodIntegration") for method in api.methods().values())


def test_a_removed_path_is_gone_and_the_others_answer_all_along(api: Api) -> None:
    api.import_(DOCUMENT)
    api.deploy()
    api.import_(changed("paths|/models/{model}/infer", None))
    assert api.ask("GET", "/live")[0] == 200
    assert list(api.methods()) == [("/live", "GET")]
