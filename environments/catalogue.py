"""What all catalogue entries share, and the entry of a model on Lambda; `compute` has all of them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from environments.drift import Drift

# S3 key, route, function name and metric dimension at once: the narrowest of their alphabets.
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")]
ModelVersion = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]

Engine = Literal["onnx", "vllm"]

Recipe = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
RECIPE = Field(
    None,
    description="Sample of serving/recipes that stands for it on `local`; null means its own.",
)


class Slo(BaseModel):
    """Service level objective of a model, measured at the gateway over 30 days."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p99_ms: int = Field(1000, ge=1, le=29_000, description="99th percentile of the latency, milliseconds.")
    availability: float = Field(99.5, ge=90, lt=100, description="Requests answered without a 5xx, percent.")


class OffTheCluster(BaseModel):
    """What no entry off the cluster may ask for, so that it is refused with the reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    streaming: bool = Field(False, description="Not possible here: vllm streams, on eks.")
    openai: bool = Field(False, description="Not possible here: /v1 leads to the cluster's router.")

    @model_validator(mode="after")
    def _routes_lead_here(self) -> Self:
        if self.streaming:
            raise ValueError(
                "streaming: answers from off the cluster are buffered; remove it, or choose backend eks "
                "with engine vllm"
            )
        if self.openai:
            raise ValueError("openai routes lead to the cluster only; remove it, or choose backend eks")
        return self


class LambdaModel(OffTheCluster):
    """A CPU model: one Lambda function that runs an ONNX session."""

    backend: Literal["lambda"] = Field(description="What serves the model: lambda, on the CPU.")
    engine: Engine = Field("onnx", description="onnx: Lambda has no GPU, and vllm runs on eks.")
    version: ModelVersion = Field(description="Version to serve at first; deliveries move on from there.")
    memory_mb: int = Field(1024, ge=256, le=10_240, description="Function memory in MiB; CPU follows it.")
    timeout_s: int = Field(20, ge=1, le=29, description="Seconds; the gateway gives up after 29.")
    ephemeral_mb: int = Field(512, ge=512, le=10_240, description="Size of /tmp in MiB; holds the model.")
    reserved_concurrency: int = Field(10, ge=1, le=1000, description="Most requests in flight at once.")
    provisioned_concurrency: int = Field(
        0, ge=0, le=1000, description="Environments kept warm, billed hourly."
    )
    snap_start: bool = Field(False, description="Start published versions from a snapshot.")
    vpc: bool = Field(
        False, description="Whether it stands in the VPC, whose flow logs and endpoints see what it reaches."
    )
    recipe: Recipe | None = RECIPE
    slo: Slo = Slo()
    drift: Drift = Drift()
    canary_s: int | None = Field(
        None, ge=0, le=7200, description="Seconds its canaries are watched; null means delivery.canary_s."
    )

    @property
    def captured(self) -> bool:
        """Whether its requests are counted."""
        return self.drift.share > 0

    def settings(self) -> dict[str, Any]:
        """What its backend is told."""
        others = {"engine", "recipe", "slo", "canary_s", "drift", "streaming", "openai"}
        return self.model_dump(exclude=others)

    @model_validator(mode="after")
    def _engine_runs_here(self) -> Self:
        if self.engine != "onnx":
            raise ValueError(
                f"engine {self.engine} does not run on lambda; choose engine onnx, or backend eks for vllm"
            )
        return self

    @model_validator(mode="after")
    def _snap_start_limits(self) -> Self:
        # https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html (limitations)
        if self.snap_start and self.provisioned_concurrency:
            raise ValueError("snap_start excludes provisioned_concurrency; set one of them")
        if self.snap_start and self.ephemeral_mb > 512:
            raise ValueError(f"snap_start allows 512 MiB of /tmp; ephemeral_mb is {self.ephemeral_mb}")
        if self.provisioned_concurrency > self.reserved_concurrency:
            raise ValueError(
                f"provisioned_concurrency {self.provisioned_concurrency} is above "
                f"reserved_concurrency {self.reserved_concurrency}; raise the latter"
            )
        return self
