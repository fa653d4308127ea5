"""Prices of models on SageMaker: instances that answer at once, for jobs, or none; monitors beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

from cost.lines import Line, Plan, Pricer, Unpriced
from cost.load import HOURS
from cost.resources import Resource, at, number
from cost.schedules import mean_over_week

_CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
_JOB_DEFINITION = "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition"
# Starting an instance and the container takes most of it.
_HOURS_PER_RUN = 10 / 60
_TARGET = "aws:appautoscaling/target:Target"
_SCHEDULED = "aws:appautoscaling/scheduledAction:ScheduledAction"


def _endpoint(resource: Resource, plan: Plan) -> Iterator[Line]:
    """The variants of the endpoint's configuration, which itself costs nothing."""
    for variant in _configuration(resource, plan).items("productionVariants"):
        if at(variant, "serverlessConfig") is not None:
            yield from _serverless(resource, plan, at(variant, "serverlessConfig"))
        else:
            yield _instances(resource, plan, variant)


def _configuration(resource: Resource, plan: Plan) -> Resource:
    """The one in the same component; a preview does not know the name that AWS gives it."""
    found = [each for each in plan.of(_CONFIGURATION) if each.component == resource.component]
    if not found:
        raise Unpriced("its endpoint configuration is not part of the deployment")
    return found[0]


def _instances(resource: Resource, plan: Plan, variant: Any) -> Line:
    type_ = at(variant, "instanceType")
    initial = number(at(variant, "initialInstanceCount"), "initialInstanceCount", 1)
    least, most = initial, initial
    for target in plan.of(_TARGET):
        if target.component == resource.component and "sagemaker" in str(target.get("serviceNamespace")):
            least = number(target.get("minCapacity"), "minCapacity")
            most = number(target.get("maxCapacity"), "maxCapacity")
    changes = [
        (str(each.get("schedule")), number(each.get("scalableTargetAction.minCapacity"), "minCapacity"))
        for each in plan.of(_SCHEDULED)
        if each.component == resource.component
    ]
    floor = mean_over_week(changes, least)
    model = plan.load.of(resource.model)
    busy = f"load.models.{resource.model}: {model.instances:g} instances in {model.active_hours:g} hours"
    return plan.line(
        resource,
        f"instance.{type_}",
        f"instances {type_}",
        idle=floor * HOURS,
        load=model.instance_hours(floor, most),
        why=f"{floor:.4g} instances always; {busy}",
        fix="mode async with scale.min: 0, mode serverless, or a smaller instance",
    )


def _serverless(resource: Resource, plan: Plan, config: Any) -> Iterator[Line]:
    model = plan.load.of(resource.model)
    memory = number(at(config, "memorySizeInMb"), "memorySizeInMb") / 1024
    seconds = model.calls * model.ms / 1000 * memory
    why = f"{model.calls:,.10g} x {model.ms:g} ms x {memory:g} GB"
    yield plan.usage(resource, "sagemaker.serverless", "run time", seconds, why)
    if warm := number(at(config, "provisionedConcurrency"), "provisionedConcurrency"):
        yield plan.line(
            resource,
            "sagemaker.serverless.provisioned",
            "provisioned concurrency",
            idle=warm * memory * HOURS * 3600,
            why=f"{warm:g} x {memory:g} GB x {HOURS:g} hours x 3600 s",
        )


def _monitor(resource: Resource, plan: Plan) -> Iterator[Line]:
    """Runs of a monitoring job; its instance costs by the hour what it costs under an endpoint."""
    definitions = plan.siblings(resource, _JOB_DEFINITION)
    if not definitions:
        raise Unpriced("its job definition is not part of the deployment")
    type_ = definitions[0].get("jobResources.clusterConfig.instanceType")
    expression = str(
        resource.get("monitoringScheduleConfig.scheduleConfig.scheduleExpression"),
    )
    runs = HOURS / _hours_between(expression)
    yield plan.line(
        resource,
        f"instance.{type_}",
        f"instances {type_}",
        idle=runs * _HOURS_PER_RUN,
        why=f"{runs:.4g} runs of {_HOURS_PER_RUN * 60:.0f} minutes, which is an estimate",
        fix="a longer drift.every_minutes",
    )


def _hours_between(expression: str) -> int:
    """Of SageMaker's schedules: hourly, every so many hours, or daily."""
    hour = expression.split()[1]
    return 1 if hour == "*" else int(hour.partition("/")[2] or 24)


PRICERS: Mapping[str, Pricer] = {
    "aws:sagemaker/endpoint:Endpoint": _endpoint,
    "aws:sagemaker/monitoringSchedule:MonitoringSchedule": _monitor,
}
