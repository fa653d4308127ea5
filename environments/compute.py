"""Catalogue entries of models on EKS and SageMaker, and the catalogue of all backends.

| backend   | mode       | engines    | takes                             | scales to zero |
|-----------|------------|------------|-----------------------------------|----------------|
| lambda    |            | onnx       | memory_mb, reserved_concurrency   | always         |
| eks       |            | onnx, vllm | accelerator, scale                | yes            |
| sagemaker | real-time  | onnx       | instance, scale                   | no             |
| sagemaker | async      | onnx       | instance, scale; jobs only        | yes            |
| sagemaker | serverless | onnx       | memory_mb, max_concurrency        | always         |

Every other combination is refused with the choices that are left.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from environments.catalogue import (
    RECIPE,
    Engine,
    LambdaModel,
    ModelName,
    ModelVersion,
    OffTheCluster,
    Recipe,
    Slo,
)
from environments.drift import Drift
from environments.instance_types import ACCELERATORS, Accelerator

SageMakerMode = Literal["real-time", "async", "serverless"]

WEIGHTS_SHARE = 0.8
"""Part of the GPU memory that weights may fill. vLLM takes 0.9 of the memory for everything
(`--gpu-memory-utilization`), and what the weights leave of it holds the KV cache and the activations."""


class Scale(BaseModel):
    """How many replicas (EKS) or instances (SageMaker) serve a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int = Field(0, ge=0, le=100, description="Fewest; 0 turns an idle model off.")
    max: int = Field(ge=1, le=100, description="Most; also what the node pools are sized for.")
    target: int = Field(8, ge=1, le=1000, description="Requests in flight (async: queued) for each of them.")

    @model_validator(mode="after")
    def _max_holds_min(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}; raise max to {self.min} or more")
        return self


class EksModel(BaseModel):
    """A model on GPU nodes of the cluster: ONNX graphs, or language models on vLLM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["eks"] = Field(description="What serves the model: eks, on GPU nodes of the cluster.")
    engine: Engine = Field("onnx", description="vllm serves language models and streams their answers.")
    version: ModelVersion = Field(description="Version to serve at first; deliveries move on from there.")
    accelerator: str = Field(description="EC2 instance type (environments/instance_types.py).")
    weights: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)+/?$",
        description="S3 folder of the weights, safetensors with configuration and tokenizer (vllm only); "
        "null means the version's own in the models bucket.",
    )
    weights_gib: float | None = Field(None, gt=0, description="Size of the weights in GiB (vllm only).")
    openai: bool = Field(False, description="Whether /v1 routes lead to it, too; vllm implies them.")
    streaming: bool = Field(False, description="What vllm does, whatever stands here; onnx does not.")
    scale: Scale
    recipe: Recipe | None = RECIPE
    slo: Slo = Slo()
    drift: Drift = Drift()

    @property
    def captured(self) -> bool:
        """Whether its requests are counted: what vLLM answers is text."""
        return self.engine == "onnx" and self.drift.share > 0

    @property
    def openai_route(self) -> bool:
        return self.openai or self.engine == "vllm"

    @property
    def gpus(self) -> int:
        """GPUs of one replica: vLLM splits a model over all GPUs of its node, ONNX Runtime takes one."""
        return ACCELERATORS[self.accelerator].gpus if self.engine == "vllm" else 1

    def settings(self) -> dict[str, Any]:
        """What its backend is told."""
        own = {"backend", "engine", "version", "accelerator", "weights", "scale"}
        return {**self.model_dump(include=own), "replica": self.replica(), "openai": self.openai_route}

    def replica(self) -> dict[str, int]:
        """What one replica requests of a node: `gpus`, `cpu_m`, `memory_gib`."""
        return asdict(ACCELERATORS[self.accelerator].share(self.gpus))

    def fits(self, accelerator: str) -> bool:
        """Whether a node of that type has room for the model's weights."""
        return self.weights_gib is None or self.weights_gib <= _room_gib(ACCELERATORS[accelerator])

    @model_validator(mode="after")
    def _accelerator_exists(self) -> Self:
        if self.accelerator not in ACCELERATORS:
            raise ValueError(f"accelerator {self.accelerator!r} is unknown; choose {', '.join(ACCELERATORS)}")
        return self

    @model_validator(mode="after")
    def _engine_takes_it(self) -> Self:
        given = {"weights": self.weights, "weights_gib": self.weights_gib}
        if self.engine == "vllm":
            if self.weights_gib is None:
                raise ValueError("engine vllm needs weights_gib; set it, or choose engine onnx")
        elif self.streaming:
            raise ValueError("streaming: engine onnx answers at once; remove it, or choose engine vllm")
        elif present := [name for name, value in given.items() if value is not None]:
            raise ValueError(
                f"engine onnx takes its file from the model store, not from {' and '.join(present)}; "
                "remove it, or choose engine vllm"
            )
        return self

    @model_validator(mode="after")
    def _fits_a_node(self) -> Self:
        if self.weights_gib is None or self.fits(self.accelerator):
            return self
        larger = [name for name in ACCELERATORS if self.fits(name)]
        raise ValueError(
            f"weights_gib {self.weights_gib:g} does not fit {self.accelerator}, which has room for "
            f"{_room_gib(ACCELERATORS[self.accelerator]):.0f} GiB of weights; "
            + (f"choose {', '.join(larger)}" if larger else "no accelerator holds it")
            + ". A model spread over several nodes is not supported: quantise it, or choose a smaller one"
        )


class SageMakerModel(OffTheCluster):
    """An ONNX model on a SageMaker endpoint."""

    backend: Literal["sagemaker"] = Field(description="What serves the model: an endpoint of SageMaker.")
    engine: Engine = Field("onnx", description="onnx is what SageMaker runs here; vllm runs on eks.")
    mode: SageMakerMode = Field(description="Instances that answer at once, instances for jobs, or none.")
    version: ModelVersion = Field(description="Version to serve at first; deliveries move on from there.")
    instance: str | None = Field(
        None,
        pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$",
        description="Instance type (real-time, async), e.g. ml.g5.xlarge.",
    )
    scale: Scale | None = Field(None, description="Number of instances (real-time, async).")
    # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] | None = Field(
        None, description="Memory in MiB (serverless); CPU follows it."
    )
    max_concurrency: int | None = Field(
        None, ge=1, le=200, description="Most requests in flight at once (serverless)."
    )
    capture_percent: int = Field(
        0, ge=0, le=100, description="Share of requests kept for drift detection (not serverless)."
    )
    recipe: Recipe | None = RECIPE
    slo: Slo = Slo()
    drift: Drift = Drift()

    @property
    def captured(self) -> bool:
        """Whether its requests are kept, by the endpoint itself: `capture_percent` of them."""
        return self.capture_percent > 0

    def settings(self) -> dict[str, Any]:
        """What its backend is told."""
        taken = {
            "serverless": {"memory_mb", "max_concurrency"},
            "real-time": {"instance", "scale", "capture_percent"},
            "async": {"instance", "scale", "capture_percent"},
        }[self.mode]
        own = {"backend", "mode", "version"} | taken
        return {**self.model_dump(include=own), **self.slo.model_dump()}

    @model_validator(mode="after")
    def _engine_runs_here(self) -> Self:
        if self.engine != "onnx":
            raise ValueError(
                f"engine {self.engine} does not run on sagemaker {self.mode}; "
                "choose engine onnx, or backend eks for vllm"
            )
        return self

    @model_validator(mode="after")
    def _mode_gets_what_it_takes(self) -> Self:
        on_instances = {"instance": self.instance, "scale": self.scale}
        without = {"memory_mb": self.memory_mb, "max_concurrency": self.max_concurrency}
        needed, refused = (without, on_instances) if self.mode == "serverless" else (on_instances, without)
        if missing := [name for name, value in needed.items() if value is None]:
            raise ValueError(f"mode {self.mode} needs {' and '.join(missing)}")
        if present := [name for name, value in refused.items() if value is not None]:
            others = [mode for mode in ("real-time", "async", "serverless") if self._takes(mode, present)]
            raise ValueError(
                f"mode {self.mode} takes {' and '.join(needed)}, not {' and '.join(present)}; "
                f"remove it, or choose mode {' or '.join(others)}"
            )
        return self

    @staticmethod
    def _takes(mode: str, names: list[str]) -> bool:
        return (mode == "serverless") == ("memory_mb" in names or "max_concurrency" in names)

    @model_validator(mode="after")
    def _mode_can_do_it(self) -> Self:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html (feature exclusions)
        if self.mode == "serverless" and self.capture_percent:
            raise ValueError(
                "capture_percent: serverless endpoints capture nothing; remove it, "
                "or choose mode real-time or async"
            )
        if self.mode == "real-time" and self.scale is not None and self.scale.min == 0:
            raise ValueError(
                "scale.min 0: a real-time endpoint keeps at least one instance; set min to 1, "
                "or choose mode async or serverless, or backend eks"
            )
        return self


_ENTRIES: Mapping[Any, type[BaseModel]] = {
    "lambda": LambdaModel,
    "eks": EksModel,
    "sagemaker": SageMakerModel,
}


def _own_fields(entry: Any) -> Any:
    """An entry without what only other backends take.

    They may stay in it, so that a model that is described for several backends moves by one word.
    """
    if not isinstance(entry, Mapping) or entry.get("backend") not in _ENTRIES:
        return entry
    known = {name for entry_type in _ENTRIES.values() for name in entry_type.model_fields}
    foreign = known - _ENTRIES[entry["backend"]].model_fields.keys()
    return {name: value for name, value in entry.items() if name not in foreign}


@dataclass(frozen=True, kw_only=True)
class GpuCapacity:
    """What the cluster's node pools must be able to start."""

    instance_types: Sequence[str]
    gpus: int


def gpu_capacity(models: Mapping[str, BaseModel]) -> GpuCapacity:
    """Nodes for all EKS models at their maxima, and for the replica that an update starts beside them.

    Whole nodes of each type: Karpenter starts none that would take the pool beyond its limit.
    https://karpenter.sh/docs/concepts/nodepools/#speclimits
    """
    needed: Counter[str] = Counter()
    for model in models.values():
        if isinstance(model, EksModel):
            needed[model.accelerator] += (model.scale.max + 1) * model.gpus
    sizes = {name: ACCELERATORS[name].gpus for name in needed}
    return GpuCapacity(
        instance_types=sorted(needed),
        gpus=sum(-(-gpus // sizes[name]) * sizes[name] for name, gpus in needed.items()),
    )


def _room_gib(node: Accelerator) -> float:
    return node.gpu_memory_gib * WEIGHTS_SHARE


Model = Annotated[
    LambdaModel | EksModel | SageMakerModel,
    Field(discriminator="backend"),
    BeforeValidator(_own_fields),
]
Catalogue = dict[ModelName, Model]
