"""Lambda: what a function may cost and where what it leaves behind goes."""

from typing import Annotated

from pydantic import Field

from policies.resources import UNKNOWN, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, between, expect, resource_rule, stack_rule
from policies.rules.lambda_ import FUNCTION
from policies.rules.logs import LOG_GROUP

PROVISIONED = "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig"
INVOKE_CONFIG = "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig"
PERMISSION = "aws:lambda/permission:Permission"
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


@resource_rule(
    id="lambda-reserved-concurrency",
    title="Every function has a limit of its own on requests in flight",
    severity="medium",
    why="One function's burst would take the whole account's concurrency, and any bill with it.",
    fix="set reserved_concurrent_executions within the environment's cap",
    types=[FUNCTION],
    settings={"maxConcurrency": Positive},
    good={"reservedConcurrentExecutions": 10},
    bad={},
)
def reserved_concurrency(function: Resource, settings: Settings) -> Findings:
    """-1, the provider's default, is no limit; 0 stops the function."""
    most = settings["maxConcurrency"]
    yield from expect(function, "reservedConcurrentExecutions", between(1, most), f"1 to {most}")


@resource_rule(
    id="lambda-no-provisioned-concurrency-dev",
    title="Warm environments are kept only where the environment pays for them",
    severity="high",
    why="Ten warm environments of 2 GiB cost 220 USD a month without a single request.",
    fix="remove the provisioned concurrency or lower it to the environment's cap; SnapStart costs less",
    types=[PROVISIONED],
    settings={"maxProvisioned": Count},
    good={"provisionedConcurrentExecutions": 2},
    bad={"provisionedConcurrentExecutions": 1000},
)
def no_provisioned_concurrency_dev(config: Resource, settings: Settings) -> Findings:
    most = settings["maxProvisioned"]
    yield from expect(config, "provisionedConcurrentExecutions", between(0, most), f"{most} at most")


_ASYNC_SOURCES = ("s3.amazonaws.com", "sns.amazonaws.com", "events.amazonaws.com", "ses.amazonaws.com")
_FUNCTION = Sample(type=FUNCTION, name="worker", props={"name": "worker"})
_CALLER = Sample(
    type=PERMISSION,
    name="s3-calls-worker",
    props={"principal": "s3.amazonaws.com"},
    refers_to={"function": "worker"},
)


@stack_rule(
    id="lambda-dlq-for-async",
    title="Events that a function fails to process are kept",
    severity="medium",
    why="After two retries Lambda drops an asynchronous event without a trace.",
    fix="give the function dead_letter_config, or a FunctionEventInvokeConfig with an on_failure destination",
    types=[FUNCTION],
    good=[
        Sample(
            type=FUNCTION,
            name="worker",
            props={
                "name": "worker",
                "deadLetterConfig": {"targetArn": "arn:aws:sqs:us-east-1:111111111111:dlq"},
            },
        ),
        _CALLER,
    ],
    bad=[_FUNCTION, _CALLER],
)
def dlq_for_async(function: Resource, stack: Stack, settings: Settings) -> Findings:
    """A function that no asynchronous source may invoke drops nothing."""
    callers = stack.companions(function, PERMISSION, "function")
    if not any(caller.get("principal") in _ASYNC_SOURCES for caller in callers):
        return
    configs = stack.companions(function, INVOKE_CONFIG, "functionName")
    kept = any(config.has("destinationConfig.onFailure.destination") for config in configs)
    if not kept and not function.has("deadLetterConfig.targetArn"):
        yield Finding(
            "it is called asynchronously and has neither `deadLetterConfig` nor a failure destination"
        )


@resource_rule(
    id="lambda-timeout-memory-caps",
    title="Every function's timeout and memory are set and within the environment's caps",
    severity="low",
    why="Memory times duration is the price; a function that hangs is billed until its timeout.",
    fix="set timeout and memory_size",
    types=[FUNCTION],
    settings={"maxTimeoutS": Positive, "maxMemoryMib": Positive},
    good={"timeout": 20, "memorySize": 1024},
    bad={"timeout": 900},
)
def timeout_memory_caps(function: Resource, settings: Settings) -> Findings:
    seconds, memory = settings["maxTimeoutS"], settings["maxMemoryMib"]
    yield from expect(function, "timeout", between(1, seconds), f"1 to {seconds} seconds")
    yield from expect(function, "memorySize", between(128, memory), f"128 to {memory} MiB")


@resource_rule(
    id="lambda-arm64",
    title="Functions run on arm64",
    severity="low",
    why="A second on arm64 costs 20 % less than on x86.",
    fix='set architectures=["arm64"], or keep x86 for a library that has no arm build',
    types=[FUNCTION],
    good={"architectures": ["arm64"]},
    bad={},
)
def arm64(function: Resource, settings: Settings) -> Findings:
    yield from expect(function, "architectures", lambda names: names == ["arm64"], '["arm64"]')


@stack_rule(
    id="lambda-log-group-managed",
    title="Every function writes to a log group of the stack",
    severity="medium",
    why="Otherwise Lambda makes one that is not encrypted with the platform's key and never expires.",
    fix="create the log group /aws/lambda/<name> and pass it in logging_config",
    types=[FUNCTION],
    good=[
        Sample(type=FUNCTION, name="worker", props={"name": "worker"}),
        Sample(type=LOG_GROUP, name="logs", props={"name": "/aws/lambda/worker"}),
    ],
    bad=[Sample(type=FUNCTION, name="worker", props={"name": "worker"})],
)
def log_group_managed(function: Resource, stack: Stack, settings: Settings) -> Findings:
    path = "loggingConfig.logGroup"
    groups = stack.of(LOG_GROUP)
    if any(function.refers(path, group) for group in groups):
        return
    name = function.get(path) or f"/aws/lambda/{function.get('name')}"
    names = [group.part.value.get("name") for group in groups]
    if name not in names:
        # A group whose name is unknown may be the one.
        yield Finding(f"its log group {name} is not in the stack", undecided=UNKNOWN in names)


RULES = (
    reserved_concurrency,
    no_provisioned_concurrency_dev,
    dlq_for_async,
    timeout_memory_caps,
    arm64,
    log_group_managed,
)
