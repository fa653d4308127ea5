"""What there is to watch of one model, derived from its entry in the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from components import metric
from components.jobs_queue import dead_letters_prefix, queue_prefix
from components.metric import Metric
from components.network_policies import NAMESPACE
from components.sagemaker_hosting import VARIANT, kind_of
from naming import Names

Backend = Literal["lambda", "eks", "sagemaker"]
Mode = Literal["real-time", "async", "serverless"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the metrics of an environment come from."""

    names: Names
    stage: str
    """Stage of the API."""
    architecture: str = "arm64"
    """Of the functions; what their time costs follows it."""
    cluster_name: str | None = None
    """Cluster that serves models; None where there is none."""

    @property
    def api_name(self) -> str:
        return self.names.prefix


@dataclass(frozen=True, kw_only=True)
class ModelWatch:
    """Facts about a model that say which metrics it has and what is too much."""

    model: str
    backend: Backend
    mode: Mode | None = None
    """How SageMaker hosts it; None on the other backends."""
    instance: str = ""
    """Instance type that serves it, on SageMaker or in the cluster; empty where there is none."""
    gpu: bool = False
    """Whether it runs on GPUs."""
    p99_ms: int = 1000
    """Objective: 99th percentile of the latency at the gateway, milliseconds."""
    availability: float = 99.5
    """Objective: percent of the requests answered without a 5xx over 30 days."""
    memory_mb: int = 0
    """Memory of its function, MiB."""
    concurrency: int = 0
    """Requests that its function or serverless endpoint takes at once; 0 where nothing says so."""
    warm: int = 0
    """Environments of its function that are kept warm."""
    replicas_per_machine: int = 1
    """How many of its replicas one machine of its instance type takes."""
    least: int = 0
    """Fewest instances or replicas that it is scaled to; 0 where nothing is scaled."""
    most: int = 0
    """Most of them."""
    jobs: bool = False
    """Whether it has a jobs queue with dead letters."""
    drift: float | None = None
    """Population stability index beyond which its inputs have drifted; None where nothing measures them."""
    canary: bool = False
    """Whether the canary asks it."""

    @property
    def synchronous(self) -> bool:
        """Whether clients wait for its answer on the infer route."""
        return self.mode != "async"

    def function_name(self, site: Site) -> str:
        return site.names.function(f"model-{self.model}")

    def endpoint_name(self, site: Site) -> str:
        return f"{site.names.prefix}-{self.model}-{kind_of(self.mode or '', self.instance)}"

    def infer(self, site: Site, name: str) -> Metric:
        """A metric of its infer route."""
        return metric.route(site.api_name, site.stage, "POST", f"/v2/models/{self.model}/infer", name)

    def jobs_queue(self, site: Site, name: str) -> Metric:
        return metric.queue(queue_prefix(site.names) + self.model, name)

    def dead_letters(self, site: Site, name: str) -> Metric:
        return metric.queue(dead_letters_prefix(site.names) + self.model, name)

    def gpu_metrics(self, site: Site) -> Iterator[tuple[str, Metric]]:
        """(role, metric) of utilisation and memory, in percent."""
        if not self.gpu:
            return
        if self.backend == "eks" and site.cluster_name:
            for role, name in (
                ("utilisation", "pod_gpu_utilization"),
                ("memory", "pod_gpu_memory_utilization"),
            ):
                yield role, metric.pod(site.cluster_name, NAMESPACE, f"model-{self.model}", name)
        elif self.backend == "sagemaker":
            for role, name in (("utilisation", "GPUUtilization"), ("memory", "GPUMemoryUtilization")):
                yield role, metric.endpoint_instances(self.endpoint_name(site), VARIANT, name)
