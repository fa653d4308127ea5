"""What holds for the stack as a whole."""

from policies import waivers
from policies.model import STACK, Finding, Findings, Resource, Sample, Settings, Stack, stack_rule

_STACK = Sample(type=STACK, name="inference-platform-prod", props={})


@stack_rule(
    id="waiver-hygiene",
    title="Every waiver is in order, in use and in time",
    severity="high",
    why="A waiver that nobody needs or that never ends is a hole that nobody sees.",
    fix="correct the entry in policies/waivers.yaml, or remove it",
    types=[STACK],
    good=[_STACK],
    bad=[_STACK],
)
def waiver_hygiene(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """An unused waiver counts only in the stack that its URN pattern names."""
    for place, waiver in enumerate(stack.waivers):
        wrong = list(waivers.problems(waiver, stack.rules, stack.today))
        yield from (Finding(f"waiver {place + 1} ({waiver.rule or 'no rule'}): {each}") for each in wrong)
        if not wrong and waiver.stack == resource.stack and place not in stack.waived:
            yield Finding(f"waiver {place + 1} ({waiver.rule}): nothing in this stack needs it: {waiver.urn}")


RULES = (waiver_hygiene,)
