"""A REST API brought about by the difference to what is there: a change of its document touches the methods
that it changes, the API and its stages stay.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from local_aws.private_backends import PortOf
from local_aws.rest_api import DEFAULTS, INTEGRATION, RESPONSE, Api, Method, wanted, without_defaults
from local_aws.tables.form import Run
from local_aws.values import Props

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
        names = [name for name in INTEGRATION if method.integration["type"] != "MOCK" or name != "httpMethod"]
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
            if status not in there or not _alike(RESPONSE, there[status], response):
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
    return all(
        without_defaults({name: old.get(name)}) == without_defaults({name: new.get(name)})
        for name in settings
    )


def _patches(settings: Iterable[str], old: Props, new: Props) -> list[Props]:
    changed = [name for name in settings if not _alike([name], old, new)]
    values = {name: _text(new.get(name, DEFAULTS.get(name, ""))) for name in changed}
    return [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
