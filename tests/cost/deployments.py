"""Resources for estimates, as a deployment has them."""

from collections.abc import Mapping
from typing import Any

from cost.estimate import Estimate, estimate
from cost.load import Load, ModelLoad
from cost.prices import PriceTable, load

PRICES: PriceTable = load("us-east-1")
COMPONENT = "inference-platform:x:Component"
STACK = "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev"


def component(name: str) -> dict[str, Any]:
    """A component; those of models are in the one named `model`."""
    parent = component("model")["urn"] if name.startswith("model-") else STACK
    return {"type": COMPONENT, "urn": f"urn:pulumi:dev::p::{COMPONENT}::{name}", "parent": parent}


def resource(type_: str, name: str, inputs: Mapping[str, Any] | None = None, of: str = "") -> dict[str, Any]:
    """A resource, within the component `of` where that is given."""
    parent = component(of)["urn"] if of else STACK
    return {
        "type": type_,
        "urn": f"urn:pulumi:dev::p::{type_}::{name}",
        "parent": parent,
        "inputs": inputs or {},
    }


def priced(*resources: Mapping[str, Any], **load: Any) -> Estimate:
    """An estimate of resources and their components; `models` are loads of models."""
    names = {each["parent"].rpartition("::")[2] for each in resources if COMPONENT in each["parent"]}
    models = {name: ModelLoad(**entry) for name, entry in load.pop("models", {}).items()}
    components = [component(name) for name in sorted({"model", *names})]
    return estimate([*components, *resources], Load(models=models, **load), PRICES)


def gpu_model(
    model: str,
    accelerator: str = "g6.xlarge",
    *,
    least: int = 0,
    most: int = 4,
    gpus: int = 1,
    capacity: tuple[str, ...] = ("on-demand",),
    triggers: list[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """A model on GPU nodes with its scaler, and a pool for its nodes."""
    return [
        resource(
            "kubernetes:apps/v1:Deployment",
            f"model-{model}-deployment",
            {
                "metadata": {"name": f"model-{model}"},
                "spec": {
                    "template": {
                        "spec": {
                            "nodeSelector": {"node.kubernetes.io/instance-type": accelerator},
                            "containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}],
                        }
                    }
                },
            },
            of=f"model-{model}",
        ),
        resource(
            "kubernetes:keda.sh/v1alpha1:ScaledObject",
            f"model-{model}-scaler",
            {
                "spec": {
                    "scaleTargetRef": {"name": f"model-{model}"},
                    "minReplicaCount": least,
                    "maxReplicaCount": most,
                    "triggers": triggers or [],
                }
            },
            of=f"model-{model}",
        ),
        pool([accelerator], capacity=capacity),
    ]


def pool(
    types: list[str], *, gpus: int | None = 8, capacity: tuple[str, ...] = ("on-demand",)
) -> dict[str, Any]:
    """A Karpenter pool of instance types."""
    requirements = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": types},
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": list(capacity)},
    ]
    limits = {} if gpus is None else {"limits": {"nvidia.com/gpu": str(gpus)}}
    spec = {**limits, "template": {"spec": {"requirements": requirements}}}
    return resource("kubernetes:karpenter.sh/v1:NodePool", "gpu", {"spec": spec}, of="pools")


def endpoint(
    model: str, *, instance: str = "ml.g5.xlarge", count: int = 1, most: int = 4, least: int | None = None
) -> list[dict[str, Any]]:
    """A model on SageMaker instances; `least` of them where it scales."""
    of = f"model-{model}"
    variant = {"instanceType": instance, "initialInstanceCount": count}
    found = [
        resource(
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            f"{of}-configuration",
            {"productionVariants": [variant]},
            of,
        ),
        resource("aws:sagemaker/endpoint:Endpoint", f"{of}-endpoint", {}, of),
    ]
    if least is not None:
        scaling = {"serviceNamespace": "sagemaker", "minCapacity": least, "maxCapacity": most}
        found.append(resource("aws:appautoscaling/target:Target", f"{of}-target", scaling, of))
    return found
