"""What a request and a second of computing cost by list price, for attribution to whoever asked."""

from dataclasses import dataclass

from cost.prices import PriceTable

_MILLION, _HOUR_S = 1e6, 3600


@dataclass(frozen=True, kw_only=True)
class Compute:
    """What one model computes on; one of the kinds."""

    memory_gb: float = 0
    """Of a function or of a serverless endpoint, which are billed by it."""
    processor: str = ""
    """Of a function: arm or x86."""
    instance: str = ""
    """Type of the instances or nodes, which are billed by the hour."""
    gpus: int = 0
    """GPUs that a replica takes of its node; 0 is the whole instance."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """USD for a second of computing, and for each request beside it. None where no price has a source."""

    second: float | None
    request: float | None = 0.0

    def cost(self, requests: float, seconds: float) -> float | None:
        """USD; the seconds alone, so neither idle capacity nor what replicas do at the same time."""
        if self.second is None or self.request is None:
            return None
        return requests * self.request + seconds * self.second


def rate(table: PriceTable, compute: Compute, *, through_api: bool) -> Rate:
    """What is paid for a model's computing; `through_api` adds the gateway's price of a request."""
    request = _usd(table, "api.rest", 1 / _MILLION) if through_api else 0.0
    if compute.processor:
        second = _usd(table, f"lambda.{compute.processor}", compute.memory_gb)
        invocation = _usd(table, "lambda.requests", 1 / _MILLION)
        both = None if request is None or invocation is None else request + invocation
        return Rate(second=second, request=both)
    if compute.memory_gb:
        return Rate(second=_usd(table, "sagemaker.serverless", compute.memory_gb), request=request)
    share = compute.gpus / table.gpus(compute.instance) if compute.gpus else 1
    return Rate(second=_usd(table, f"instance.{compute.instance}", share / _HOUR_S), request=request)


def _usd(table: PriceTable, key: str, units: float) -> float | None:
    price = table.every.get(key)
    return None if price is None or price.usd is None else price.usd * units
