"""What the stack costs in a month, before it exists."""

from collections.abc import Iterator, Mapping
from typing import Any

from cost import estimate as costs
from cost import prices
from cost.load import Load
from cost.resources import UNKNOWN as NO_PRICE_YET
from policies.resources import STACK, UNKNOWN, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, stack_rule

_PROVIDER = "pulumi:providers:aws"
_LARGEST = 5


def _plain(value: Any) -> Any:
    """Properties for the estimate, which has a mark of its own for what is unknown."""
    if value is UNKNOWN:
        return NO_PRICE_YET
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _region(stack: Stack) -> str:
    """The region of the stack's provider."""
    return next((str(each.get("region")) for each in stack.of(_PROVIDER) if each.has("region")), "us-east-1")


def _estimate(resource: Resource, stack: Stack) -> costs.Estimate:
    """At the load that the stack exports as output `load`; without one, what it costs when idle."""
    given = [
        {"type": each.type, "urn": each.urn, "parent": each.parent, "inputs": _plain(each.part.value)}
        for each in stack.resources
        if each.type != STACK
    ]
    return costs.estimate(given, Load.read(resource.get("load", {})), prices.load(_region(stack)))


def _fixes(estimate: costs.Estimate, cap: float) -> Iterator[str]:
    """The largest items with what would make each cost less, and how few of them are too much."""
    largest = estimate.largest(_LARGEST)
    for item, money, fix in largest:
        yield f"- ${money.load:,.2f} {item.where}" + (f": {fix}" if fix else "")
    left, without = estimate.total.load, []
    for item, money, _ in largest:
        if left <= cap:
            break
        left -= money.load
        without.append(item.where)
    if left <= cap:
        yield f"without {', '.join(without)} it would be ${left:,.2f}"
    else:
        yield f"even without these it would be ${left:,.2f}; the cap may be wrong"


@stack_rule(
    id="estimated-monthly-cost-cap",
    title="A month at the stated load costs no more than the environment may",
    severity="high",
    why="A plan is where a bill can still be refused; the month after, it can only be paid.",
    fix="take out or make smaller what the message names, or raise the cap in policies/config with its owner",
    types=[STACK],
    settings={"maxUsd": float},
    good=[
        Sample(type=STACK, name="stack", props={}),
        Sample(type="aws:ec2/natGateway:NatGateway", props={"subnetId": "subnet-1"}),
    ],
    bad=[
        Sample(type=STACK, name="stack", props={}),
        Sample(
            type="aws:eks/nodeGroup:NodeGroup",
            name="training",
            props={
                "clusterName": "platform",
                "instanceTypes": ["p5.48xlarge"],
                "scalingConfig": {"minSize": 1, "maxSize": 1},
            },
        ),
    ],
)
def estimated_monthly_cost_cap(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """What has no price at all is a violation, whatever the rest costs."""
    try:
        estimate = _estimate(resource, stack)
    except prices.NoPrices as error:
        yield Finding(str(error))
        return
    for gap in estimate.unpriced:
        yield Finding(f"{gap.resource.where} is not priced: {gap.why}")
    for gap in estimate.undecided:
        yield Finding(f"cost of {gap.resource.where}: {gap.why}", undecided=True)
    cap, total = settings["maxUsd"], estimate.total.load
    if total > cap:
        bound = "at least " if estimate.lower_bound else ""
        lines = "\n".join(_fixes(estimate, cap))
        yield Finding(
            f"a month costs {bound}${total:,.2f}, the cap is ${cap:,.2f}; the largest items:\n{lines}"
        )


RULES = (estimated_monthly_cost_cap,)
