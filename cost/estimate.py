"""An estimate: every line, what is left out, and the totals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cost import accelerated, data, free, functions, hosting, machines, network, watching
from cost.lines import Line, Plan, Pricer, Unpriced
from cost.load import Load
from cost.prices import PriceTable
from cost.resources import NotKnownYet, Resource, placed

PRICERS: Mapping[str, Pricer] = {
    **network.PRICERS,
    **functions.PRICERS,
    **machines.PRICERS,
    **accelerated.PRICERS,
    **hosting.PRICERS,
    **data.PRICERS,
    **watching.PRICERS,
}
"""Type -> what a resource of it costs."""

# Packages whose resources are no cloud resources, or stand for others that are counted.
_NOT_CLOUD = ("pulumi:", "eks:", "random:", "tls:", "inference-platform:")


@dataclass(frozen=True)
class Money:
    """USD in an idle month and in a month at the stated load."""

    idle: float
    load: float


@dataclass(frozen=True)
class Gap:
    """A resource whose cost is not known, and why."""

    resource: Resource
    why: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a deployment costs in a month."""

    table: PriceTable
    load: Load
    lines: Sequence[Line]
    unpriced: Sequence[Gap]
    """Resources that cost something and have no price: never to be taken for $0."""
    undecided: Sequence[Gap]
    """Resources whose price depends on what is known after `up`."""

    @property
    def total(self) -> Money:
        return money(self.lines)

    @property
    def left_out(self) -> Sequence[Line]:
        """Lines with no source for their price."""
        return [line for line in self.lines if line.left_out]

    @property
    def lower_bound(self) -> bool:
        """Whether the real cost is higher, because something is left out."""
        return bool(self.left_out or self.unpriced or self.undecided)

    def by_resource(self) -> Mapping[str, Money]:
        """URN -> cost."""
        return self._by(lambda line: line.resource.urn)

    def by_component(self) -> Mapping[str, Money]:
        """Name of an outermost component -> cost."""
        return self._by(lambda line: line.resource.component)

    def by_model(self) -> Mapping[str, Money]:
        """Model -> cost of what is its own and of its requests; `(shared)` is the rest."""
        return self._by(lambda line: line.model or "(shared)")

    def largest(self, count: int) -> Sequence[tuple[Resource, Money, str]]:
        """The most expensive resources at load, with what would make each cost less."""
        lines = self._grouped(lambda line: line.resource.urn).values()
        items = [
            (group[0].resource, money(group), next((line.fix for line in group if line.fix), ""))
            for group in lines
            if money(group).load
        ]
        return sorted(items, key=lambda item: (-item[1].load, item[0].urn))[:count]

    def per_1000_requests(self, model: str) -> float | None:
        """USD of a model's month at load for 1,000 of its inferences; None without a load."""
        calls = self.load.of(model).calls
        return self.by_model()[model].load / calls * 1000 if calls and model in self.by_model() else None

    def per_million_tokens(self, model: str) -> float | None:
        """USD of a model's month at load for a million of its tokens; None where none are stated."""
        tokens = self.load.of(model).calls * self.load.of(model).tokens
        return self.by_model()[model].load / tokens * 1e6 if tokens and model in self.by_model() else None

    def _grouped(self, key: Callable[[Line], str]) -> Mapping[str, Sequence[Line]]:
        groups: dict[str, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(key(line), []).append(line)
        return groups

    def _by(self, key: Callable[[Line], str]) -> Mapping[str, Money]:
        return {name: money(lines) for name, lines in sorted(self._grouped(key).items())}


def money(lines: Iterable[Line]) -> Money:
    """The sum of lines."""
    both = [(line.idle_usd, line.load_usd) for line in lines]
    return Money(sum(idle for idle, _ in both), sum(load for _, load in both))


def estimate(resources: Sequence[Mapping[str, Any]], load: Load, table: PriceTable) -> Estimate:
    """The cost of resources given as mappings of `type`, `urn`, `inputs` and `parent`."""
    plan = Plan(table=table, load=load, resources=placed(resources))
    lines: list[Line] = []
    unpriced: list[Gap] = []
    undecided: list[Gap] = []
    for resource in plan.resources:
        if resource.type.startswith(_NOT_CLOUD):
            continue
        pricer = PRICERS.get(resource.type)
        if pricer is None:
            if free.reason(resource.type) is None:
                unpriced.append(
                    Gap(resource, f"type {resource.type} has no price and is not said to be free")
                )
            continue
        try:
            lines += list(pricer(resource, plan))
        except NotKnownYet as error:
            undecided.append(Gap(resource, f"`{error.path}` is not known yet"))
        except (Unpriced, ValueError) as error:
            unpriced.append(Gap(resource, str(error)))
    return Estimate(table=table, load=load, lines=lines, unpriced=unpriced, undecided=undecided)


def of_export(export: Mapping[str, Any], load: Load, table: PriceTable) -> Estimate:
    """The cost of a deployment as `pulumi stack export` writes it."""
    return estimate(export["deployment"].get("resources", []), load, table)
