"""The address plan: every subnet inside the VPC, none in another's way, sizes as documented."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.address_plan import AddressPlanInvalid, Tier, address_plan

_ranges = st.builds(
    lambda second, third, length: str(
        ipaddress.IPv4Network((f"10.{second}.{third}.0", length), strict=False)
    ),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(16, 20),
)


@given(_ranges, st.sampled_from([2, 3]))
def test_subnets_stay_inside_the_vpc_and_never_overlap(vpc_cidr: str, zones: int) -> None:
    vpc = ipaddress.IPv4Network(vpc_cidr)
    plan = address_plan(vpc_cidr, zones)
    assert all(subnet.cidr.subnet_of(vpc) for subnet in plan)
    assert not any(a.cidr.overlaps(b.cidr) for a, b in itertools.combinations(plan, 2))
    assert {(subnet.tier, subnet.zone) for subnet in plan} == set(itertools.product(Tier, range(zones)))


@given(_ranges, st.sampled_from([2, 3]))
def test_each_tier_has_its_share_of_the_vpc(vpc_cidr: str, zones: int) -> None:
    size = ipaddress.IPv4Network(vpc_cidr).num_addresses
    shares = {Tier.PRIVATE: 4, Tier.INTRA: 64, Tier.PUBLIC: 256}
    for subnet in address_plan(vpc_cidr, zones):
        assert subnet.cidr.num_addresses == size // shares[subnet.tier]


@given(_ranges)
def test_a_third_zone_moves_no_subnet_of_the_first_two(vpc_cidr: str) -> None:
    two, three = ({(s.tier, s.zone): s.cidr for s in address_plan(vpc_cidr, zones)} for zones in (2, 3))
    assert two.items() < three.items()


def test_the_plan_of_a_16_is_the_documented_table() -> None:
    plan = {(subnet.tier, subnet.zone): str(subnet.cidr) for subnet in address_plan("10.20.0.0/16", 3)}
    assert plan == {
        (Tier.PRIVATE, 0): "10.20.0.0/18",
        (Tier.PRIVATE, 1): "10.20.64.0/18",
        (Tier.PRIVATE, 2): "10.20.128.0/18",
        (Tier.INTRA, 0): "10.20.192.0/22",
        (Tier.INTRA, 1): "10.20.196.0/22",
        (Tier.INTRA, 2): "10.20.200.0/22",
        (Tier.PUBLIC, 0): "10.20.208.0/24",
        (Tier.PUBLIC, 1): "10.20.209.0/24",
        (Tier.PUBLIC, 2): "10.20.210.0/24",
    }


@pytest.mark.parametrize(("vpc_cidr", "full_nodes"), [("10.0.0.0/16", 127), ("10.0.0.0/20", 7)])
def test_private_subnets_carry_the_documented_number_of_full_nodes(vpc_cidr: str, full_nodes: int) -> None:
    blocks_of_a_full_node = 8  # 110 pods in 7 blocks of 16, and one kept warm
    [private, *_] = [subnet for subnet in address_plan(vpc_cidr, 2) if subnet.tier == Tier.PRIVATE]
    assert private.pod_prefixes // blocks_of_a_full_node == full_nodes


@pytest.mark.parametrize(
    ("vpc_cidr", "zones", "reason"),
    [
        ("10.0.0.0/16", 1, "spans 2 or 3"),
        ("10.0.0.0/16", 4, "spans 2 or 3"),
        ("10.0.0.0/15", 2, "AWS's largest"),
        ("10.0.0.0/21", 2, "smaller than AWS's smallest"),
        ("10.0.0.1/16", 2, "has host bits set"),
        ("10.0.0.0/16x", 2, "no IPv4 range"),
        ("fd00::/56", 2, "no IPv4 range"),
        ("52.0.0.0/16", 2, "not private address space"),
        ("172.17.0.0/16", 2, "Docker's bridge"),
        ("172.16.0.0/12", 2, "does not fit"),
    ],
)
def test_a_range_that_does_not_fit_is_refused_with_the_reason(vpc_cidr: str, zones: int, reason: str) -> None:
    with pytest.raises(AddressPlanInvalid, match=reason):
        address_plan(vpc_cidr, zones)
