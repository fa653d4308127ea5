"""A REST API from its OpenAPI document, in the operations that API Gateway's import would stand for.

The embedded AWS does not import a document's authorizers, models, validators and responses, so the document
is expanded here; `rest_api_import` brings it about. The extensions are those of
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.private_backends import PortOf, local_integration
from local_aws.values import Props

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")
_PLACES = {"path": "path", "query": "querystring", "header": "header"}
INTEGRATION = [
    "type",
    "httpMethod",
    "uri",
    "credentials",
    "requestParameters",
    "requestTemplates",
    "passthroughBehavior",
    "contentHandling",
    "timeoutInMillis",
    "cacheKeyParameters",
]
RESPONSE = ("selectionPattern", "responseParameters", "responseTemplates", "contentHandling")
DEFAULTS = {
    "passthroughBehavior": "WHEN_NO_MATCH",
    "timeoutInMillis": 29000,
    "authorizationType": "NONE",
    "authorizerResultTtlInSeconds": 300,
}
"""What API Gateway fills in by itself."""


class DocumentInvalid(ValueError):
    """The OpenAPI document refers to something that it does not hold; the message says where and what."""


@dataclass
class Method:
    """One operation: its settings and integration, and the responses of both by status."""

    settings: Props
    integration: Props
    responses: dict[str, Props] = field(default_factory=dict)
    integration_responses: dict[str, Props] = field(default_factory=dict)


@dataclass
class Api:
    """All parts of an API. Methods name their authorizer and validator; ids are API Gateway's affair."""

    authorizers: dict[str, Props]
    validators: dict[str, Props]
    models: dict[str, Props]
    gateway_responses: dict[str, Props]
    methods: dict[tuple[str, str], Method]


def settings(document: Mapping[str, Any]) -> Props:
    """The properties of the API itself that the document sets."""
    given = {
        "apiKeySource": document.get("x-amazon-apigateway-api-key-source"),
        "binaryMediaTypes": document.get("x-amazon-apigateway-binary-media-types"),
        "minimumCompressionSize": document.get("x-amazon-apigateway-minimum-compression-size"),
        "description": document.get("info", {}).get("description"),
        "policy": document.get("x-amazon-apigateway-policy"),
    }
    return {name: value for name, value in given.items() if value is not None}


def wanted(document: Mapping[str, Any], api_id: str, port_of: PortOf | None = None) -> Api:
    """The API that an OpenAPI 3.0 document describes.

    `port_of` tells where private backends are; without it, their integrations stay as they are.

    Raises:
        DocumentInvalid: a security scheme, schema or validator that is not there, or no integration.
    """
    components = document.get("components", {})
    schemas = components.get("schemas", {})
    api = Api(
        authorizers=dict(_authorizers(components.get("securitySchemes", {}))),
        validators=dict(document.get("x-amazon-apigateway-request-validators", {})),
        models={name: _model(schema, api_id) for name, schema in schemas.items()},
        gateway_responses={
            kind: without_defaults(response)
            for kind, response in document.get("x-amazon-apigateway-gateway-responses", {}).items()
        },
        methods={},
    )
    for path, item in document.get("paths", {}).items():
        for verb in filter(item.__contains__, _METHODS):
            key = (path, "ANY" if verb.startswith("x-") else verb.upper())
            operation = dict(item[verb])
            operation["parameters"] = [*item.get("parameters", ()), *operation.get("parameters", ())]
            api.methods[key] = _method(document, operation, api, f"{verb} {path}", port_of)
    return api


def _authorizers(schemes: Mapping[str, Any]) -> Iterator[tuple[str, Props]]:
    for name, scheme in schemes.items():
        if "x-amazon-apigateway-authorizer" in scheme:
            given = dict(scheme["x-amazon-apigateway-authorizer"])
            given["type"] = given["type"].upper()
            given.setdefault("identitySource", f"method.request.{scheme['in']}.{scheme['name']}")
            yield name, without_defaults(given)


def _model(schema: Any, api_id: str) -> Props:
    # A model refers to another by its address, as the import does it.
    text = json.dumps(schema, sort_keys=True).replace(
        "#/components/schemas/", f"https://apigateway.amazonaws.com/restapis/{api_id}/models/"
    )
    return {"schema": text, "contentType": "application/json"}


def _method(
    document: Mapping[str, Any], operation: Props, api: Api, at: str, port_of: PortOf | None
) -> Method:
    integration = dict(operation.get("x-amazon-apigateway-integration") or {})
    if not integration:
        raise DocumentInvalid(f"{at}: there is no x-amazon-apigateway-integration")
    if port_of is not None:
        integration = dict(local_integration(integration, port_of))
    integration_responses = integration.pop("responses", {})
    for name in ("type", "passthroughBehavior", "contentHandling"):
        if name in integration:
            integration[name] = integration[name].upper()
    return Method(
        settings=_settings(document, operation, api, at),
        integration=without_defaults({name: integration.get(name) for name in INTEGRATION}),
        responses={
            status: _method_response(response, api, at)
            for status, response in operation.get("responses", {}).items()
            if status.isdigit()
        },
        integration_responses={
            str(response["statusCode"]): without_defaults(
                {name: response.get(name) for name in RESPONSE}
                | {"selectionPattern": "" if pattern == "default" else pattern}
            )
            for pattern, response in integration_responses.items()
        },
    )


def _settings(document: Mapping[str, Any], operation: Props, api: Api, at: str) -> Props:
    validator = operation.get(
        "x-amazon-apigateway-request-validator", document.get("x-amazon-apigateway-request-validator")
    )
    if validator is not None and validator not in api.validators:
        raise DocumentInvalid(f"{at}: there is no request validator {validator!r}")
    body = operation.get("requestBody", {}).get("content", {})
    parameters = {
        f"method.request.{_PLACES[given['in']]}.{given['name']}": bool(given.get("required"))
        for given in operation["parameters"]
        if given["in"] in _PLACES
    }
    return without_defaults(
        {
            "operationName": operation.get("operationId"),
            "requestParameters": parameters,
            "requestModels": {media: _schema(entry, api, at) for media, entry in body.items()},
            "requestValidatorId": validator,
            **_security(document, operation, at),
        }
    )


def _security(document: Mapping[str, Any], operation: Props, at: str) -> Props:
    schemes = document.get("components", {}).get("securitySchemes", {})
    needed: Props = {}
    for requirement in operation.get("security", document.get("security", [])):
        for name, scopes in requirement.items():
            if name not in schemes:
                raise DocumentInvalid(f"{at}: there is no security scheme {name!r}")
            scheme = schemes[name]
            authorizer = scheme.get("x-amazon-apigateway-authorizer")
            if authorizer:
                pool = authorizer["type"] == "cognito_user_pools"
                needed["authorizationType"] = "COGNITO_USER_POOLS" if pool else "CUSTOM"
                needed |= {"authorizerId": name, "authorizationScopes": scopes}
            elif scheme.get("x-amazon-apigateway-authtype", "").lower() == "awssigv4":
                needed["authorizationType"] = "AWS_IAM"
            else:
                needed["apiKeyRequired"] = True
    return needed


def _schema(entry: Mapping[str, Any], api: Api, at: str) -> str:
    name = str(entry.get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1]
    if name not in api.models:
        raise DocumentInvalid(f"{at}: a schema must refer to one under components.schemas, not {name!r}")
    return name


def _method_response(response: Mapping[str, Any], api: Api, at: str) -> Props:
    models = {media: _schema(entry, api, at) for media, entry in response.get("content", {}).items()}
    headers = {f"method.response.header.{name}": False for name in response.get("headers", {})}
    return without_defaults({"responseModels": models, "responseParameters": headers})


def without_defaults(values: Mapping[str, Any]) -> Props:
    """The settings that differ from API Gateway's defaults."""
    return {
        name: value
        for name, value in values.items()
        if value not in (None, "", [], {}) and value is not False and DEFAULTS.get(name) != value
    }
