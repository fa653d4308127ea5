"""API Gateway REST APIs; an API's document is `local_aws.rest_api`'s affair."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from local_aws import rest_api
from local_aws.tables.form import Run, Step, Type, call
from local_aws.values import Props

# Property of a method setting -> where UpdateStage takes it.
_METHOD_SETTINGS = {
    "metricsEnabled": "metrics/enabled",
    "loggingLevel": "logging/loglevel",
    "dataTraceEnabled": "logging/dataTrace",
    "throttlingBurstLimit": "throttling/burstLimit",
    "throttlingRateLimit": "throttling/rateLimit",
    "cachingEnabled": "caching/enabled",
    "cacheTtlInSeconds": "caching/ttlInSeconds",
    "cacheDataEncrypted": "caching/dataEncrypted",
}


# Tags given at creation and tags given later are two things in the embedded AWS.
_TAGS = frozenset({"tags"})


def _patches(values: Mapping[str, Any]) -> list[Props]:
    """Patch operations for path -> value; None removes what is there."""
    return [
        {"op": "remove", "path": path}
        if value is None
        else {"op": "replace", "path": path, "value": value if isinstance(value, str) else json.dumps(value)}
        for path, value in values.items()
    ]


def _patch(operation: str, target: Mapping[str, str], paths: Mapping[str, str]) -> Step:
    """A step that patches changed properties: `paths` is property -> path, `target` parameter -> property."""

    def act(run: Run, state: Props, old: Props) -> None:
        changed = {path: state.get(name) for name, path in paths.items() if state.get(name) != old.get(name)}
        parameters = {parameter: state[name] for parameter, name in target.items()}
        run(operation, patchOperations=_patches(changed), **parameters)

    return Step(act, on=tuple(paths))


def _document(inputs: Props) -> Props:
    return json.loads(inputs["body"]) if inputs.get("body") else {}


def _api(inputs: Props) -> Props:
    """The API's settings with those of its document, and the id that the embedded AWS is asked to give it."""
    # The name too: a replacement, of another automatic name, stands beside what it replaces for a while.
    fixed = hashlib.sha256(f"{inputs.get('urn')} {inputs.get('name')}".encode()).hexdigest()[:8]
    tags = (inputs.get("tags") or {}) | {"ms-custom-id": fixed}
    return rest_api.settings(_document(inputs)) | inputs | {"tags": tags, "customId": fixed}


def _import(run: Run, api: Props, old: Props) -> None:
    """Settings of the document first: they are the API's own."""
    before, now = rest_api.settings(_document(old)), rest_api.settings(_document(api))
    changed = {f"/{name}": now.get(name) for name in before | now if before.get(name) != now.get(name)}
    if old and changed:
        run("update_rest_api", restApiId=api["id"], patchOperations=_patches(changed))
    if api.get("body"):
        rest_api.import_document(run, api["id"], _document(api))


def _variables(run: Run, stage: Props, old: Props) -> None:
    now, before = stage.get("variables") or {}, old.get("variables") or {}
    changed = {
        f"/variables/{name}": now.get(name) for name in now | before if now.get(name) != before.get(name)
    }
    target = {"restApiId": stage["restApi"], "stageName": stage["stageName"]}
    run("update_stage", **target, patchOperations=_patches(changed))


def _access_logs(run: Run, stage: Props, old: Props) -> None:
    logs = stage.get("accessLogSettings") or {}
    paths = {f"/accessLogSettings/{name}": logs.get(name) for name in ("destinationArn", "format")}
    run(
        "update_stage",
        restApiId=stage["restApi"],
        stageName=stage["stageName"],
        patchOperations=_patches(paths),
    )


def _limits(run: Run, plan: Props, old: Props) -> None:
    values: Props = {}
    for name, path in (("throttleSettings", "/throttle"), ("quotaSettings", "/quota")):
        limits = plan.get(name) or {}
        keys = limits.keys() | (old.get(name) or {}).keys()
        values |= {f"{path}/{key}": limits.get(key) for key in sorted(keys)}
    run("update_usage_plan", usagePlanId=plan["id"], patchOperations=_patches(values))


def _method_settings(run: Run, settings: Props, old: Props) -> None:
    path = "/" + settings["methodPath"].replace("~", "~0")
    wanted = settings.get("settings") or {}
    values = {f"{path}/{at}": wanted.get(name) for name, at in _METHOD_SETTINGS.items() if name in wanted}
    run(
        "update_stage",
        restApiId=settings["restApi"],
        stageName=settings["stageName"],
        patchOperations=_patches(values),
    )


def _drop_method_settings(run: Run, settings: Props) -> None:
    gone = [{"op": "remove", "path": "/" + settings["methodPath"]}]
    run("update_stage", restApiId=settings["restApi"], stageName=settings["stageName"], patchOperations=gone)


def _account(run: Run, account: Props, old: Props) -> None:
    run("update_account", patchOperations=_patches({"/cloudwatchRoleArn": account.get("cloudwatchRoleArn")}))


TABLE = {
    "aws:apigateway/restApi:RestApi": Type(
        service="apigateway",
        unread=_TAGS,
        id="{customId}",
        create=call("create_rest_api"),
        then=(Step(_import, on=("body",)),),
        update=(
            _patch(
                "update_rest_api",
                {"restApiId": "id"},
                {
                    "name": "/name",
                    "description": "/description",
                    "policy": "/policy",
                    "apiKeySource": "/apiKeySource",
                    "disableExecuteApiEndpoint": "/disableExecuteApiEndpoint",
                    "minimumCompressionSize": "/minimumCompressionSize",
                },
            ),
        ),
        read=call("get_rest_api"),
        facts={"rootResourceId": call("get_resources", "items[?path=='/'].id | [0]")},
        delete=call("delete_rest_api"),
        prepare=_api,
        renames={"id": "restApiId"},
        outputs={
            "arn": "arn:aws:apigateway:{region}::/restapis/{id}",
            "executionArn": "arn:aws:execute-api:{region}:{account}:{id}",
        },
        local=frozenset({"putRestApiMode", "failOnWarnings", "parameters"}),
    ),
    "aws:apigateway/deployment:Deployment": Type(
        service="apigateway",
        id="{id}",
        create=call("create_deployment"),
        update=(
            _patch(
                "update_deployment",
                {"restApiId": "restApi", "deploymentId": "id"},
                {"description": "/description"},
            ),
        ),
        read=call("get_deployment"),
        delete=call("delete_deployment"),
        renames={"restApi": "restApiId", "id": "deploymentId"},
        replace=frozenset({"triggers"}),
    ),
    "aws:apigateway/stage:Stage": Type(
        service="apigateway",
        unread=_TAGS,
        id="ags-{restApi}-{stageName}",
        create=call("create_stage"),
        then=(Step(_access_logs, on=("accessLogSettings",)),),
        update=(
            _patch(
                "update_stage",
                {"restApiId": "restApi", "stageName": "stageName"},
                {
                    "deployment": "/deploymentId",
                    "description": "/description",
                    "xrayTracingEnabled": "/tracingEnabled",
                },
            ),
            Step(_variables, on=("variables",)),
        ),
        read=call("get_stage"),
        delete=call("delete_stage"),
        renames={
            "restApi": "restApiId",
            "deployment": "deploymentId",
            "xrayTracingEnabled": "tracingEnabled",
        },
        outputs={
            "arn": "arn:aws:apigateway:{region}::/restapis/{restApi}/stages/{stageName}",
            "executionArn": "arn:aws:execute-api:{region}:{account}:{restApi}/{stageName}",
            "invokeUrl": "{endpoint}/_aws/execute-api/{restApi}/{stageName}",
        },
    ),
    "aws:apigateway/methodSettings:MethodSettings": Type(
        service="apigateway",
        id="{restApi}-{stageName}-{methodPath}",
        then=(Step(_method_settings, on=("settings",)),),
        read=call("get_stage", 'methodSettings."{methodPath}" && {settings: methodSettings."{methodPath}"}'),
        clear=_drop_method_settings,
        renames={"restApi": "restApiId"},
    ),
    "aws:apigateway/usagePlan:UsagePlan": Type(
        service="apigateway",
        unread=_TAGS,
        id="{id}",
        create=call("create_usage_plan"),
        update=(
            _patch(
                "update_usage_plan", {"usagePlanId": "id"}, {"name": "/name", "description": "/description"}
            ),
            Step(_limits, on=("throttleSettings", "quotaSettings")),
        ),
        read=call("get_usage_plan"),
        delete=call("delete_usage_plan"),
        renames={
            "id": "usagePlanId",
            "throttleSettings": "throttle",
            "quotaSettings": "quota",
            "apiStages.stage": "stage",
        },
        outputs={"arn": "arn:aws:apigateway:{region}::/usageplans/{id}"},
    ),
    "aws:apigateway/apiKey:ApiKey": Type(
        service="apigateway",
        unread=_TAGS,
        id="{id}",
        create=call("create_api_key", enabled=True),
        update=(
            _patch(
                "update_api_key",
                {"apiKey": "id"},
                {"name": "/name", "description": "/description", "enabled": "/enabled"},
            ),
        ),
        read=call("get_api_key", includeValue=True),
        delete=call("delete_api_key"),
        renames={"id": "apiKey"},
        outputs={"arn": "arn:aws:apigateway:{region}::/apikeys/{id}"},
    ),
    "aws:apigateway/usagePlanKey:UsagePlanKey": Type(
        service="apigateway",
        id="{keyId}",
        create=call("create_usage_plan_key"),
        read=call("get_usage_plan_key"),
        delete=call("delete_usage_plan_key"),
    ),
    "aws:apigateway/account:Account": Type(
        service="apigateway",
        id="api-gateway-account",
        then=(Step(_account, on=("cloudwatchRoleArn",)),),
        read=call("get_account"),
    ),
}
