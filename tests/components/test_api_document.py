"""The API's document: valid OpenAPI, all secured but health, a route and a scope for each operation."""

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV30SpecValidator, validate

from components.api_document import ROUTES, Authorizer, ModelRoute, api_document, lambda_integration
from components.api_routes import MODEL_OPERATIONS
from components.cluster_integration import openai_integrations

MODELS = ("digits", "fraud-scores", "minilm")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
OPEN = {"/v2/health/live", "/v2/health/ready"}
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
RESPONSE_TYPES = {
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
}


def document(
    models: Sequence[str] = MODELS, source: Literal["authorizer", "header"] = "authorizer"
) -> dict[str, Any]:
    routes = [
        ModelRoute(
            model=model,
            integrations=dict.fromkeys(MODEL_OPERATIONS, lambda_integration(f"arn:{model}", "arn:role")),
        )
        for model in models
    ]
    authorizer = Authorizer(
        invoke_arn="arn:authorizer", credentials_arn="arn:role", cache_s=60, api_key_source=source
    )
    openai = openai_integrations(url="http://entry", vpc_link_id="link", load_balancer_arn="arn:balancer")
    return api_document("inference-platform-dev", routes, authorizer, openai if models else None)


def operations(api: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Path, method, operation."""
    for path, item in api["paths"].items():
        for method, operation in item.items():
            assert method in METHODS, (path, method)
            yield path, method, operation


def allows(pattern: str, method: str, path: str) -> bool:
    """Whether a METHOD/path pattern of a policy covers a call: as IAM does, `*` stands for anything."""
    return fnmatchcase(f"{method.upper()}{path}", pattern)


def called(path: str) -> str:
    """A path as a client calls it."""
    return path.replace("{model}", "no-such-model")


@pytest.mark.parametrize("source", ["authorizer", "header"])
@pytest.mark.parametrize("models", [(), MODELS[:1], MODELS])
def test_it_is_valid_openapi_3_0(models: Sequence[str], source: Literal["authorizer", "header"]) -> None:
    api = json.loads(json.dumps(document(models, source)))
    validate(api, cls=OpenAPIV30SpecValidator)


def test_everything_but_health_needs_a_token_and_a_key() -> None:
    seen = set()
    for path, _, operation in operations(document()):
        secured = operation["security"] == [{"token": [], "apiKey": []}]
        assert secured == (path not in OPEN), path
        assert secured or operation["security"] == []
        seen.add(path)
    assert seen >= OPEN


def test_schemes_that_operations_name_exist() -> None:
    api = document()
    assert set(api["components"]["securitySchemes"]) == {"token", "apiKey"}


def test_the_routes_of_infer_cover_every_secured_operation() -> None:
    """A cached policy of a token must open all that its scope may call, also for models added later."""
    for path, method, operation in operations(document()):
        if operation["security"]:
            patterns = [pattern for pattern in ROUTES["infer"] if allows(pattern, method, called(path))]
            assert patterns, f"{method} {path} is opened by no scope"


def test_a_scope_opens_nothing_of_another() -> None:
    for (scope, patterns), (other, others) in itertools.permutations(ROUTES.items(), 2):
        for example in [pattern.replace("*", "x") for pattern in patterns]:
            method, path = example.split("/", 1)
            opened = [pattern for pattern in others if allows(pattern, method, f"/{path}")]
            assert not opened, f"{scope}'s {example} is opened by {other}"


def test_reading_and_inferring_are_the_only_methods_of_infer() -> None:
    for pattern, path in itertools.product(ROUTES["infer"], ("/v2/models/digits", "/v2/jobs/1", "/v2")):
        assert not allows(pattern, "DELETE", path)
        assert not allows(pattern, "PUT", path)


@pytest.mark.parametrize("model", MODELS)
def test_each_model_has_its_own_paths_that_lead_to_it(model: str) -> None:
    paths = document()["paths"]
    own = {path for path in paths if path.split("/")[3:4] == [model]}
    assert own == {f"/v2/models/{model}", f"/v2/models/{model}/ready", f"/v2/models/{model}/infer"}
    for path in own:
        for operation in paths[path].values():
            assert operation["x-amazon-apigateway-integration"] == {
                "type": "aws_proxy",
                "httpMethod": "POST",
                "uri": f"arn:{model}",
                "credentials": "arn:role",
                "passthroughBehavior": "when_no_match",
            }


def test_a_model_that_is_not_there_is_told_apart_from_a_route_that_is_not_there() -> None:
    paths = document()["paths"]
    for suffix in ("", "/ready", "/infer"):
        [operation] = paths[f"/v2/models/{{model}}{suffix}"].values()
        answer = operation["x-amazon-apigateway-integration"]["responses"]["default"]
        assert answer["statusCode"] == "404"
        assert "unknown model" in json.loads(answer["responseTemplates"]["application/json"])["error"]


def test_fixed_answers_are_json_with_the_status_that_the_operation_declares() -> None:
    mocks = [
        (path, operation)
        for path, _, operation in operations(document())
        if operation["x-amazon-apigateway-integration"]["type"] == "mock"
    ]
    assert len(mocks) == 7
    for path, operation in mocks:
        integration = operation["x-amazon-apigateway-integration"]
        answer = integration["responses"]["default"]
        assert answer["statusCode"] in operation["responses"], path
        json.loads(answer["responseTemplates"]["application/json"])
        for template in integration["requestTemplates"].values():
            assert json.loads(template) == {"statusCode": int(answer["statusCode"])}


def test_the_list_of_models_is_the_catalogue() -> None:
    [operation] = document()["paths"]["/v2/models"].values()
    answer = operation["x-amazon-apigateway-integration"]["responses"]["default"]
    listed = json.loads(answer["responseTemplates"]["application/json"])
    assert listed == {"models": sorted(MODELS)}


# Few letters, so that names which differ only in a hyphen or a digit come up.
_names = st.from_regex(r"[ab][ab1-]{0,4}[ab1]", fullmatch=True)


@given(st.lists(_names, unique=True), st.randoms())
def test_the_order_of_models_changes_nothing(models: list[str], dice: random.Random) -> None:
    shuffled = dice.sample(models, len(models))
    assert json.dumps(document(models)) == json.dumps(document(shuffled))


@given(st.lists(_names, unique=True))
def test_operation_ids_are_unique(models: list[str]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document(models))]
    assert len(ids) == len(set(ids))


def test_a_body_is_validated_where_one_is_taken() -> None:
    api = document()
    validator = api["x-amazon-apigateway-request-validator"]
    assert api["x-amazon-apigateway-request-validators"][validator] == {
        "validateRequestBody": True,
        "validateRequestParameters": True,
    }
    for model in MODELS:
        body = api["paths"][f"/v2/models/{model}/infer"]["post"]["requestBody"]
        assert body["required"] is True
        assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/InferRequest"}


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        ("authorizer", "method.request.header.Authorization"),
        ("header", "method.request.header.Authorization,method.request.header.x-api-key"),
    ],
)
def test_a_cached_answer_depends_on_all_that_the_authorizer_looks_at(
    source: Literal["authorizer", "header"], identity: str
) -> None:
    api = document(source=source)
    authorizer = api["components"]["securitySchemes"]["token"]["x-amazon-apigateway-authorizer"]
    assert authorizer["identitySource"] == identity
    assert authorizer["type"] == "request"
    assert authorizer["authorizerResultTtlInSeconds"] == 60
    assert api["x-amazon-apigateway-api-key-source"] == source.upper()


@pytest.mark.parametrize("kind", document()["x-amazon-apigateway-gateway-responses"])
def test_an_error_of_the_gateway_is_json_with_the_reason_and_the_request(kind: str) -> None:
    assert kind in RESPONSE_TYPES
    response = document()["x-amazon-apigateway-gateway-responses"][kind]
    [(media, template)] = response["responseTemplates"].items()
    assert media == "application/json"
    # `messageString` comes with its quotes: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
    values = {"$context.error.messageString": json.dumps('he said "no"'), "$context.requestId": "id-1"}
    for variable, value in values.items():
        template = template.replace(variable, value)
    assert "$" not in template
    body = json.loads(template)
    assert body["error"]
    assert body["request_id"] == "id-1"
    for header, value in response["responseParameters"].items():
        assert re.fullmatch(r"gatewayresponse\.header\.[A-Za-z-]+", header)
        assert re.fullmatch(r"'[^']*'", value)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("UNAUTHORIZED", "401"),
        ("ACCESS_DENIED", "403"),
        ("INVALID_API_KEY", "403"),
        ("MISSING_AUTHENTICATION_TOKEN", "404"),
        ("BAD_REQUEST_BODY", "400"),
        ("REQUEST_TOO_LARGE", "413"),
        ("THROTTLED", "429"),
        ("QUOTA_EXCEEDED", "429"),
        ("INTEGRATION_TIMEOUT", "504"),
        ("INTEGRATION_FAILURE", "503"),
    ],
)
def test_an_error_has_the_status_that_http_has_for_it(kind: str, status: str) -> None:
    assert document()["x-amazon-apigateway-gateway-responses"][kind]["statusCode"] == status


def test_every_other_error_is_covered_too() -> None:
    responses = document()["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= responses.keys()
    for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
        assert "statusCode" not in responses[kind]  # each keeps its own


def test_a_client_is_told_when_to_come_back() -> None:
    responses = document()["x-amazon-apigateway-gateway-responses"]
    for kind in ("THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_FAILURE"):
        assert "gatewayresponse.header.Retry-After" in responses[kind]["responseParameters"]
