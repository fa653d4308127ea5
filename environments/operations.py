"""Settings of operations: who is told, what is watched and recorded, what may be spent, who may deploy."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from environments.delivery import unmoved
from environments.instance_types import ACCELERATORS

GitHubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws:iam::\d{12}:role/.+$")]
BranchName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$")]
# Of 64 characters the platform's, the environment's and `publish` take up to 44.
RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,17}[a-z0-9]$")]
ClockTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertSubscription(_Section):
    """Who is told of alerts."""

    protocol: Literal["email", "https", "sqs"] = Field(description="How they are told.")
    endpoint: str = Field(min_length=3, description="Address, URL or queue ARN.")

    @model_validator(mode="after")
    def _endpoint_is_of_the_protocol(self) -> Self:
        form = {"email": "@", "https": "https://", "sqs": "arn:aws:sqs:"}[self.protocol]
        if form not in self.endpoint:
            raise ValueError(f"endpoint {self.endpoint!r} is none of protocol {self.protocol}; it has {form}")
        return self


class Alerts(_Section):
    """The topic that alarms, findings and budgets tell."""

    subscriptions: tuple[AlertSubscription, ...] = Field((), description="Who is told; none means nobody.")
    runbooks: str = Field("docs/runbooks", description="Folder or URL of the runbooks, named by every alarm.")


class Watch(_Section):
    """The canary and traces."""

    canary_minutes: int | None = Field(
        5, ge=2, le=15, description="Minutes between two rounds of the canary; null means no canary."
    )
    traced_percent: float = Field(5, ge=0, le=100, description="Share of the requests that X-Ray traces.")


class Audit(_Section):
    """Records of who did what, and what they are checked against."""

    retention_days: int = Field(
        400, ge=365, le=3650, description="Days that the trail's objects are kept, a year at least."
    )
    lock_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="Days in which nobody, root included, can delete a record; 0 means no lock.",
    )
    management_trail: bool = Field(
        True, description="Whether this stack records management events; the account's first copy is free."
    )
    inspector: bool = Field(
        False, description="Inspector on images and functions; the price table has no price for it yet."
    )
    threat_detection: bool = Field(True, description="GuardDuty over EKS, S3 and Lambda.")
    config_rules: bool = Field(
        True, description="Config recorder and rules that repeat the platform's guarantees."
    )


class Parking(_Section):
    """When capacity is turned down and up again, in the time zone's own hours, summer time included."""

    timezone: str = Field(
        "Europe/Berlin", pattern=r"^[A-Za-z_]+(/[A-Za-z_+-]+)*$", description="IANA time zone."
    )
    wake: ClockTime = Field("07:00", description="Hour and minute at which working days begin.")
    park: ClockTime = Field("20:00", description="Hour and minute at which they end; weekends stay parked.")

    @model_validator(mode="after")
    def _wakes_before_it_parks(self) -> Self:
        if self.wake >= self.park:
            raise ValueError(f"wake {self.wake} must be before park {self.park}")
        return self


class Costs(_Section):
    """What may be spent."""

    monthly_usd: float = Field(500, gt=0, description="Budget of the environment, USD a month.")
    stop_at_budget: bool = Field(False, description="Deny new capacity when the budget is used up.")
    anomaly_usd: float = Field(50, gt=0, description="USD beyond what is usual that are told.")
    parking: Parking | None = Field(
        None, description="Park capacity at night and at weekends; null means never."
    )
    activate_tags: bool = Field(
        False, description="Make the cost tags known to billing; only the organisation's payer account can."
    )


class Publisher(_Section):
    """A repository whose pipeline publishes versions of models."""

    owner: GitHubName = Field(description="Owner of the repository.")
    repository: GitHubName = Field(description="Name of the repository.")
    branch: BranchName = Field("main", description="Only branch that may publish.")
    github_environment: GitHubName | None = Field(
        None, description="GitHub environment whose reviewers approve; null means a push is enough."
    )
    models: tuple[str, ...] = Field(min_length=1, description="Models of the catalogue that it publishes.")


class Delivery(_Section):
    """Deployments from GitHub, with no key that lasts."""

    owner: GitHubName = Field(description="Owner of the repository.")
    repository: GitHubName = Field(description="Name of the repository.")
    branch: BranchName = Field("main", description="Only branch that may deploy.")
    github_environment: GitHubName = Field(
        description="GitHub environment whose reviewers approve deployments."
    )
    oidc_provider: Literal["create", "existing"] = Field(
        "create", description="Whether this stack makes the account's OIDC provider of GitHub."
    )
    connection_arn: str | None = Field(
        None,
        pattern=r"^arn:aws:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/.+$",
        description="Connection to GitHub for the runner inside the VPC; null means no runner.",
    )
    publishers: dict[RoleName, Publisher] = Field(
        {}, description="Repositories that publish models, by the last part of their role's name."
    )

    def check(self, models: Mapping[str, Any]) -> None:
        """Raises ValueError for a publisher of a model that is not there, or that takes no deliveries."""
        for role, publisher in self.publishers.items():
            for model in publisher.models:
                if model not in models:
                    reason = f"there is no model {model}; choose of {', '.join(sorted(models))}"
                elif refused := unmoved(models[model], embedded=False):
                    reason = f"deliveries do not move {model}: {refused}"
                else:
                    continue
                raise ValueError(f"delivery.publishers.{role}.models: {reason}")


def watched(entry: Any, *, canary: bool) -> dict[str, Any]:
    """What there is to watch of a model of the catalogue, as facts of its entry.

    The canary, where there is one, asks what answers the protocol and never sleeps: it must wake no GPU.
    """
    facts = entry.model_dump()
    slo, scale = facts["slo"], facts.get("scale")
    asleep = scale is not None and scale["min"] == 0
    return {
        "backend": facts["backend"],
        "mode": facts.get("mode"),
        "canary": canary and facts["engine"] == "onnx" and facts.get("mode") != "async" and not asleep,
        "instance": facts.get("instance") or facts.get("accelerator") or "",
        "replicas_per_machine": _replicas_per_machine(entry),
        "gpu": facts["backend"] == "eks" or _has_gpu(facts.get("instance") or ""),
        "drift": entry.drift.threshold if entry.captured else None,
        "p99_ms": slo["p99_ms"],
        "availability": slo["availability"],
        "memory_mb": facts.get("memory_mb") or 0,
        "warm": facts.get("provisioned_concurrency") or 0,
        "least": scale["min"] if scale else 0,
        "most": scale["max"] if scale else 0,
        "concurrency": facts.get("reserved_concurrency") or facts.get("max_concurrency") or 0,
    }


def _replicas_per_machine(entry: Any) -> int:
    """A replica on EKS takes some of the GPUs of its node; anywhere else it is the machine."""
    return ACCELERATORS[entry.accelerator].gpus // entry.gpus if entry.backend == "eks" else 1


def _has_gpu(instance: str) -> bool:
    """Whether a SageMaker instance type has GPUs: families g and p, such as ml.g5.xlarge."""
    family = instance.removeprefix("ml.").partition(".")[0]
    return family[:1] in ("g", "p") and family[1:2].isdigit()
