"""Who pays, and how much at most."""

from collections.abc import Iterator, Mapping
from typing import Any

from policies import taggable
from policies.resources import UNKNOWN, Resource
from policies.rule import Finding, Findings, Sample, Settings, resource_rule, shown

_GROUP = "aws:autoscaling/group:Group"  # its tags are a list of objects
_TAGGABLE = taggable.types() | {_GROUP}

_TAGS = {
    "platform": "inference-platform",
    "environment": "prod",
    "owner": "platform-team",
    "cost-center": "ml-prod",
    "component": "storage",
}


def _tags(resource: Resource) -> Mapping[str, Any]:
    """The resource's own tags over its provider's; `tagsAll` is both, where the provider has merged them."""
    if resource.type == _GROUP:
        return {part.get("key"): part.value.get("value") for part in resource.parts("tags")}
    defaults = resource.provider.get("defaultTags.tags", {})
    return {**defaults, **resource.get("tagsAll", {}), **resource.get("tags", {})}


def _fill_in(resource: Resource, settings: Settings) -> Iterator[Mapping[str, Any]]:
    """The stack's name as environment and what the settings say; only its author knows the component."""
    known = {**settings["fillIn"], "environment": resource.stack}
    missing = {tag: known[tag] for tag in settings["tags"] if tag in known and not _tags(resource).get(tag)}
    if resource.type != _GROUP:
        yield {"tags": missing}


@resource_rule(
    id="required-tags",
    title="Every resource says which environment and part it belongs to, who owns it and who pays",
    severity="high",
    why="A resource without these tags is in nobody's budget, and nobody knows whether it may go.",
    fix="set the tags on the resource, or as default tags on its provider; `environment` is the stack's name",
    types=["aws:*"],
    settings={
        "tags": list[str],
        "allowedValues": dict[str, list[str]],
        "fillIn": dict[str, str],
    },
    good=[Sample(type="aws:s3/bucket:Bucket", props={"tags": _TAGS})],
    bad=[Sample(type="aws:s3/bucket:Bucket", props={"tags": {**_TAGS, "environment": "test", "owner": ""}})],
    remedy=_fill_in,
)
def required_tags(resource: Resource, settings: Settings) -> Findings:
    """`fillIn` are the values that remediation sets where a tag is missing."""
    if resource.type not in _TAGGABLE:
        return
    tags = _tags(resource)
    allowed = {"environment": [resource.stack], **settings["allowedValues"]}
    for tag in settings["tags"]:
        value = tags.get(tag)
        if value is UNKNOWN:
            yield Finding(f"tag `{tag}` is not known yet", undecided=True)
        elif not value:
            yield Finding(f"tag `{tag}` is not set")
        elif value not in allowed.get(tag, [value]):
            yield Finding(f"tag `{tag}` is {shown(value)}; it must be {' or '.join(allowed[tag])}")


RULES = (required_tags,)
