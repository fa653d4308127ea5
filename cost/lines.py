"""A line of an estimate: so many units of one price, in an idle month and in a month at load."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cost.load import HOURS, Load
from cost.prices import Price, PriceTable
from cost.resources import Resource


class Unpriced(Exception):
    """A resource costs money and there is no way to say how much; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Units of one price that a resource takes. Without a figure (`price.usd` None) it counts nothing."""

    resource: Resource
    what: str
    key: str
    """Row of the price table."""
    price: Price
    idle: float
    """Units in a month without requests."""
    load: float
    """Units in a month at the stated load."""
    share: float = 1
    """Part of the list price that is paid, at load: spot nodes cost less."""
    why: str = ""
    """How the units come about."""
    model: str | None = None
    fix: str = ""
    """What would make it less."""

    @property
    def idle_usd(self) -> float:
        return self.price.usd * max(self.idle - self.price.free, 0) * self.share if self.price.usd else 0

    @property
    def load_usd(self) -> float:
        return self.price.usd * max(self.load - self.price.free, 0) * self.share if self.price.usd else 0

    @property
    def left_out(self) -> bool:
        """Whether it would cost something, and no source says how much."""
        return self.price.usd is None and (self.idle > 0 or self.load > 0)

    def arithmetic(self, units: float, usd: float) -> str:
        """`730 hour x $0.045 = $32.85`."""
        free = f" above {self.price.free:,.0f} free" if self.price.free else ""
        if self.price.usd is None:
            return f"{units:,.10g} {self.price.unit} x no source = left out"
        share = f" x {self.share:.4g} (spot)" if self.share != 1 else ""
        each = f"{self.price.usd:.10f}".rstrip("0").rstrip(".")
        return f"{units:,.10g} {self.price.unit}{free} x ${each}{share} = ${usd:,.2f}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All resources with the prices and the load; what a pricer may look at."""

    table: PriceTable
    load: Load
    resources: Sequence[Resource]

    @cached_property
    def _by_type(self) -> Mapping[str, Sequence[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    def of(self, type_: str) -> Sequence[Resource]:
        return self._by_type.get(type_, ())

    def siblings(self, resource: Resource, type_: str) -> Sequence[Resource]:
        """Resources of a type under the same parent."""
        return [each for each in self.of(type_) if each.parent == resource.parent]

    def part(self, amount: float, resource: Resource) -> float:
        """An equal part of what the whole environment uses, for each resource of this type."""
        return amount / len(self.of(resource.type))

    def line(
        self,
        resource: Resource,
        key: str,
        what: str,
        *,
        idle: float = 0,
        load: float | None = None,
        why: str = "",
        model: str | None = None,
        share: float = 1,
        fix: str = "",
    ) -> Line:
        """A line; `load` is as `idle` where it is left out.

        Raises:
            Unpriced: the table has no such row.
        """
        price = self.table.every.get(key)
        if price is None:
            raise Unpriced(f"cost/prices/{self.table.region}.yaml has no row for {key}")
        return Line(
            resource=resource,
            what=what,
            key=key,
            price=price,
            idle=idle,
            load=idle if load is None else load,
            why=why,
            model=model or resource.model,
            share=share,
            fix=fix,
        )

    def hours(self, resource: Resource, key: str, what: str, count: float = 1, fix: str = "") -> Line:
        """A line for what runs all hours of the month."""
        why = f"{count:g} x {HOURS:g} hours"
        return self.line(resource, key, what, idle=count * HOURS, why=why, fix=fix)

    def month(self, resource: Resource, key: str, what: str, count: float = 1, fix: str = "") -> Line:
        """A line for what is charged by the month."""
        return self.line(resource, key, what, idle=count, why=f"{count:g} each month", fix=fix)

    def usage(self, resource: Resource, key: str, what: str, amount: float, why: str = "") -> Line:
        """A line for what is charged by use: nothing in an idle month."""
        return self.line(resource, key, what, load=amount, why=why)


Pricer = Callable[[Resource, Plan], Iterator[Line]]
"""What a resource costs. Raises `Unpriced` and `NotKnownYet`."""
