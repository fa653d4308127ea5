"""Settings of deliveries."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Delivery(BaseModel):
    """How new versions of models go live."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    canary_s: int = Field(
        600, ge=0, le=7200, description="Seconds that a canary is watched before it takes all requests."
    )
    canary_percent: int = Field(10, ge=1, le=50, description="Percent of the requests that a canary takes.")
    look_s: int = Field(30, ge=1, le=600, description="Seconds between two looks at a canary.")
    queue_s: int = Field(
        5, ge=1, le=60, description="Seconds between two asks of a waiting delivery whether it is its turn."
    )
    trial_memory_mb: int = Field(
        2048, ge=256, le=10_240, description="Memory of the function that tries versions first, MiB."
    )


def unmoved(entry: Any, *, embedded: bool) -> str:
    """Why deliveries do not move a model of the catalogue; empty where they do."""
    if entry.engine == "vllm":
        return (
            "vLLM loads its weights when it starts; put them into the version's folder of the models bucket, "
            "set the model's version in environments/models.yaml, and deploy the stack"
        )
    if entry.backend == "sagemaker" and embedded:
        return "the embedded AWS cannot update an endpoint"
    return ""
