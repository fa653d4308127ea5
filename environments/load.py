"""What an environment is expected to do in a month; cost estimates are made at it.

Nothing is provisioned from these numbers. A wrong one makes a wrong estimate, not a wrong platform.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from environments.catalogue import ModelName

HOURS = 730
"""Hours of a month, as AWS counts one."""


class ModelLoad(BaseModel):
    """A month of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: float = Field(0, ge=0, description="Synchronous inferences a month.")
    jobs: float = Field(0, ge=0, description="Inferences a month that come as jobs.")
    ms: float = Field(100, gt=0, description="Mean run time of an inference on a function, milliseconds.")
    tokens: float = Field(
        0, ge=0, description="Mean tokens of an inference, input and output (language models)."
    )
    active_hours: float = Field(
        0,
        ge=0,
        le=HOURS,
        description="Hours a month in which more than the fewest replicas or instances run (eks, sagemaker).",
    )
    instances: float = Field(1, ge=0, le=1000, description="Mean replicas or instances in the active hours.")


class Load(BaseModel):
    """A month at load, for cost estimates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[ModelName, ModelLoad] = Field({}, description="Load of each model, by its name.")
    function_ms: float = Field(50, gt=0, description="Mean run time of functions other than models', ms.")
    users: float = Field(0, ge=0, description="People who sign in, a month.")
    token_requests: float = Field(0, ge=0, description="Access tokens that machine clients ask for, a month.")
    nat_gb: float = Field(0, ge=0, description="Data through NAT gateways, GB a month.")
    endpoint_gb: float = Field(0, ge=0, description="Data through interface endpoints, GB a month.")
    balancer_gb: float = Field(0, ge=0, description="Data through load balancers, GB a month.")
    log_gb: float = Field(0, ge=0, description="Logs written, GB a month.")
    stored_gb: float = Field(0, ge=0, description="Objects in buckets, GB.")
    image_gb: float = Field(0, ge=0, description="Images in the registry, GB.")
    table_gb: float = Field(0, ge=0, description="Items in tables, GB.")
    stream_gb: float = Field(0, ge=0, description="Captured requests and answers, GB a month.")
    scanned_tb: float = Field(0, ge=0, description="Data that queries scan, TB a month.")
    flow_gb: float = Field(0, ge=0, description="Flow and DNS logs that threat detection reads, GB a month.")
    kms_requests: float = Field(0, ge=0, description="Requests to keys, a month.")
    build_minutes: float = Field(0, ge=0, description="Minutes of image builds, a month.")
    deliveries: float = Field(0, ge=0, description="Model versions delivered, a month.")
    management_events: float = Field(0, ge=0, description="Management events in the account, a month.")
    data_events: float = Field(0, ge=0, description="Data events that are recorded, a month.")
    config_items: float = Field(0, ge=0, description="Configuration items recorded, a month.")
    spot_share: float = Field(
        0, ge=0, le=1, description="Part of node hours on spot, where a pool may start spot and on demand."
    )
    spot_discount: float = Field(
        0,
        ge=0,
        lt=1,
        description="What a spot node costs less than on demand, as a part of the price; 0 counts none.",
    )

    def check(self, models: Mapping[str, BaseModel]) -> None:
        """Hold the load against the catalogue.

        Raises:
            ValueError: it names a model that there is not, or says not when a model's machines run.
        """
        for name, load in self.models.items():
            if name not in models:
                known = ", ".join(sorted(models)) or "none"
                raise ValueError(f"load.models.{name}: there is no such model; the catalogue has {known}")
            on_machines = getattr(models[name], "scale", None) is not None
            if on_machines and (load.requests or load.jobs) and not load.active_hours:
                raise ValueError(
                    f"load.models.{name}: requests need machines; set active_hours, 0 to {HOURS} a month"
                )
