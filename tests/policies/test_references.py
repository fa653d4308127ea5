"""Which resource a property names, where a plan does not know its ids yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from policies.resources import UNKNOWN, Resource

SUBNET = "urn:pulumi:dev::p::aws:ec2/subnet:Subnet::a"


def resource(
    properties: Mapping[str, Any], references: Mapping[str, Sequence[str]] | None = None
) -> Resource:
    return Resource(
        type="t",
        name="r",
        urn="urn:pulumi:dev::p::t::r",
        source=lambda: properties,
        references=references or {},
    )


def subnet(**outputs: Any) -> Resource:
    return Resource(type="aws:ec2/subnet:Subnet", name="a", urn=SUBNET, source=lambda: outputs)


@pytest.mark.parametrize(
    ("ids", "sources", "named"),
    [
        (["subnet-1"], (), True),
        (["subnet-2"], (), False),
        ([UNKNOWN], (SUBNET,), True),
        # Another subnet's id, which nobody knows either, is not this one's.
        ([UNKNOWN], ("urn:of:another",), False),
        ([UNKNOWN], (), None),
    ],
)
def test_an_id_that_nobody_knows_names_nobody(
    ids: Sequence[Any], sources: Sequence[str], named: bool | None
) -> None:
    group = resource({"subnetIds": ids}, {"subnetIds": sources})
    known = UNKNOWN not in ids
    assert group.refers("subnetIds", subnet(id="subnet-1" if known else UNKNOWN)) is named
