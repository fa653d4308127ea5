"""What deliveries know of a model: what serves it, how its requests are moved, what they must not break."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from components.function import LIVE
from components.jobs_queue import JobsQueue
from components.sagemaker_backend import SageMakerBackend
from naming import Names


@dataclass(frozen=True, kw_only=True)
class DeliveredModel:
    """A model, as deliveries see it."""

    backend: Literal["lambda", "sagemaker", "eks"]
    """What serves it; says which worker moves its requests."""
    unmoved: str = ""
    """Why deliveries do not move it, which is what they answer; empty where they do."""
    endpoint: SageMakerBackend | None = None
    """Its endpoint, on SageMaker."""
    queue: JobsQueue | None = None
    """Its jobs queue, on EKS: a message in it starts the first replica."""
    p99_ms: int
    """99th percentile of the latency that its objective allows, milliseconds."""
    availability: float
    """Percent of requests that are to be answered without a 5xx."""
    alarms: Sequence[str] = ()
    """Names of metric alarms that refuse a canary when they ring after it began."""
    canary_s: int | None = None
    """How long its canaries are watched; None means as all models'."""

    def settings(self, names: Names, model: str, **canary: Any) -> pulumi.Output[str]:
        """Its parameter `delivery`, as JSON. `canary`: how canaries are watched unless it says so itself."""
        own = {} if self.canary_s is None else {"canary_s": self.canary_s}
        return pulumi.Output.json_dumps(
            {
                "backend": self.backend,
                "worker": "" if self.unmoved else names.function(f"delivery-{self.backend}"),
                "unmoved": self.unmoved,
                "target": self._target(names, model),
                "p99_ms": self.p99_ms,
                "availability": self.availability,
                "alarms": list(self.alarms),
                **canary,
                **own,
            },
            sort_keys=True,
        )

    def _target(self, names: Names, model: str) -> pulumi.Input[Mapping[str, Any]]:
        """What the worker moves."""
        if self.endpoint is not None:
            return self.endpoint.update_request.apply(
                lambda request: {
                    "endpoint": request["EndpointName"],
                    "deployment": request["DeploymentConfig"],
                }
            )
        if self.queue is not None:
            return {"queue_url": self.queue.url}
        return {"function": names.function(f"model-{model}"), "alias": LIVE}
