"""Settings of the EKS cluster, which there is where a model of the catalogue runs on it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from environments.instance_types import ACCELERATORS

# Charts come from GitHub's registry and AWS's public one, vLLM and its router from Docker Hub.
REGISTRIES = frozenset({"docker.io", "ghcr.io", "public.ecr.aws"})

ClientName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")]


class ClusterAccess(BaseModel):
    """A principal that may use the Kubernetes API, beside the one that creates the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    principal_arn: str = Field(
        pattern=r"^arn:aws:iam::\d{12}:(role|user)/.+$", description="ARN of the IAM role or user."
    )
    level: Literal["admin", "view"] = Field("view", description="view reads everything, secrets included.")


class GpuBaseline(BaseModel):
    """GPU nodes that always run, for models that must never be cold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance_type: str = Field(description="EC2 instance type (environments/instance_types.py).")
    nodes: int = Field(1, ge=1, le=100, description="How many there are, billed hourly.")

    @model_validator(mode="after")
    def _is_an_accelerator(self) -> Self:
        if self.instance_type not in ACCELERATORS:
            raise ValueError(
                f"instance_type {self.instance_type!r} is unknown; choose {', '.join(ACCELERATORS)}"
            )
        return self


class Cluster(BaseModel):
    """EKS cluster: $73 a month for its control plane, beside its nodes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    always: bool = Field(False, description="Whether there is a cluster though no model runs on it.")
    kubernetes_version: str = Field(
        "1.35", pattern=r"^1\.\d{2}$", description="Minor version, in standard support for 14 months."
    )
    access: dict[ClientName, ClusterAccess] = Field(
        {}, description="Who uses the Kubernetes API, by a name of its own."
    )
    deletion_protection: bool = Field(
        True, description="Whether the cluster and its load balancer refuse deletion."
    )
    system_instance_type: str = Field(
        "m7g.large", pattern=r"^[a-z0-9]+g[a-z]*\.[a-z0-9]+$", description="Graviton type of system nodes."
    )
    system_nodes: int = Field(2, ge=1, le=6, description="Nodes for system pods, one zone each.")
    router_replicas: int = Field(
        2, ge=1, le=10, description="Pods of the always-on router, each on a node of its own."
    )
    baseline: GpuBaseline | None = Field(None, description="GPU nodes that always run; null means none.")
    capacity_types: tuple[Literal["spot", "on-demand"], ...] = Field(
        ("spot", "on-demand"),
        min_length=1,
        description="How GPU nodes are bought; the cheapest is tried first, spot can go in two minutes.",
    )
    capacity_reservation_ids: tuple[Annotated[str, Field(pattern=r"^cr-[0-9a-f]{8,17}$")], ...] = Field(
        (), description="On-demand capacity reservations, used before anything else."
    )
    idle_minutes: int = Field(10, ge=1, le=1440, description="Minutes that an empty GPU node stays.")

    @model_validator(mode="after")
    def _router_pods_have_nodes(self) -> Self:
        if self.router_replicas > self.system_nodes:
            raise ValueError(
                f"router_replicas {self.router_replicas} is more than the {self.system_nodes} system_nodes, "
                "and each stands on a node of its own; raise system_nodes"
            )
        return self

    def check_access(self) -> None:
        """Hold it against a deployment in an account.

        Raises:
            ValueError: nobody may deploy into the cluster.
        """
        if not any(access.level == "admin" for access in self.access.values()):
            raise ValueError(
                "cluster.access: nobody has level admin, and who makes a cluster has no rights in it "
                "unless named here; add the role that deploys, e.g. deploy: {principal_arn: "
                '"arn:aws:iam::<account>:role/<name>", level: admin}'
            )
