"""The tags that every resource carries: who owns it, who pays, which environment and part it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Cost-allocation tags of one environment; `component()` adds the part that a resource belongs to."""

    platform: str
    """Name of the platform: the Pulumi project."""
    environment: str
    """Name of the environment: the Pulumi stack."""
    owner: str
    """Team that answers for it."""
    cost_center: str
    """Who pays."""

    def component(self, component: str) -> Mapping[str, str]:
        return {
            "platform": self.platform,
            "environment": self.environment,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "component": component,
        }
