"""What the environment is asked to do in a month; prices per unit are counted at it.

`environments/load.py` says what each field means to whoever sets it; this is the same as plain values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

HOURS = 730.0
"""Hours of a month, as AWS counts one."""


@dataclass(frozen=True, kw_only=True)
class ModelLoad:
    """A month of one model."""

    requests: float = 0
    jobs: float = 0
    ms: float = 100
    tokens: float = 0
    active_hours: float = 0
    instances: float = 1

    @property
    def calls(self) -> float:
        """Inferences, whichever way they came."""
        return self.requests + self.jobs

    def instance_hours(self, least: float, most: float) -> float:
        """Hours of instances or replicas: the smallest number always, the mean one in the active hours."""
        busy = min(max(self.instances, least), max(most, least))
        return least * HOURS + (busy - least) * min(self.active_hours, HOURS)


@dataclass(frozen=True, kw_only=True)
class Load:
    """A month of an environment."""

    models: Mapping[str, ModelLoad] = field(default_factory=dict)
    function_ms: float = 50
    users: float = 0
    token_requests: float = 0
    nat_gb: float = 0
    endpoint_gb: float = 0
    balancer_gb: float = 0
    log_gb: float = 0
    stored_gb: float = 0
    image_gb: float = 0
    table_gb: float = 0
    stream_gb: float = 0
    scanned_tb: float = 0
    flow_gb: float = 0
    kms_requests: float = 0
    build_minutes: float = 0
    deliveries: float = 0
    management_events: float = 0
    data_events: float = 0
    config_items: float = 0
    spot_share: float = 0
    spot_discount: float = 0

    @property
    def requests(self) -> float:
        """Requests to the API, jobs among them."""
        return sum(model.calls for model in self.models.values())

    @property
    def jobs(self) -> float:
        return sum(model.jobs for model in self.models.values())

    def of(self, model: str | None) -> ModelLoad:
        """A model's month; nothing for one whose load is not stated."""
        return self.models.get(model or "", ModelLoad())

    def paid_share(self, spot_share: float) -> float:
        """What node hours cost as a share of on demand, when `spot_share` of them are spot."""
        return 1 - spot_share * self.spot_discount

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Load":
        """A load as settings and stack outputs have it; fields that are not there have their defaults."""
        known = {each.name for each in fields(cls)} - {"models"}
        models = {name: ModelLoad(**entry) for name, entry in (given.get("models") or {}).items()}
        return cls(models=models, **{name: value for name, value in given.items() if name in known})
