"""Which instance types are worth their price."""

from typing import Annotated

from pydantic import Field

from policies.capacity import CAPACITY, expect_types, family, has_graviton_sibling
from policies.resources import Resource
from policies.rule import Findings, Settings, resource_rule


@resource_rule(
    id="graviton-advisory",
    title="CPU nodes use arm64 where there is a choice",
    severity="low",
    why="The same size on Graviton costs about 20 % less.",
    fix="use the family's g variant (m7g for m7i) with an arm64 image, or keep x86 for images that need it",
    types=CAPACITY,
    good={"instanceTypes": ["m7g.large"]},
    bad={"instanceTypes": ["m7i.large"]},
)
def graviton_advisory(resource: Resource, settings: Settings) -> Findings:
    yield from expect_types(
        resource, lambda each: not has_graviton_sibling(each), "arm64 (a Graviton family)"
    )


@resource_rule(
    id="previous-generation-instances",
    title="No instance is of a previous generation",
    severity="low",
    why="Old families cost more for less, and AWS runs out of them.",
    fix="use the current generation of the same kind",
    types=CAPACITY,
    settings={"families": Annotated[list[str], Field(min_length=1)]},
    good={"instanceTypes": ["g6.xlarge"]},
    bad={"instanceTypes": ["g4dn.xlarge"]},
)
def previous_generation(resource: Resource, settings: Settings) -> Findings:
    yield from expect_types(
        resource, lambda each: family(each) not in settings["families"], "of a current family"
    )


RULES = (graviton_advisory, previous_generation)
