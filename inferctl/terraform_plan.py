"""A deployment in the words of a Terraform plan, which is what checkov can read. Nothing here runs Terraform.

pulumi-aws is a bridge over Terraform's provider: its names are Terraform's in camelCase, a block that can
stand there once is an object, and a block that can repeat is a list with a plural name. So the way back needs
the shapes of the SDK's types and a short list of exceptions. See the JSON output format of Terraform,
https://developer.hashicorp.com/terraform/internals/json-format.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local_aws.sdk_types import ResourceType, Shape, UnknownType, resource_type

# Where a Terraform type does not begin with the SDK's module.
_PREFIXES = {
    "apigateway": "api_gateway",
    "cfg": "config",
    "costexplorer": "ce",
    "ec2": "",
    "elb": "",
    "alb": "",
}
_TYPES = {
    "aws:cfg/recorder:Recorder": "aws_config_configuration_recorder",
    "aws:cfg/recorderStatus:RecorderStatus": "aws_config_configuration_recorder_status",
    "aws:cfg/rule:Rule": "aws_config_config_rule",
    "aws:cloudtrail/trail:Trail": "aws_cloudtrail",
    "aws:codepipeline/pipeline:Pipeline": "aws_codepipeline",
    "aws:lb/loadBalancer:LoadBalancer": "aws_lb",
    "aws:s3/bucketObjectv2:BucketObjectv2": "aws_s3_object",
}
_PROPERTIES = {
    ("aws_lambda_function", "name"): "function_name",
    ("aws_lambda_function", "code"): "filename",
    ("aws_lambda_permission", "function"): "function_name",
    ("aws_cloudwatch_metric_alarm", "name"): "alarm_name",
    ("aws_sns_topic_subscription", "topic"): "topic_arn",
}
_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Marks the objects that stand for what JSON has no word for (pulumi/sdk/go/common/resource/sig)."""
_GATEWAY_IDS = ("restApi", "deployment")
_NAMES = ("id", "arn", "name", "bucket", "keyId", "repositoryUrl")
"""Outputs by which another resource's property can name a resource."""


def terraform_plan(export: Mapping[str, Any]) -> dict[str, Any]:
    """The plan that would create every AWS resource of a deployment.

    A property that is another resource's id, ARN or name becomes a reference to it: checkov's checks over
    several resources follow those.
    """
    resources = [each for each in export["deployment"].get("resources", []) if _is_aws(each)]
    addresses = {each["urn"]: address(each) for each in resources}
    by_urn = {each["urn"]: each for each in resources}
    planned, configured, changes = [], [], []
    for resource in resources:
        where = addresses[resource["urn"]]
        head = {"address": where, "mode": "managed", "type": where.split(".")[0], "name": where.split(".")[1]}
        references = {
            prop: [addresses[source["urn"]] for source in sources]
            for prop, sources in _references(resource, by_urn)
        }
        given = {prop: value for prop, value in resource["inputs"].items() if prop not in references}
        values = _values(resource_type(resource["type"]), head["type"], given)
        expressions = {
            _terraform_name(head["type"], prop): {
                "references": [f"{source}.id" for source in sources] + sources
            }
            for prop, sources in references.items()
        }
        planned.append({**head, "values": values})
        configured.append({**head, "expressions": expressions})
        after = {"actions": ["create"], "before": None, "after": values, "after_unknown": {}}
        changes.append({**head, "change": after})
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": planned}},
        "resource_changes": changes,
        "configuration": {"root_module": {"resources": configured}},
    }


def address(resource: Mapping[str, Any]) -> str:
    """`type.name` of a resource; the name is the logical one, with underscores."""
    name = resource["urn"].rpartition("::")[2]
    return f"{terraform_type(resource['type'])}.{re.sub(r'[^A-Za-z0-9]', '_', name)}"


def terraform_type(token: str) -> str:
    if token in _TYPES:
        return _TYPES[token]
    module, name = token.split(":")[1].split("/")[0], token.split(":")[2]
    return "_".join(part for part in ("aws", _PREFIXES.get(module, module), _snake(name)) if part)


def _is_aws(resource: Mapping[str, Any]) -> bool:
    if not resource["type"].startswith("aws:") or not resource.get("custom"):
        return False
    try:
        resource_type(resource["type"])
    except UnknownType:
        return False
    return True


def _references(
    resource: Mapping[str, Any], by_urn: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """(property, resources that it names) of the properties that are nothing but names of resources."""
    for prop, urns in (resource.get("propertyDependencies") or {}).items():
        value = resource["inputs"].get(prop)
        items = value if isinstance(value, list) else [value]
        sources = [by_urn[urn] for urn in urns if urn in by_urn]
        named = [next((each for each in sources if _is_named(item, each)), None) for item in items]
        if sources and all(named):
            yield prop, [each for each in named if each]


def _is_named(value: Any, resource: Mapping[str, Any]) -> bool:
    known = {"id": resource.get("id"), **resource.get("outputs", {})}
    return isinstance(value, str) and value in [known.get(name) for name in _NAMES]


def _values(type_: ResourceType, terraform: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for prop, given in inputs.items()
        if not prop.startswith("__") and given is not None
        for name, value in [
            _pair(type_, terraform, prop, given, type_.inputs.get(prop) or type_.outputs.get(prop))
        ]
    }


def _pair(type_: ResourceType, terraform: str, prop: str, value: Any, shape: Shape | None) -> tuple[str, Any]:
    """Terraform's name and form of one property."""
    name = _terraform_name(terraform, prop)
    if isinstance(value, Mapping) and _SIGNATURE in value:  # an asset, or a secret, which stays one
        return name, value.get("path", "(secret)")
    fields = type_.fields(shape) if shape and shape.kind == "object" else {}
    if fields and isinstance(value, Mapping):
        return name, [_block(type_, value, fields)]
    of = shape.of if shape and shape.kind == "list" else None
    if of and of.kind == "object" and isinstance(value, list):
        fields = type_.fields(of)
        return _singular(name), [_block(type_, each, fields) for each in value if isinstance(each, Mapping)]
    return name, value


def _block(type_: ResourceType, value: Mapping[str, Any], fields: Mapping[str, Shape]) -> dict[str, Any]:
    return dict(
        _pair(type_, "", prop, inner, fields.get(prop)) for prop, inner in value.items() if inner is not None
    )


def _terraform_name(terraform: str, prop: str) -> str:
    if terraform.startswith("aws_api_gateway_") and prop in _GATEWAY_IDS:
        return f"{_snake(prop)}_id"
    return _PROPERTIES.get((terraform, prop)) or _snake(prop)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _singular(name: str) -> str:
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ss", "ss"), ("s", "")):
        if name.endswith(plural):
            return name.removesuffix(plural) + singular
    return name
