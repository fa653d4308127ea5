"""A REST API from its OpenAPI document, in the operations that API Gateway's import would stand for.

The embedded AWS does not import a document's authorizers, models, validators and responses, so the document
is expanded here (`wanted`) and brought about by the difference to what is there (`import_document`): a change
touches the methods that it changes, the API and its stages stay. The extensions are those of
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.private_backends import PortOf, local_integration
from local_aws.tables.form import Run
from local_aws.values import Props

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")
_PLACES = {"path": "path", "query": "querystring", "header": "header"}
_INTEGRATION = [
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
_RESPONSE = ("selectionPattern", "responseParameters", "responseTemplates", "contentHandling")
_METHOD = [
    "authorizationType",
    "authorizerId",
    "authorizationScopes",
    "apiKeyRequired",
    "operationName",
    "requestParameters",
    "requestModels",
    "requestValidatorId",
]
_AUTHORIZER = [
    "type",
    "providerARNs",
    "authorizerUri",
    "authorizerCredentials",
    "identitySource",
    "identityValidationExpression",
    "authorizerResultTtlInSeconds",
]
_VALIDATOR = ["validateRequestBody", "validateRequestParameters"]
_MODEL = ["schema", "contentType"]
# What API Gateway fills in by itself.
_DEFAULTS = {
    "passthroughBehavior": "WHEN_NO_MATCH",
    "timeoutInMillis": 29000,
    "authorizationType": "NONE",
    "authorizerResultTtlInSeconds": 300,
}


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
            kind: _given(response)
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
            yield name, _given(given)


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
        integration=_given({name: integration.get(name) for name in _INTEGRATION}),
        responses={
            status: _method_response(response, api, at)
            for status, response in operation.get("responses", {}).items()
            if status.isdigit()
        },
        integration_responses={
            str(response["statusCode"]): _given(
                {name: response.get(name) for name in _RESPONSE}
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
    return _given(
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
    return _given({"responseModels": models, "responseParameters": headers})


def _given(values: Mapping[str, Any]) -> Props:
    """The settings that differ from API Gateway's defaults."""
    return {
        name: value
        for name, value in values.items()
        if value not in (None, "", [], {}) and value is not False and _DEFAULTS.get(name) != value
    }


def import_document(
    run: Run, api_id: str, document: Mapping[str, Any], port_of: PortOf | None = None
) -> None:
    """Makes the API what the document says.

    What a method needs comes before it, and goes after it. Nothing is assumed of what an import before, or
    one that was cut short, has left: the difference is to what is there.
    """
    _Import(run, api_id, wanted(document, api_id, port_of)).apply()


class _Import:
    def __init__(self, run: Run, api_id: str, api: Api) -> None:
        self._run, self._id, self._api = run, api_id, api
        self._leftover: list[tuple[str, Props]] = []

    def _do(self, operation: str, **parameters: Any) -> Any:
        return self._run(operation, restApiId=self._id, **parameters)

    def apply(self) -> None:
        ids = {
            "authorizerId": self._named("authorizer", "authorizerId", self._api.authorizers, _AUTHORIZER),
            "requestValidatorId": self._named(
                "request_validator", "requestValidatorId", self._api.validators, _VALIDATOR
            ),
        }
        self._named("model", "modelName", self._api.models, _MODEL)
        resources = self._resources()
        for (path, verb), method in self._api.methods.items():
            for setting in ids.keys() & method.settings.keys():
                method.settings[setting] = ids[setting][method.settings[setting]]
            at = {"resourceId": resources[path]["id"], "httpMethod": verb}
            self._method(at, method, (resources[path].get("resourceMethods") or {}).get(verb) or {})
        self._gateway_responses()
        for operation, target in self._leftover:
            self._do(operation, **target)

    def _named(self, kind: str, key: str, parts: dict[str, Props], settings: list[str]) -> dict[str, str]:
        """Creates or updates the parts of a kind; gives name -> id. A model is addressed by its name."""
        there = {part["name"]: part for part in self._do(f"get_{kind}s").get("items") or ()}
        target = {name: {key: name if kind == "model" else part["id"]} for name, part in there.items()}
        self._leftover += [(f"delete_{kind}", target[name]) for name in there if name not in parts]
        for name, part in parts.items():
            if name not in there:
                there[name] = self._do(f"create_{kind}", name=name, **part)
            elif patches := _patches(settings, there[name], part):
                self._do(f"update_{kind}", patchOperations=patches, **target[name])
        return {name: there[name]["id"] for name in parts}

    def _resources(self) -> dict[str, Props]:
        """Every path of the document -> its resource, with the methods that are there now."""
        there = {part["path"]: part for part in self._do("get_resources", embed=["methods"])["items"]}
        needed = {"/"}
        for path in sorted({path for path, _ in self._api.methods}):
            parts = path.strip("/").split("/")
            for depth in range(1, len(parts) + 1 if path != "/" else 0):
                branch, parent = ("/" + "/".join(parts[:end]) for end in (depth, depth - 1))
                needed.add(branch)
                if branch not in there:
                    there[branch] = self._do(
                        "create_resource", parentId=there[parent]["id"], pathPart=parts[depth - 1]
                    )
        for path in sorted(there, key=len, reverse=True):
            target = {"resourceId": there[path]["id"]}
            if path not in needed:
                self._leftover.append(("delete_resource", target))
            for verb in there[path].get("resourceMethods") or ():
                if path in needed and (path, verb) not in self._api.methods:
                    self._leftover.append(("delete_method", target | {"httpMethod": verb}))
        return there

    def _method(self, at: Props, method: Method, old: Props) -> None:
        """A method whose settings change is put anew, with all that hangs on it; else only what differs."""
        renewed = not _alike(_METHOD, old, method.settings) or not old
        if renewed:
            self._do("put_method", **at, **{"authorizationType": "NONE"} | method.settings)
        there = {} if renewed else old.get("methodIntegration") or {}
        names = [
            name for name in _INTEGRATION if method.integration["type"] != "MOCK" or name != "httpMethod"
        ]
        if not there or not _alike(names, there, method.integration):
            self._do("put_integration", **at, **_called(method.integration))
            there = {}
        groups = (
            ("method", {} if renewed else old.get("methodResponses"), method.responses),
            ("integration", there.get("integrationResponses"), method.integration_responses),
        )
        for kind, found, responses in groups:
            self._responses(at, kind, found or {}, responses)

    def _responses(self, at: Props, kind: str, there: Props, responses: dict[str, Props]) -> None:
        for status, response in responses.items():
            if status not in there or not _alike(_RESPONSE, there[status], response):
                self._do(f"put_{kind}_response", **at, statusCode=status, **response)
        for status in there.keys() - responses.keys():
            self._leftover.append((f"delete_{kind}_response", at | {"statusCode": status}))

    def _gateway_responses(self) -> None:
        found = self._do("get_gateway_responses").get("items") or ()
        there = {part["responseType"]: part for part in found if not part.get("defaultResponse")}
        for kind, response in self._api.gateway_responses.items():
            if kind not in there or not _alike(list(response), there[kind], response):
                self._do("put_gateway_response", responseType=kind, **response)
        for kind in there.keys() - self._api.gateway_responses.keys():
            self._leftover.append(("delete_gateway_response", {"responseType": kind}))


def _called(integration: Props) -> Props:
    """The integration under the names of PutIntegration's parameters."""
    renamed = {name: value for name, value in integration.items() if name != "httpMethod"}
    return renamed | {"integrationHttpMethod": integration.get("httpMethod", "POST")}


def _alike(settings: Iterable[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all(_given({name: old.get(name)}) == _given({name: new.get(name)}) for name in settings)


def _patches(settings: Iterable[str], old: Props, new: Props) -> list[Props]:
    changed = [name for name in settings if not _alike([name], old, new)]
    values = {name: _text(new.get(name, _DEFAULTS.get(name, ""))) for name in changed}
    return [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
