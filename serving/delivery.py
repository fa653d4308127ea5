"""Steps that bring a model version to life. Each may be killed at any point and be run again.

    publish         a folder with a model and its manifest to the models bucket (see publication)
    verify          that what the bucket has is what the manifest says
    deliver_lambda  a version to the alias that clients are served from, once its golden requests pass

Clients are passed in. A version that was refused has changed nothing that a client of the API can see.
"""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from serving.manifest import Manifest
from serving.publication import DeliveryRefused, publish, verify

__all__ = ["Delivery", "DeliveryRefused", "deliver_lambda", "publish", "verify"]

# What a published version fixes for good.
_SETTINGS = (
    "Architectures",
    "CodeSha256",
    "Environment",
    "EphemeralStorage",
    "Handler",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
)
VERSION_VARIABLE = "MODEL_VERSION"
NAME_VARIABLE = "MODEL_NAME"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `deliver_lambda` did. Versions of the model and, as `lambda_…`, of the function.

    `changed` is False when the alias served the version already; old and new are the same then.
    """

    function: str
    alias: str
    model: str
    digest: str
    old_version: str
    new_version: str
    lambda_old_version: str
    lambda_new_version: str
    changed: bool


def deliver_lambda(client: Any, function: str, alias: str, manifest: Manifest) -> Delivery:
    """Make `alias` serve the version of `manifest`, which `publish` or `verify` returned.

    The function's configuration gets the version; a Lambda version of it is published and must pass the
    golden requests with the manifest's digest; only then the alias moves, at once and for all requests.
    Otherwise the alias stays, the configuration is put back, and DeliveryRefused says why.
    """
    pointer = _alias(client, function, alias)
    live = pointer["FunctionVersion"]
    serving = _environment(client, function, live)
    if serving.get(NAME_VARIABLE) != manifest.name:
        raise DeliveryRefused(f"{function} serves {serving.get(NAME_VARIABLE)}, not {manifest.name}")
    old = serving.get(VERSION_VARIABLE, "none")
    weighted = pointer.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    done = (
        old == manifest.version
        and not weighted
        and _is_current(client, function, live)
        and not _faults(client, function, live, manifest)
    )
    new = live if done else _replace(client, function, pointer, manifest, old)
    return Delivery(
        function=function,
        alias=alias,
        model=manifest.name,
        digest=manifest.sha256,
        old_version=old,
        new_version=manifest.version,
        lambda_old_version=live,
        lambda_new_version=new,
        changed=not done,
    )


def _replace(client: Any, function: str, pointer: dict[str, Any], manifest: Manifest, old: str) -> str:
    """Publish a Lambda version that serves the manifest's, try it and point the alias at it."""
    what = f"{manifest.name} {manifest.version} on {function}"
    new = None
    try:
        revision = _configure(client, function, manifest.version)
        new = client.publish_version(
            FunctionName=function, Description=f"{manifest.name} {manifest.version}", RevisionId=revision
        )["Version"]
        client.get_waiter("published_version_active").wait(FunctionName=function, Qualifier=new)
        if faults := _faults(client, function, new, manifest):
            raise DeliveryRefused(f"{what}: {faults}")
        client.update_alias(
            FunctionName=function,
            Name=pointer["Name"],
            FunctionVersion=new,
            RoutingConfig={"AdditionalVersionWeights": {}},
            RevisionId=pointer["RevisionId"],
        )
    except (DeliveryRefused, ClientError, WaiterError) as error:
        # Unless another delivery has taken over the function, whose version must not be undone.
        if _environment(client, function).get(VERSION_VARIABLE) == manifest.version != old:
            _configure(client, function, old)
        if new is not None:
            _discard(client, function, new)
        if isinstance(error, DeliveryRefused):
            raise
        raise DeliveryRefused(f"{what}: the function was not changed: {error}") from error
    return str(new)


def _configure(client: Any, function: str, version: str) -> str:
    """Set the model's version in the unpublished function, wait until it holds, and return the revision.

    Revisions make every step fail that meets a change by somebody else.
    """
    waiter = client.get_waiter("function_updated_v2")
    waiter.wait(FunctionName=function)  # an update that is under way refuses any other
    configuration = client.get_function_configuration(FunctionName=function)
    variables = _variables(configuration, function) | {VERSION_VARIABLE: version}
    client.update_function_configuration(
        FunctionName=function, Environment={"Variables": variables}, RevisionId=configuration["RevisionId"]
    )
    waiter.wait(FunctionName=function)
    configuration = client.get_function_configuration(FunctionName=function)
    if _variables(configuration, function) != variables:
        raise DeliveryRefused(f"another delivery changed {function} at the same time; deliver again")
    return str(configuration["RevisionId"])


def _is_current(client: Any, function: str, version: str) -> bool:
    """Whether a Lambda version has the code and settings of the unpublished function.

    A deployment changes those without touching what clients are served from; a delivery brings them there.
    """
    published, latest = (
        client.get_function_configuration(FunctionName=function, Qualifier=qualifier)
        for qualifier in (version, "$LATEST")
    )
    return all(published.get(setting) == latest.get(setting) for setting in _SETTINGS)


def _discard(client: Any, function: str, version: str) -> None:
    """Delete a refused Lambda version. One that an alias holds is older than this delivery and stays."""
    try:
        client.delete_function(FunctionName=function, Qualifier=version)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceConflictException":
            raise


def _faults(client: Any, function: str, qualifier: str, manifest: Manifest) -> str:
    """Why a Lambda version does not serve the manifest's version rightly; empty when it does."""
    answer = client.invoke(FunctionName=function, Qualifier=qualifier, Payload=b'{"golden": true}')
    outcome = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return f"the function failed: {outcome.get('errorMessage', answer['FunctionError'])}"
    served = (outcome["model"], outcome["version"], outcome["digest"])
    if outcome["failed"]:
        reasons = [
            f"golden request {failed['golden']}: {failed['reason']}" if failed["golden"] else failed["reason"]
            for failed in outcome["failed"]
        ]
        return "; ".join(reasons)
    if served != (manifest.name, manifest.version, manifest.sha256):
        return f"it serves {served}, expected {(manifest.name, manifest.version, manifest.sha256)}"
    return "" if outcome["passed"] == len(manifest.golden) else "not every golden request was run"


def _alias(client: Any, function: str, alias: str) -> dict[str, Any]:
    try:
        pointer: dict[str, Any] = client.get_alias(FunctionName=function, Name=alias)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            raise DeliveryRefused(f"{function} has no alias {alias}: provision the stack first") from error
        raise
    return pointer


def _environment(client: Any, function: str, qualifier: str = "$LATEST") -> dict[str, str]:
    return _variables(client.get_function_configuration(FunctionName=function, Qualifier=qualifier), function)


def _variables(configuration: dict[str, Any], function: str) -> dict[str, str]:
    environment = configuration.get("Environment", {})
    if "Error" in environment:
        # Writing back what could not be read would erase it.
        raise DeliveryRefused(f"the environment of {function} cannot be read: {environment['Error']}")
    return dict(environment.get("Variables", {}))
