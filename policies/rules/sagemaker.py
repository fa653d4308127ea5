"""SageMaker models, endpoints and notebooks: isolation, encryption, allowed instances."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field

from policies.capacity import family
from policies.resources import Part, Resource, Stack
from policies.rule import (
    Finding,
    Findings,
    Sample,
    Settings,
    expect,
    is_set,
    is_true,
    resource_rule,
    stack_rule,
)

ENDPOINT_CONFIG = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
MODEL = "aws:sagemaker/model:Model"
NOTEBOOK = "aws:sagemaker/notebookInstance:NotebookInstance"

# Local NVMe disks are encrypted by a hardware module of their own, and a key for them is refused:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html (KmsKeyId)
_NVME_FAMILIES = ("g4dn", "g5", "g6", "g6e", "p4d", "p4de", "p5", "p5e", "p5en", "m5d", "c5d", "r5d", "trn1")
Patterns = Annotated[list[str], Field(min_length=1)]


def variants(config: Resource) -> Iterator[Part]:
    """Production and shadow variants."""
    yield from config.parts("productionVariants")
    yield from config.parts("shadowProductionVariants")


def is_serverless(variant: Part) -> bool:
    """A serverless variant has memory and concurrency, and no instance, VPC or volume."""
    return variant.has("serverlessConfig")


@resource_rule(
    id="sagemaker-endpoint-kms",
    title="Endpoint volumes are encrypted with a customer managed key",
    severity="high",
    why="Model weights and captured inputs on the volume are then read with the key's permission only.",
    fix="set kms_key_arn on the endpoint configuration",
    types=[ENDPOINT_CONFIG],
    good={
        "kmsKeyArn": "arn:aws:kms:us-east-1:111111111111:key/1",
        "productionVariants": [{"instanceType": "ml.m5.xlarge"}],
    },
    bad={"productionVariants": [{"instanceType": "ml.m5.xlarge"}]},
)
def endpoint_kms(config: Resource, settings: Settings) -> Findings:
    """Instances with local NVMe disks and serverless variants have no volume that the key could encrypt."""
    has_volume = any(
        not is_serverless(each) and family(each.get("instanceType", "")) not in _NVME_FAMILIES
        for each in variants(config)
    )
    if has_volume and not config.has("kmsKeyArn"):
        yield Finding("`kmsKeyArn` is not set")


def _serverless_only(model: Resource, stack: Stack) -> bool:
    """Whether only serverless variants serve the model: they take neither a VPC nor network isolation."""
    serving = [
        variant
        for config in stack.of(ENDPOINT_CONFIG)
        for variant in variants(config)
        if model.urn in config.references.get("productionVariants", ())
        or variant.value.get("modelName") == model.part.value.get("name", "")
    ]
    return bool(serving) and all(map(is_serverless, serving))


def _model(**props: Any) -> Sample:
    return Sample(type=MODEL, props=props)


@stack_rule(
    id="sagemaker-model-network-isolation",
    title="Model containers reach no network",
    severity="high",
    why="A container that cannot call out cannot send inputs or weights to anyone.",
    fix="set enable_network_isolation=True",
    types=[MODEL],
    good=[_model(enableNetworkIsolation=True)],
    bad=[_model()],
)
def model_network_isolation(model: Resource, stack: Stack, settings: Settings) -> Findings:
    if not _serverless_only(model, stack):
        yield from expect(model, "enableNetworkIsolation", is_true, "true")


@stack_rule(
    id="sagemaker-model-in-vpc",
    title="Models that have instances run in the platform's subnets",
    severity="high",
    why="Outside the VPC, neither security groups nor flow logs see what the container does.",
    fix="set vpc_config with subnets and security_group_ids",
    types=[MODEL],
    good=[_model(vpcConfig={"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]})],
    bad=[_model(vpcConfig={"subnets": ["subnet-1"], "securityGroupIds": []})],
)
def model_in_vpc(model: Resource, stack: Stack, settings: Settings) -> Findings:
    if not _serverless_only(model, stack):
        yield from expect(model, "vpcConfig.subnets", is_set, "set")
        yield from expect(model, "vpcConfig.securityGroupIds", is_set, "set")


@resource_rule(
    id="sagemaker-model-private-image",
    title="Model containers come from the platform's or AWS's own registries",
    severity="medium",
    why="An image from elsewhere is code that nobody reviewed, next to the models.",
    fix="push the image to the stack's ECR, or use an AWS Deep Learning Container",
    types=[MODEL],
    settings={"registries": Patterns},
    good={"primaryContainer": {"image": "111111111111.dkr.ecr.us-east-1.amazonaws.com/model-server:1.4.0"}},
    bad={"primaryContainer": {"image": "docker.io/somebody/model-server:1.4.0"}},
)
def model_private_image(model: Resource, settings: Settings) -> Findings:
    """`registries` are patterns, in which `*` stands for any text. A model package brings its own image."""
    allowed = settings["registries"]
    for container in (*model.parts("primaryContainer"), *model.parts("containers")):
        if not container.has("modelPackageName"):
            yield from expect(
                container,
                "image",
                lambda image: any(fnmatchcase(str(image), f"{each}/*") for each in allowed),
                f"from {' or '.join(allowed)}",
            )


@resource_rule(
    id="sagemaker-ha-instance-count",
    title="Real-time endpoints survive the loss of an availability zone",
    severity="medium",
    why="SageMaker spreads instances over zones; a single one is in a single zone.",
    fix="set initial_instance_count to 2 or more",
    types=[ENDPOINT_CONFIG],
    good={"productionVariants": [{"initialInstanceCount": 2}]},
    bad={"productionVariants": [{"initialInstanceCount": 1}]},
)
def ha_instance_count(config: Resource, settings: Settings) -> Findings:
    """Serverless variants are spread by AWS; an asynchronous endpoint may wait for an instance."""
    if not config.has("asyncInferenceConfig"):
        for variant in config.parts("productionVariants"):
            if not is_serverless(variant):
                yield from expect(
                    variant, "initialInstanceCount", lambda count: (count or 1) >= 2, "2 or more"
                )


@resource_rule(
    id="sagemaker-instance-allow-list",
    title="Endpoints use instance types that the environment has chosen",
    severity="high",
    why="An ml.p5.48xlarge costs about 100 times an ml.m5.xlarge, for as long as the endpoint exists.",
    fix="use one of the environment's types, or have the list changed",
    types=[ENDPOINT_CONFIG],
    settings={"instanceTypes": Patterns},
    good={"productionVariants": [{"instanceType": "ml.g5.xlarge"}]},
    bad={"productionVariants": [{"instanceType": "ml.p5.48xlarge"}]},
)
def instance_allow_list(config: Resource, settings: Settings) -> Findings:
    chosen = settings["instanceTypes"]
    for variant in variants(config):
        if not is_serverless(variant):
            yield from expect(
                variant, "instanceType", lambda kind: kind in chosen, f"one of {', '.join(chosen)}"
            )


@resource_rule(
    id="sagemaker-notebook-hardened",
    title="Notebooks are private, without root, encrypted and on the token-only metadata service",
    severity="high",
    why="A notebook runs arbitrary code next to the data with a role of its own.",
    fix="set direct_internet_access=Disabled, root_access=Disabled, subnet_id, kms_key_id and imds v2",
    types=[NOTEBOOK],
    good={
        "directInternetAccess": "Disabled",
        "rootAccess": "Disabled",
        "subnetId": "subnet-1",
        "kmsKeyId": "arn:aws:kms:us-east-1:111111111111:key/1",
        "instanceMetadataServiceConfiguration": {"minimumInstanceMetadataServiceVersion": "2"},
    },
    bad={"directInternetAccess": "Enabled"},
)
def notebook_hardened(notebook: Resource, settings: Settings) -> Findings:
    for name in ("directInternetAccess", "rootAccess"):
        yield from expect(notebook, name, lambda value: value == "Disabled", "Disabled")
    for name in ("subnetId", "kmsKeyId"):
        if not notebook.has(name):
            yield Finding(f"`{name}` is not set")
    version = "instanceMetadataServiceConfiguration.minimumInstanceMetadataServiceVersion"
    yield from expect(notebook, version, lambda value: value == "2", "2")


RULES = (
    endpoint_kms,
    model_network_isolation,
    model_in_vpc,
    model_private_image,
    ha_instance_count,
    instance_allow_list,
    notebook_hardened,
)
