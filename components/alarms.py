"""Which alarms an environment needs, as data that `Observability` makes alarms of.

An objective is watched by its burn rate, how many times faster than allowed the error budget of 30 days is
used up: 14.4 for an hour uses 2 % of it, 6 for six hours 5 %. A short window beside each long one ends the
alarm soon after the errors end. https://sre.google/workbook/alerting-on-slos/#6-multiwindow-multi-burn-rate-alerts
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from components import metric
from components.metric import Metric
from components.watch import ModelWatch, Site

FAST, SLOW = 14.4, 6.0
_BURN_WINDOWS = {
    "burn-fast-long": (FAST, 3600),
    "burn-fast-short": (FAST, 300),
    "burn-slow-long": (SLOW, 21_600),
    "burn-slow-short": (SLOW, 1800),
}
"""Role -> (burn rate, window in seconds)."""

_OF_A_VERSION = ("burn-fast-short", "p99", "throttles", "gpu-memory", "dead-letters", "canary")
"""Alarms on what a bad version of a model does."""

# Percent of the time that a GPU computes below which it is idle, and above which its memory is nearly full.
_GPU_IDLE, _GPU_MEMORY = 5, 95


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alarm on one metric."""

    role: str
    """Last part of its name."""
    runbook: str
    """Page under docs/runbooks that says what to do, without the ending."""
    text: str
    """What it means when it rings."""
    metric: Metric
    stat: str
    """`Sum`, `Average`, `Maximum`, … or a percentile such as `p99`."""
    threshold: float
    period_s: int = 300
    periods: int = 1
    """Periods that are looked at."""
    breaching: int = 1
    """How many of them must be beyond the threshold."""
    below: bool = False
    """Whether it rings below the threshold, not above."""
    tells: bool = True
    """Whether it tells by itself; the others tell through the model's composite alarm."""
    missing: Literal["notBreaching", "breaching", "ignore"] = "notBreaching"
    """What a period without data counts as."""


def platform_alarms(site: Site, authorizer: str, dead_letters: Sequence[str] = ()) -> Iterator[Alarm]:
    """Alarms on what all models share.

    Args:
        site: where the metrics come from.
        authorizer: name of the authorizer's function.
        dead_letters: names of dead-letter queues that are no model's.
    """
    yield Alarm(
        role="api-5xx",
        runbook="api-5xx",
        text="More than 1 % of all requests end with a 5xx",
        metric=metric.api(site.api_name, site.stage, "5XXError"),
        stat="Average",
        threshold=0.01,
        periods=2,
        breaching=2,
    )
    yield Alarm(
        role="authorizer-errors",
        runbook="authorizer-errors",
        text="The authorizer fails, so that clients with valid tokens are refused",
        metric=metric.function(authorizer, "Errors"),
        stat="Sum",
        # A refused token is an error of the function, too: the gateway takes a 401 in no other way.
        threshold=50,
        periods=2,
        breaching=2,
    )
    yield Alarm(
        role="authorizer-throttles",
        runbook="throttles",
        text="The authorizer is at its concurrency limit, and clients get 500",
        metric=metric.function(authorizer, "Throttles"),
        stat="Sum",
        threshold=0,
    )
    for queue_name in dead_letters:
        yield _dead_letters(f"{queue_name.removeprefix(f'{site.names.prefix}-')}-dead-letters", queue_name)


def model_alarms(site: Site, watch: ModelWatch) -> Iterator[Alarm]:
    """Alarms on one model; names begin with its name."""
    if watch.synchronous:
        yield from _objectives(site, watch)
    if watch.backend == "lambda":
        yield Alarm(
            role=f"{watch.model}-throttles",
            runbook="throttles",
            text=f"{watch.model} gets more requests at once than its reserved concurrency takes",
            metric=metric.function(watch.function_name(site), "Throttles"),
            stat="Sum",
            threshold=0,
        )
    for role, utilisation in watch.gpu_metrics(site):
        yield _gpu_idle(watch, utilisation) if role == "utilisation" else _gpu_memory(watch, utilisation)
    if watch.jobs:
        yield Alarm(
            role=f"{watch.model}-queue-age",
            runbook="queue-age",
            text=f"A job for {watch.model} has waited for more than 15 minutes",
            metric=watch.jobs_queue(site, "ApproximateAgeOfOldestMessage"),
            stat="Maximum",
            threshold=900,
            periods=2,
            breaching=2,
        )
        dead = watch.dead_letters(site, "ApproximateNumberOfMessagesVisible")
        yield _dead_letters(f"{watch.model}-dead-letters", dead.dimensions["QueueName"])
    if watch.drift is not None:
        yield Alarm(
            role=f"{watch.model}-drift",
            runbook="drift",
            text=f"The inputs of {watch.model} are no longer those it was trained on",
            metric=metric.drift(watch.model),
            stat="Maximum",
            threshold=watch.drift,
            period_s=3600,
        )
    if watch.canary:
        yield Alarm(
            role=f"{watch.model}-canary",
            runbook="canary",
            text=f"{watch.model} does not answer its golden request through the API",
            metric=metric.canary(watch.model, "canary_faults"),
            stat="Maximum",
            threshold=0,
            period_s=900,
            periods=2,
            breaching=2,
            missing="breaching",  # a canary that does not sing is no good news
        )


def judging(site: Site, watch: ModelWatch) -> list[str]:
    """Names of the alarms on what a bad version of the model does; canaries are judged by them.

    Of the burn rates it is the one over the shortest window: a canary does not last an hour. What clients or
    operators cause (drift, idle GPUs, waiting jobs) does not count.
    """
    roles = {f"{watch.model}-{kind}" for kind in _OF_A_VERSION}
    return [f"{site.names.prefix}-{alarm.role}" for alarm in model_alarms(site, watch) if alarm.role in roles]


def objective_rule(prefix: str, model: str) -> str:
    """Rule of a model's composite alarm: it burns its error budget, fast or slowly, or it is too slow.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
    """

    def ringing(role: str) -> str:
        return f'ALARM("{prefix}-{model}-{role}")'

    fast = f"({ringing('burn-fast-long')} AND {ringing('burn-fast-short')})"
    slow = f"({ringing('burn-slow-long')} AND {ringing('burn-slow-short')})"
    return f"{fast} OR {slow} OR {ringing('p99')}"


def _objectives(site: Site, watch: ModelWatch) -> Iterator[Alarm]:
    for role, (rate, window_s) in _BURN_WINDOWS.items():
        # An objective below 93 % allows more errors than 14.4 times could be: then all requests must fail.
        allowed = min(0.99, rate * (100 - watch.availability) / 100)
        yield Alarm(
            role=f"{watch.model}-{role}",
            runbook="slo-burn",
            text=f"{watch.model} fails {allowed:.2%} of its requests over {window_s // 60} minutes, "
            f"{rate:g} times what {watch.availability:g} % allows",
            metric=watch.infer(site, "5XXError"),
            stat="Average",
            threshold=round(allowed, 6),
            period_s=window_s,
            tells=False,
        )
    yield Alarm(
        role=f"{watch.model}-p99",
        runbook="p99",
        text=f"One in a hundred answers of {watch.model} takes longer than {watch.p99_ms} ms",
        metric=watch.infer(site, "Latency"),
        stat="p99",
        threshold=watch.p99_ms,
        periods=3,
        breaching=3,
        tells=False,
    )


def _gpu_idle(watch: ModelWatch, utilisation: Metric) -> Alarm:
    return Alarm(
        role=f"{watch.model}-gpu-idle",
        runbook="gpu-idle",
        text=f"GPUs of {watch.model} have been paid for and not used for an hour",
        metric=utilisation,
        stat="Maximum",
        threshold=_GPU_IDLE,
        periods=12,
        breaching=12,
        below=True,
    )


def _gpu_memory(watch: ModelWatch, memory: Metric) -> Alarm:
    return Alarm(
        role=f"{watch.model}-gpu-memory",
        runbook="gpu-memory",
        text=f"GPU memory of {watch.model} is nearly full: longer requests will fail",
        metric=memory,
        stat="Maximum",
        threshold=_GPU_MEMORY,
        periods=3,
        breaching=3,
    )


def _dead_letters(role: str, queue_name: str) -> Alarm:
    return Alarm(
        role=role,
        runbook="dead-letters",
        text=f"Jobs have failed for good and wait in {queue_name}",
        metric=metric.queue(queue_name, "ApproximateNumberOfMessagesVisible"),
        stat="Maximum",
        threshold=0,
    )
