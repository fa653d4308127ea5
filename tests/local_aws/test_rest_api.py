"""From an OpenAPI document to a REST API: what it asks for, and what a change of it touches."""

import copy
import json
from typing import Any

import pytest

from components.api_routes import MODEL_OPERATIONS
from components.sagemaker_integration import integrations
from local_aws.rest_api import DocumentInvalid, settings, wanted
from local_aws.rest_api_import import import_document
from local_aws.values import Props

LAMBDA = {
    "type": "aws_proxy",
    "httpMethod": "POST",
    "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations",
    "credentials": "arn:aws:iam::1:role/gateway",
}
DOCUMENT: Props = {
    "openapi": "3.0.1",
    "info": {"title": "t", "description": "what it is"},
    "x-amazon-apigateway-api-key-source": "HEADER",
    "x-amazon-apigateway-binary-media-types": ["application/octet-stream"],
    "x-amazon-apigateway-request-validators": {
        "all": {"validateRequestBody": True, "validateRequestParameters": True}
    },
    "x-amazon-apigateway-request-validator": "all",
    "x-amazon-apigateway-gateway-responses": {
        "UNAUTHORIZED": {"statusCode": "401", "responseTemplates": {"application/json": "{}"}}
    },
    "components": {
        "schemas": {
            "Part": {"type": "object"},
            "Request": {"type": "object", "properties": {"part": {"$ref": "#/components/schemas/Part"}}},
        },
        "securitySchemes": {
            "token": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": {"type": "request", "authorizerUri": "arn:f"},
            },
            "pool": {
                "type": "oauth2",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": ["arn:p"]},
            },
            "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
        },
    },
    "paths": {
        "/live": {
            "get": {
                "responses": {"200": {"description": "ok"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {"default": {"statusCode": "200"}},
                },
            }
        },
        "/models/{model}/infer": {
            "parameters": [{"name": "model", "in": "path", "required": True}],
            "post": {
                "operationId": "infer",
                "security": [{"token": [], "key": []}],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}
                },
                "parameters": [{"name": "trace", "in": "query"}],
                "x-amazon-apigateway-integration": dict(LAMBDA),
            },
            "get": {"security": [{"pool": ["api/infer"]}], "x-amazon-apigateway-integration": dict(LAMBDA)},
        },
    },
}


def changed(path: str, value: Any) -> Props:
    """The document with one thing at `a|b|c` different; None removes it."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split("|")
    inner = document
    for name in parents:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return document


def test_a_method_carries_what_its_operation_says() -> None:
    method = wanted(DOCUMENT, "api1").methods["/models/{model}/infer", "POST"]
    assert method.settings == {
        "operationName": "infer",
        "authorizationType": "CUSTOM",
        "authorizerId": "token",
        "apiKeyRequired": True,
        "requestValidatorId": "all",
        "requestModels": {"application/json": "Request"},
        "requestParameters": {"method.request.path.model": True, "method.request.querystring.trace": False},
    }
    assert method.integration == LAMBDA | {"type": "AWS_PROXY"}


def test_a_pool_authorizer_checks_the_scopes_of_the_operation() -> None:
    method = wanted(DOCUMENT, "api1").methods["/models/{model}/infer", "GET"]
    assert method.settings["authorizationType"] == "COGNITO_USER_POOLS"
    assert method.settings["authorizationScopes"] == ["api/infer"]


def test_an_operation_without_security_is_open() -> None:
    method = wanted(DOCUMENT, "api1").methods["/live", "GET"]
    assert "authorizationType" not in method.settings
    assert method.integration_responses == {"200": {}}


def test_models_refer_to_each_other_by_address() -> None:
    schema = json.loads(wanted(DOCUMENT, "api1").models["Request"]["schema"])
    part = schema["properties"]["part"]["$ref"]
    assert part == "https://apigateway.amazonaws.com/restapis/api1/models/Part"


def test_a_private_integration_calls_the_process_that_stands_for_the_load_balancer() -> None:
    link = {
        "type": "http_proxy",
        "httpMethod": "POST",
        "uri": "http://entry.elb.us-east-1.amazonaws.com:80/v2/models/m/infer",
        "connectionType": "VPC_LINK",
        "connectionId": "l",
        "integrationTarget": "arn:balancer",
        "responseTransferMode": "STREAM",
    }
    document = changed("paths|/live|get|x-amazon-apigateway-integration", link)
    ports = {"load-balancer": 8123}
    integration = wanted(document, "api1", ports.__getitem__).methods["/live", "GET"].integration
    assert integration == {
        "type": "HTTP_PROXY",
        "httpMethod": "POST",
        "uri": "http://127.0.0.1:8123/v2/models/m/infer",
    }


@pytest.mark.parametrize("operation", ["infer", "metadata", "ready"])
def test_a_direct_integration_calls_the_process_that_stands_for_the_endpoint(operation: str) -> None:
    given = integrations(
        model="m", endpoint_name="p-dev-m-0f1e", region="us-east-1", credentials_arn="arn:role"
    )
    document = changed("paths|/live|get|x-amazon-apigateway-integration", given[operation])
    ports = {"endpoint/p-dev-m-0f1e": 8124}
    integration = wanted(document, "api1", ports.__getitem__).methods["/live", "GET"].integration
    method, end = MODEL_OPERATIONS[operation]
    path = "/invocations" if operation == "infer" else f"/v2/models/m{end}"
    assert integration == {
        "type": "HTTP_PROXY",
        "httpMethod": method,
        "uri": f"http://127.0.0.1:8124{path}",
        "requestParameters": given[operation]["requestParameters"],
    }


def test_the_document_sets_properties_of_the_api() -> None:
    assert settings(DOCUMENT) == {
        "apiKeySource": "HEADER",
        "binaryMediaTypes": ["application/octet-stream"],
        "description": "what it is",
    }


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("paths|/live|get|security", [{"tocken": []}], r"get /live: there is no security scheme 'tocken'"),
        ("x-amazon-apigateway-request-validator", "none", "there is no request validator 'none'"),
        (
            "paths|/live|get|x-amazon-apigateway-integration",
            None,
            "get /live: there is no x-amazon-apigateway",
        ),
        (
            "paths|/live|get|requestBody",
            {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Nope"}}}},
            "get /live: a schema must refer to one under components.schemas, not 'Nope'",
        ),
    ],
)
def test_a_document_that_refers_to_nothing_is_refused_before_any_call(
    path: str, value: Any, reason: str
) -> None:
    with pytest.raises(DocumentInvalid, match=reason):
        import_document(lambda operation, **parameters: pytest.fail(operation), "api1", changed(path, value))
