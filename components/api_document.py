"""The API as one OpenAPI document, built from the model catalogue by pure functions.

The gateway is made from it; tests, docs and client types read the same document. Extensions follow
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.api_routes import MODEL_OPERATIONS, OPENAI_OPERATIONS
from components.gateway_responses import gateway_responses
from components.jobs_document import JOB_SCHEMAS, jobs_paths

Json = dict[str, Any]

ROUTES: Mapping[str, Sequence[str]] = {
    "infer": (
        "GET/v2",
        "GET/v2/models",
        "GET/v2/models/*",
        "POST/v2/models/*/infer",
        "GET/v1/models",
        "POST/v1/*",
    ),
    "jobs": ("GET/v2/jobs", "GET/v2/jobs/*", "POST/v2/jobs/*/cancel", "POST/v2/models/*/jobs"),
}
"""Scope -> the METHOD/path patterns it opens; the authorizer allows a token exactly these."""


@dataclass(frozen=True, kw_only=True)
class ModelRoute:
    """Where requests for one model go."""

    model: str
    integrations: Mapping[str, Mapping[str, Any]]
    """Operation of `MODEL_OPERATIONS` -> its `x-amazon-apigateway-integration`."""


@dataclass(frozen=True, kw_only=True)
class Authorizer:
    """The Lambda authorizer that every route but health goes through."""

    invoke_arn: str
    credentials_arn: str
    """Role with which the gateway calls the authorizer."""
    cache_s: int
    api_key_source: Literal["authorizer", "header"]


def lambda_integration(invoke_arn: str, credentials_arn: str) -> Json:
    """A proxy integration that calls a function as the gateway's role."""
    return {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": invoke_arn,
        "credentials": credentials_arn,
        "passthroughBehavior": "when_no_match",
    }


def api_document(
    title: str,
    routes: Sequence[ModelRoute],
    authorizer: Authorizer,
    openai: Mapping[str, Mapping[str, Any]] | None = None,
    jobs: Mapping[str, Any] | None = None,
) -> Json:
    """The whole OpenAPI 3.0 document.

    Args:
        title: the API's name.
        routes: one for each model; their order does not matter.
        authorizer: who decides about tokens.
        openai: path of `OPENAI_OPERATIONS` -> its integration; None where nothing serves them.
        jobs: integration of the jobs API; None where there are no jobs.
    """
    routes = sorted(routes, key=lambda route: route.model)
    models = [route.model for route in routes]
    paths: Json = {
        "/v2/health/live": {
            "get": _fixed("serverLive", "The gateway answers", 200, {"live": True}, secure=False)
        },
        "/v2/health/ready": {
            "get": _fixed("serverReady", "The gateway takes requests", 200, {"ready": True}, secure=False)
        },
        "/v2": {
            "get": _fixed(
                "serverMetadata", "Server metadata", 200, {"name": title, "version": "2", "extensions": []}
            )
        },
        "/v2/models": {"get": _fixed("listModels", "The models of this platform", 200, {"models": models})},
    }
    for route in routes:
        paths |= _model_paths(route.model, route.integrations)
    paths |= _unknown_model_paths()
    paths |= {path: _openai_path(path, integration) for path, integration in (openai or {}).items()}
    if jobs is not None:
        paths |= jobs_paths(models, jobs, _SECURITY, _ERRORS)
    return {
        "openapi": "3.0.1",
        "info": {
            "title": title,
            "version": "2",
            "description": "Open Inference Protocol v2 with tenants and scopes",
        },
        "paths": paths,
        "components": {"schemas": _schemas() | JOB_SCHEMAS, "securitySchemes": _security_schemes(authorizer)},
        "x-amazon-apigateway-api-key-source": authorizer.api_key_source.upper(),
        "x-amazon-apigateway-binary-media-types": ["application/octet-stream"],
        "x-amazon-apigateway-request-validators": {
            "everything": {"validateRequestBody": True, "validateRequestParameters": True}
        },
        "x-amazon-apigateway-request-validator": "everything",
        "x-amazon-apigateway-gateway-responses": gateway_responses(),
    }


def _model_paths(model: str, integrations: Mapping[str, Mapping[str, Any]]) -> Json:
    # Names have no underscore, so `a-1` and `a1` stay apart.
    suffix = model.replace("-", "_")
    summaries = {
        "infer": f"Ask model {model} for a prediction",
        "metadata": f"Metadata of model {model}",
        "ready": f"Whether model {model} takes requests",
    }
    paths = {}
    for operation, (method, end) in MODEL_OPERATIONS.items():
        body = {"requestBody": _json_body("InferRequest")} if method == "POST" else {}
        paths[f"/v2/models/{model}{end}"] = {
            method.lower(): _operation(
                f"{operation}_{suffix}", summaries[operation], integrations[operation], **body
            )
        }
    return paths


def _openai_path(path: str, integration: Mapping[str, Any]) -> Json:
    method, summary = OPENAI_OPERATIONS[path]
    body = {"requestBody": _json_body("OpenAiRequest")} if method == "POST" else {}
    identifier = "openai" + "".join(part.capitalize() for part in path.split("/")[2:])
    return {method.lower(): _operation(identifier, summary, integration, **body)}


def _operation(operation_id: str, summary: str, integration: Mapping[str, Any], **more: Any) -> Json:
    # Where the gateway forms the answer, each status that it may have must be declared.
    statuses = {response["statusCode"] for response in integration.get("responses", {}).values()} - {"200"}
    return {
        "operationId": operation_id,
        "summary": summary,
        "security": _SECURITY,
        "responses": {
            "200": {"description": summary},
            **dict.fromkeys(sorted(statuses), _ERRORS["default"]),
            **_ERRORS,
        },
        "x-amazon-apigateway-integration": dict(integration),
        **more,
    }


def _json_body(schema: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"required": True, "content": content}


def _unknown_model_paths() -> Json:
    """A static path wins over a variable one, so these answer for models that are not in the catalogue."""
    error = {"error": "unknown model; GET /v2/models lists the models of this platform"}
    parameter = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}

    def unknown(operation_id: str) -> Json:
        return {**_fixed(operation_id, "Unknown model", 404, error), "parameters": [parameter]}

    return {
        "/v2/models/{model}": {"get": unknown("unknownMetadata")},
        "/v2/models/{model}/ready": {"get": unknown("unknownReady")},
        "/v2/models/{model}/infer": {"post": unknown("unknownInfer")},
    }


_SECURITY: list[dict[str, list[str]]] = [{"token": [], "apiKey": []}]
_ERRORS: Json = {
    "default": {
        "description": "An error, with the reason",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}


def _fixed(operation_id: str, summary: str, status: int, answer: Json, *, secure: bool = True) -> Json:
    """An operation that the gateway answers itself, with the same body every time."""
    return {
        "operationId": operation_id,
        "summary": summary,
        "security": _SECURITY if secure else [],
        "responses": {str(status): {"description": summary}, **(_ERRORS if status == 200 else {})},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "passthroughBehavior": "never",
            "requestTemplates": {
                media: json.dumps({"statusCode": status})
                for media in ("application/json", "application/octet-stream")
            },
            "responses": {
                "default": {
                    "statusCode": str(status),
                    "responseTemplates": {"application/json": json.dumps(answer)},
                }
            },
        },
    }


def _schemas() -> Json:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string"},
            "parameters": {"type": "object"},
        },
    }
    return {
        "InferRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "parameters": {"type": "object"},
                "inputs": {"type": "array", "minItems": 1, "items": tensor},
                "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            },
        },
        "OpenAiRequest": {
            "type": "object",
            "required": ["model"],
            "properties": {"model": {"type": "string"}},
        },
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
        },
    }


def _security_schemes(authorizer: Authorizer) -> Json:
    # The cached answer depends on what the authorizer looked at: the token, and in header mode the key too.
    sources = ["method.request.header.Authorization"]
    if authorizer.api_key_source == "header":
        sources.append("method.request.header.x-api-key")
    return {
        "token": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {
                "type": "request",
                "identitySource": ",".join(sources),
                "authorizerUri": authorizer.invoke_arn,
                "authorizerCredentials": authorizer.credentials_arn,
                "authorizerResultTtlInSeconds": authorizer.cache_s,
            },
        },
        "apiKey": {"type": "apiKey", "name": "x-api-key", "in": "header"},
    }
