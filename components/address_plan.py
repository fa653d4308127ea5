"""The address plan of a VPC: every subnet's place, decided once, as one table.

Subnets keep their place when a zone is added, so growing from two zones to three moves nothing.

For a VPC of /16:

| tier    | zone a       | zone b       | zone c        | addresses each: what lives there                |
|---------|--------------|--------------|---------------|-------------------------------------------------|
| private | x.x.0.0/18   | x.x.64.0/18  | x.x.128.0/18  | 16,379: nodes and pods                          |
| intra   | x.x.192.0/22 | x.x.196.0/22 | x.x.200.0/22  | 1,019: endpoints, load balancers; no way out    |
| public  | x.x.208.0/24 | x.x.209.0/24 | x.x.210.0/24  | 251: NAT gateways                               |

x.x.204.0/22 and x.x.211.0 to x.x.255.255 stay free. A smaller VPC divides in the same proportions. Single
addresses (endpoints, load balancers) stay out of the private subnets, so that those keep the whole /28
blocks that prefix delegation needs.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Network = ipaddress.IPv4Network

LARGEST_PREFIX_LENGTH, SMALLEST_PREFIX_LENGTH = 16, 20
"""Sizes a VPC may have: AWS takes /16 to /28, and from /21 on the public subnets would be smaller than /28.
https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"""

# RFC 1918, and the shared space of RFC 6598 that many VPCs use for pods.
_PRIVATE_SPACE = [
    Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
]
# Docker's default bridge on CodeBuild and SageMaker hosts: its addresses would never reach the VPC.
_DOCKER_BRIDGE = Network("172.17.0.0/16")
_PREFIX_BLOCK = 16  # addresses in the /28 that prefix delegation hands to a node


class Tier(StrEnum):
    """What a subnet reaches: the internet, the internet through NAT where there is one, or the VPC only."""

    PUBLIC = "public"
    PRIVATE = "private"
    INTRA = "intra"


# Tier -> (bits that a subnet's prefix is longer than the VPC's, index of the first zone's block of that size)
_LAYOUT = {Tier.PRIVATE: (2, 0), Tier.INTRA: (6, 48), Tier.PUBLIC: (8, 208)}


class AddressPlanInvalid(ValueError):
    """The VPC's range cannot be divided; the message says why and what would be accepted."""


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """One subnet of the plan."""

    tier: Tier
    zone: int
    """Index of its availability zone, from 0."""
    cidr: Network

    @property
    def pod_prefixes(self) -> int:
        """/28 blocks that prefix delegation can hand to nodes: all but the two that hold
        the addresses AWS keeps, the first four and the last of a subnet.

        A node with the 110 pods of most instance types holds 7 blocks and keeps an eighth warm
        (WARM_PREFIX_TARGET=1): a private /18 carries 127 such nodes, a /22 (in a VPC of /20) carries 7.
        https://docs.aws.amazon.com/eks/latest/best-practices/prefix-mode-linux.html
        """
        return max(self.cidr.num_addresses // _PREFIX_BLOCK - 2, 0)


def address_plan(vpc_cidr: str, zones: int) -> Sequence[Subnet]:
    """The subnets of a VPC, tier by tier and zone by zone.

    Args:
        vpc_cidr: range of the VPC, e.g. `10.20.0.0/16`.
        zones: how many availability zones it spans, 2 or 3.

    Raises:
        AddressPlanInvalid: the range or the number of zones does not fit.
    """
    if zones not in (2, 3):
        raise AddressPlanInvalid(f"{zones} availability zones: a VPC of this platform spans 2 or 3")
    vpc = _vpc_network(vpc_cidr)
    return [
        Subnet(tier=tier, zone=zone, cidr=_block(vpc, bits, first + zone))
        for tier, (bits, first) in _LAYOUT.items()
        for zone in range(zones)
    ]


def _vpc_network(vpc_cidr: str) -> Network:
    try:
        vpc = Network(vpc_cidr)
    except ValueError as error:
        raise AddressPlanInvalid(
            f"{vpc_cidr!r} is no IPv4 range ({error}); write it like 10.20.0.0/16"
        ) from None
    if not LARGEST_PREFIX_LENGTH <= vpc.prefixlen <= SMALLEST_PREFIX_LENGTH:
        raise AddressPlanInvalid(
            f"{vpc} does not fit: a VPC of this platform is /{LARGEST_PREFIX_LENGTH} (AWS's largest) to "
            f"/{SMALLEST_PREFIX_LENGTH} (below it the public subnets are smaller than AWS's smallest, /28)"
        )
    if not any(vpc.subnet_of(block) for block in _PRIVATE_SPACE):
        raise AddressPlanInvalid(
            f"{vpc} is not private address space; use a part of " + ", ".join(map(str, _PRIVATE_SPACE))
        )
    if vpc.overlaps(_DOCKER_BRIDGE):
        raise AddressPlanInvalid(
            f"{vpc} overlaps {_DOCKER_BRIDGE}, Docker's bridge on build and SageMaker hosts; use another"
        )
    return vpc


def _block(vpc: Network, bits: int, index: int) -> Network:
    """The `index`-th of the equal parts into which `bits` more bits of prefix divide the VPC."""
    length = vpc.prefixlen + bits
    return Network((int(vpc.network_address) + (index << (32 - length)), length))
