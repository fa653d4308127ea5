"""API Gateway REST APIs; an API's document is `local_aws.rest_api`'s affair."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_aws import ports, rest_api, rest_api_import
from local_aws.provider import Refused
from local_aws.tables.form import Run, Step, call, held, step
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


def _patches(values: Mapping[str, Any]) -> list[Props]:
    """Patch operations for path -> value; None removes what is there."""
    return [
        {"op": "remove", "path": path}
        if value is None
        else {"op": "replace", "path": path, "value": value if isinstance(value, str) else json.dumps(value)}
        for path, value in values.items()
    ]


def _patch(operation: str, target: str, paths: str) -> Step:
    """A step that patches changed properties: `paths` lists them, as `property=path` where the two differ,
    and `target` the parameters, as `parameter=property`."""
    at = {each.split("=")[0]: each.split("=")[-1] for each in paths.split()}
    parameters = dict(each.split("=") for each in target.split())

    def act(run: Run, state: Props, old: Props) -> None:
        changed = {
            f"/{path}": state.get(name) for name, path in at.items() if state.get(name) != old.get(name)
        }
        given = {parameter: state[name] for parameter, name in parameters.items()}
        run(operation, patchOperations=_patches(changed), **given)

    return step(act, on=" ".join(at))


def _document(inputs: Props) -> Props:
    try:
        document: Props = json.loads(inputs.get("body") or "{}")
    except ValueError as error:
        raise Refused(f"body: not JSON: {error}") from error
    return document


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
        try:
            rest_api_import.import_document(run, api["id"], _document(api), _port_of)
        except rest_api.DocumentInvalid as error:
            raise Refused(f"body: {error}") from error


def _port_of(backend: str) -> int:
    return ports.port_of(Path(os.environ["LOCAL_AWS_DIR"]) / "aws", backend)


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


# `tags` is unread since tags given at creation and tags given later are two things in the embedded AWS.
_ARN = "arn:aws:apigateway:{region}::"
_EXECUTION = "arn:aws:execute-api:{region}:{account}"

# fmt: off
TABLE = dict((
    held("apigateway:RestApi", "apigateway", "{customId}", create="create_rest_api", prepare=_api,
         then=(step(_import, on="body"),),
         update=(_patch("update_rest_api", "restApiId=id", "name description policy apiKeySource "
                        "disableExecuteApiEndpoint minimumCompressionSize"),),
         read="get_rest_api", delete="delete_rest_api", unread="tags",
         facts={"rootResourceId": call("get_resources", "items[?path=='/'].id | [0]")},
         outputs={"arn": _ARN + "/restapis/{id}", "executionArn": _EXECUTION + ":{id}"},
         local="putRestApiMode failOnWarnings parameters"),
    held("apigateway:Deployment", "apigateway", "{id}", create="create_deployment",
         update=(_patch("update_deployment", "restApiId=restApi deploymentId=id", "description"),),
         read="get_deployment", delete="delete_deployment", replace="triggers"),
    held("apigateway:Stage", "apigateway", "ags-{restApi}-{stageName}", create="create_stage",
         then=(step(_access_logs, on="accessLogSettings"),),
         update=(_patch("update_stage", "restApiId=restApi stageName=stageName",
                        "deployment=deploymentId description xrayTracingEnabled=tracingEnabled"),
                 step(_variables, on="variables")),
         read="get_stage", delete="delete_stage", unread="tags",
         renames={"xrayTracingEnabled": "tracingEnabled"},
         outputs={"arn": _ARN + "/restapis/{restApi}/stages/{stageName}",
                  "executionArn": _EXECUTION + ":{restApi}/{stageName}",
                  "invokeUrl": "{emulator}/_aws/execute-api/{restApi}/{stageName}"}),
    held("apigateway:MethodSettings", "apigateway", "{restApi}-{stageName}-{methodPath}",
         then=(step(_method_settings, on="settings"),), clear=_drop_method_settings,
         read=call("get_stage", 'methodSettings."{methodPath}" | @ && {settings: @}')),
    held("apigateway:UsagePlan", "apigateway", "{id}", create="create_usage_plan",
         update=(_patch("update_usage_plan", "usagePlanId=id", "name description"),
                 step(_limits, on="throttleSettings quotaSettings")),
         read="get_usage_plan", delete="delete_usage_plan", unread="tags",
         renames={"throttleSettings": "throttle", "quotaSettings": "quota"},
         outputs={"arn": _ARN + "/usageplans/{id}"}),
    held("apigateway:ApiKey", "apigateway", "{id}", create=call("create_api_key", enabled=True),
         update=(_patch("update_api_key", "apiKey=id", "name description enabled"),),
         read=call("get_api_key", includeValue=True), delete="delete_api_key", unread="tags",
         renames={"id": "apiKey"}, outputs={"arn": _ARN + "/apikeys/{id}"}),
    held("apigateway:UsagePlanKey", "apigateway", "{keyId}", create="create_usage_plan_key",
         read="get_usage_plan_key", delete="delete_usage_plan_key"),
    held("apigateway:Account", "apigateway", "api-gateway-account", read="get_account",
         then=(step(_account, on="cloudwatchRoleArn"),)),
))
