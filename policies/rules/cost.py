"""Who pays, and how much at most."""

from collections.abc import Mapping
from typing import Any

from policies import taggable
from policies.model import UNKNOWN, Finding, Findings, Resource, Sample, Settings, resource_rule, shown

_GROUP = "aws:autoscaling/group:Group"  # its tags are a list of objects
_TAGGABLE = taggable.types() | {_GROUP}

_TAGS = {
    "platform": "inference-platform",
    "environment": "prod",
    "owner": "platform-team",
    "cost-center": "ml-prod",
    "component": "storage",
}


@resource_rule(
    id="required-tags",
    title="Every resource says which environment and part it belongs to, who owns it and who pays",
    severity="high",
    why="A resource without these tags is in nobody's budget, and nobody knows whether it may go.",
    fix="set the tags on the resource, or as default tags on its provider; `environment` is the stack's name",
    types=["aws:*"],
    settings={"tags": list[str], "allowedValues": dict[str, list[str]]},
    good=[Sample(type="aws:s3/bucket:Bucket", props={"tags": _TAGS})],
    bad=[Sample(type="aws:s3/bucket:Bucket", props={"tags": {**_TAGS, "environment": "test", "owner": ""}})],
)
def required_tags(resource: Resource, settings: Settings) -> Findings:
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


def _tags(resource: Resource) -> Mapping[str, Any]:
    """The resource's own tags over its provider's; `tagsAll` is both, where the provider has merged them."""
    if resource.type == _GROUP:
        own = {part.get("key"): part.value.get("value") for part in resource.parts("tags")}
    else:
        own = resource.get("tags", {})
    return {**resource.provider.get("defaultTags.tags", {}), **resource.get("tagsAll", {}), **own}


RULES = (required_tags,)
