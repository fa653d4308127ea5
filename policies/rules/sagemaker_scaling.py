"""How SageMaker endpoints scale, down to what they cost when nobody calls, and what they record."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from policies.resources import Part, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule, stack_rule
from policies.rules.sagemaker import ENDPOINT_CONFIG, is_serverless, variants

ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
TARGET = "aws:appautoscaling/target:Target"
POLICY = "aws:appautoscaling/policy:Policy"
Count = Annotated[int, Field(ge=1)]


@resource_rule(
    id="sagemaker-instance-count-cap",
    title="Endpoints stay within the environment's number of instances",
    severity="high",
    why="Autoscaling follows the load: a client's loop must not start ten times the instances.",
    fix="lower the counts, or have the environment's cap changed",
    types=[ENDPOINT_CONFIG, TARGET],
    settings={"maxInstances": Count, "maxConcurrency": Count},
    good={"productionVariants": [{"initialInstanceCount": 2}]},
    bad={"productionVariants": [{"initialInstanceCount": 500}]},
)
def instance_count_cap(resource: Resource, settings: Settings) -> Findings:
    def within(most: int) -> Any:
        return lambda count: (count or 0) <= most, f"{most} at most"

    instances, concurrency = within(settings["maxInstances"]), within(settings["maxConcurrency"])
    if resource.type == TARGET:
        if resource.get("serviceNamespace") == "sagemaker":
            yield from expect(resource, "maxCapacity", *instances)
        return
    for variant in variants(resource):
        yield from expect(variant, "initialInstanceCount", *instances)
        yield from expect(variant, "managedInstanceScaling.maxInstanceCount", *instances)
        yield from expect(variant, "serverlessConfig.maxConcurrency", *concurrency)


def _targets(endpoint: Resource, stack: Stack) -> Sequence[Resource]:
    """Scaling targets of an endpoint's variants; the resource id is `endpoint/<name>/variant/<variant>`."""
    name = endpoint.part.value.get("name")
    return [
        target
        for target in stack.of(TARGET)
        if target.refers("resourceId", endpoint)
        or str(target.part.value.get("resourceId")).startswith(f"endpoint/{name}/")
    ]


def _configuration(endpoint: Resource, stack: Stack) -> Sequence[Resource]:
    return [each for each in stack.of(ENDPOINT_CONFIG) if endpoint.refers("endpointConfigName", each)]


def _scales_itself(variant: Part) -> bool:
    return is_serverless(variant) or variant.get("managedInstanceScaling.status") == "ENABLED"


def _config(**variant: Any) -> Sample:
    return Sample(
        type=ENDPOINT_CONFIG, name="config", props={"name": "config", "productionVariants": [variant]}
    )


_ENDPOINT = Sample(
    type=ENDPOINT, name="fraud", props={"name": "fraud"}, refers_to={"endpointConfigName": "config"}
)


def _scaled(least: int) -> Sample:
    props = {"serviceNamespace": "sagemaker", "minCapacity": least, "maxCapacity": 4}
    return Sample(type=TARGET, name="target", props=props, refers_to={"resourceId": "fraud"})


_SCALING = Sample(
    type=POLICY,
    name="policy",
    props={"resourceId": "endpoint/fraud/variant/a"},
    refers_to={"resourceId": "target"},
)


@stack_rule(
    id="sagemaker-autoscaling-required",
    title="Every endpoint with instances scales with its load",
    severity="medium",
    why="A fixed number of instances is too many at night and too few at noon.",
    fix="add an aws.appautoscaling.Target and a Policy for each variant",
    types=[ENDPOINT],
    good=[_config(instanceType="ml.g5.xlarge"), _ENDPOINT, _scaled(1), _SCALING],
    bad=[_config(instanceType="ml.g5.xlarge"), _ENDPOINT, _scaled(1)],
)
def autoscaling_required(endpoint: Resource, stack: Stack, settings: Settings) -> Findings:
    configs = _configuration(endpoint, stack)
    if configs and all(_scales_itself(each) for config in configs for each in variants(config)):
        return
    targets = _targets(endpoint, stack)
    if not targets:
        yield Finding("it has no scaling target")
    for target in targets:
        if not any(policy.refers("resourceId", target) for policy in stack.of(POLICY)):
            yield Finding(f"its scaling target {target.name} has no scaling policy")


@stack_rule(
    id="sagemaker-dev-scale-to-zero",
    title="Endpoints cost nothing while nobody calls them",
    severity="high",
    why="An idle ml.g5.xlarge costs 1,028 USD a month.",
    fix="use a serverless variant, or an asynchronous endpoint whose scaling target has min_capacity=0",
    types=[ENDPOINT],
    good=[_config(serverlessConfig={"memorySizeInMb": 4096, "maxConcurrency": 10}), _ENDPOINT],
    bad=[_config(instanceType="ml.g5.xlarge"), _ENDPOINT, _scaled(1)],
)
def dev_scale_to_zero(endpoint: Resource, stack: Stack, settings: Settings) -> Findings:
    """Only an asynchronous endpoint and one of inference components can have no instance."""
    for config in _configuration(endpoint, stack):
        for variant in variants(config):
            to_zero = is_serverless(variant) or variant.get("managedInstanceScaling.minInstanceCount") == 0
            if not to_zero and config.has("asyncInferenceConfig"):
                targets = _targets(endpoint, stack)
                to_zero = bool(targets) and all(target.get("minCapacity") == 0 for target in targets)
            if not to_zero:
                yield Finding(f"variant {variant.get('variantName', 'AllTraffic')} always has an instance")


@resource_rule(
    id="sagemaker-data-capture",
    title="Endpoints record as much of their traffic as drift detection needs and privacy allows",
    severity="low",
    why="Without capture nobody sees a model drift; with too much of it, inputs pile up in S3.",
    fix="set data_capture_config with enable_capture, kms_key_id and a sampling percentage within the limit",
    types=[ENDPOINT_CONFIG],
    settings={"required": bool, "maxSamplingPercent": Annotated[int, Field(ge=0, le=100)]},
    good={
        "productionVariants": [{"instanceType": "ml.g5.xlarge"}],
        "dataCaptureConfig": {
            "enableCapture": True,
            "initialSamplingPercentage": 10,
            "kmsKeyId": "arn:aws:kms:us-east-1:111111111111:key/1",
        },
    },
    bad={
        "productionVariants": [{"instanceType": "ml.g5.xlarge"}],
        "dataCaptureConfig": {"enableCapture": True, "initialSamplingPercentage": 100},
    },
)
def data_capture(config: Resource, settings: Settings) -> Findings:
    """Serverless variants cannot capture."""
    if settings["required"] and not all(map(is_serverless, variants(config))):
        yield from expect(config, "dataCaptureConfig.enableCapture", is_true, "true")
    if config.get("dataCaptureConfig.enableCapture"):
        most = settings["maxSamplingPercent"]
        sampled = "dataCaptureConfig.initialSamplingPercentage"
        yield from expect(config, sampled, lambda share: (share or 0) <= most, f"{most} at most")
        if not config.has("dataCaptureConfig.kmsKeyId"):
            yield Finding("`dataCaptureConfig.kmsKeyId` is not set")


RULES = (instance_count_cap, autoscaling_required, dev_scale_to_zero, data_capture)
