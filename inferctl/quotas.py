"""AWS quotas that an environment comes near: how much it can use at most, by its settings.

Codes and defaults: https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html (the page of
each service) and Service Quotas (`aws service-quotas list-aws-default-service-quotas`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from environments.compute import EksModel, SageMakerModel
from environments.instance_types import ACCELERATORS
from environments.schema import Environment


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What an environment uses of one quota when everything is at its maximum."""

    service: str
    code: str
    """Quota code; empty where it must be found by its name."""
    name: str
    needed: float
    default: float
    """What an account gets unasked."""
    unit: str

    def line(self) -> str:
        short = self.needed > self.default
        ask = "; ask AWS for more before `up`: `inferctl doctor` says what the account has" if short else ""
        return f"{self.name}: {self.needed:g} of {self.default:g} {self.unit}{ask}"

    def record(self) -> dict[str, Any]:
        return asdict(self)


# Lambda keeps 100 of the account's concurrency for functions that reserve none.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED_CONCURRENCY = 100


def demands(env: Environment) -> list[Demand]:
    """Every quota that the environment touches."""
    return [*_lambda(env), *_gateway(env), *_network(env), *_gpus(env), *_sagemaker(env)]


def cluster_models(env: Environment) -> list[EksModel]:
    """Models on GPU nodes."""
    entries: Iterable[object] = env.models.values()
    return [entry for entry in entries if isinstance(entry, EksModel)]


def nodes(model: EksModel) -> int:
    """Nodes of a model at its maximum, with the replica that an update starts beside the others."""
    replicas_per_node = max(ACCELERATORS[model.accelerator].gpus // model.gpus, 1)
    return -(-(model.scale.max + 1) // replicas_per_node)


def _lambda(env: Environment) -> Iterator[Demand]:
    reserved = sum(getattr(model, "reserved_concurrency", 0) for model in env.models.values())
    yield Demand(
        service="lambda",
        code="L-B99A9384",
        name="Lambda concurrent executions",
        needed=reserved + env.functions.authorizer_concurrency + UNRESERVED_CONCURRENCY,
        default=1000,
        unit="executions",
    )


def _gateway(env: Environment) -> Iterator[Demand]:
    yield Demand(
        service="apigateway",
        code="L-8A5B8E43",
        name="API Gateway requests per second of account and region",
        needed=env.gateway.rate_per_s,
        default=10_000,
        unit="requests/s",
    )


def _network(env: Environment) -> Iterator[Demand]:
    addresses = {"none": 0, "single": 1, "one_per_az": len(env.network.zones)}[env.network.nat]
    yield Demand(service="vpc", code="L-F678F1CE", name="VPCs", needed=1, default=5, unit="VPCs")
    if addresses:
        yield Demand(
            service="ec2",
            code="L-0263D0A3",
            name="Elastic IP addresses",
            needed=addresses,
            default=5,
            unit="addresses",
        )


def _gpus(env: Environment) -> Iterator[Demand]:
    """vCPUs of GPU nodes: all models at their maximum, and a replica more while each is updated."""
    vcpus = {"G": 0, "P": 0}
    for model in cluster_models(env):
        vcpus[model.accelerator[0].upper()] += nodes(model) * ACCELERATORS[model.accelerator].vcpus
    codes = {"G": ("L-DB2E81BA", "G and VT"), "P": ("L-417A185B", "P")}
    for family, needed in vcpus.items():
        if needed:
            code, said = codes[family]
            yield Demand(
                service="ec2",
                code=code,
                name=f"Running On-Demand {said} instances",
                needed=needed,
                default=0,
                unit="vCPUs",
            )


def _sagemaker(env: Environment) -> Iterator[Demand]:
    instances: dict[str, int] = {}
    entries: Iterable[object] = env.models.values()
    for model in entries:
        if isinstance(model, SageMakerModel) and model.instance and model.scale:
            instances[model.instance] = instances.get(model.instance, 0) + model.scale.max
    for instance, needed in sorted(instances.items()):
        yield Demand(
            service="sagemaker",
            code="",
            name=f"{instance} for endpoint usage",
            needed=needed,
            default=0,
            unit="instances",
        )
