"""The tags that every resource carries: who owns it, who pays, which environment and part it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Cost-allocation tags of one environment; `component()` adds the part that a resource belongs to."""

    platform: str
    environment: str
    owner: str
    cost_center: str

    def component(self, component: str) -> Mapping[str, str]:
        return {
            "platform": self.platform,
            "environment": self.environment,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "component": component,
        }
