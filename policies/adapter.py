"""Runs the rules as Pulumi policies. The only module that knows the policy SDK.

Unknown values: the SDK's proxies raise on reading one, which would stop a rule at the first. Rules get plain
values with `UNKNOWN` instead and judge what is known. What they cannot judge is raised to the SDK afterwards,
which shows it as an advisory in the rule's name.
"""

import datetime
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi_policy as sdk
from pulumi_policy import proxy

from policies.resources import UNKNOWN, Part, Resource, Stack, Undecided
from policies.rule import Finding, ResourceRule, Rule, Settings, StackRule, run
from policies.settings import RuleConfig, parse, schema
from policies.waivers import Waiver, problems

_UNKNOWNS = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))


class _UndecidedUntilUp(proxy.UnknownValueError):
    """What the SDK reports as an advisory, in the rule's name."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.message = message


def plain(value: Any) -> Any:
    """A value as the rules see it: dicts and lists for the SDK's proxies, `UNKNOWN` for unknown values, ints.

    The engine's protocol knows only floats.
    """
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, sdk.Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except proxy.UnknownValueError:
        return UNKNOWN


@dataclass
class Pack:
    """The rules, and what one run of them has seen so far.

    `defaults` hold for what the engine's `--policy-pack-config` does not set.
    """

    rules: Sequence[Rule]
    defaults: Mapping[str, RuleConfig]
    waivers: Sequence[Waiver]
    today: datetime.date

    def __post_init__(self) -> None:
        ids = list(self.defaults)
        self._valid = {
            place: waiver
            for place, waiver in enumerate(self.waivers)
            if not any(problems(waiver, ids, self.today))
        }
        self._waived: set[int] = set()
        self._parsed: dict[str, Settings] = {}

    def policies(self) -> list[sdk.Policy]:
        """One policy a rule. The stack's hygiene of waivers comes last: it needs to know which were used."""
        return [
            self._policy(rule) for rule in sorted(self.rules, key=lambda rule: rule.id == "waiver-hygiene")
        ]

    def _policy(self, rule: Rule) -> sdk.Policy:
        defaults = self.defaults[rule.id]
        shared: dict[str, Any] = {
            "name": rule.id,
            "description": rule.title,
            "enforcement_level": sdk.EnforcementLevel(defaults.level),
            "config_schema": sdk.PolicyConfigSchema(schema(rule, defaults.settings)),
            "severity": sdk.Severity(rule.severity),
            "remediation_steps": rule.fix,
        }
        if isinstance(rule, StackRule):
            return sdk.StackValidationPolicy(validate=functools.partial(self._stack, rule), **shared)
        # The SDK's annotation wants an awaitable; it takes a plain result too.
        remediate: Any = functools.partial(self._remediate, rule) if rule.remedy else None
        return sdk.ResourceValidationPolicy(
            validate=functools.partial(self._resource, rule), remediate=remediate, **shared
        )

    def _resource(
        self, rule: ResourceRule, args: sdk.ResourceValidationArgs, report: sdk.ReportViolation
    ) -> None:
        if not rule.judges(args.resource_type):
            return
        resource = _resource(args)
        findings = run(rule.check(resource, self._settings(rule, args)))
        undecided = self._report(rule, resource, findings, report)
        if undecided:
            raise _UndecidedUntilUp("; ".join(undecided))

    def _stack(self, rule: StackRule, args: sdk.StackValidationArgs, report: sdk.ReportViolation) -> None:
        resources = [_stack_resource(resource) for resource in args.resources]
        settings = self._settings(rule, args)
        stack = Stack(
            resources=resources,
            waivers=self.waivers,
            waived=frozenset(self._waived),
            today=self.today,
            rules=list(self.defaults),
        )
        undecided: list[str] = []
        for resource in resources:
            if rule.judges(resource.type):
                findings = run(rule.check(resource, stack, settings))
                undecided += self._report(rule, resource, findings, report)
        if undecided:
            raise _UndecidedUntilUp("; ".join(undecided))

    def _settings(self, rule: Rule, args: Any) -> Settings:
        """The rule's thresholds, with the defaults that the engine has filled in."""
        if rule.id not in self._parsed:
            given = plain(args.get_config())
            level = self.defaults[rule.id].level
            self._parsed[rule.id] = parse(rule, {"enforcementLevel": level, **given}).settings
        return self._parsed[rule.id]

    def _report(
        self, rule: Rule, resource: Resource, findings: Iterable[Finding], report: sdk.ReportViolation
    ) -> list[str]:
        """Report the violations, unless a waiver covers them; returns what is undecided."""
        found = list(findings)
        if not found or self._is_waived(rule, resource):
            return []
        if violations := dict.fromkeys(finding.message for finding in found if not finding.undecided):
            what = "; ".join(violations)
            report(f"{resource.name}: {what}\nwhy: {rule.why}\nfix: {rule.fix}", resource.urn)
        undecided = dict.fromkeys(finding.message for finding in found if finding.undecided)
        return [f"{resource.name}: {message}; undecided until up" for message in undecided]

    def _is_waived(self, rule: Rule, resource: Resource) -> bool:
        used = {place for place, waiver in self._valid.items() if waiver.covers(rule.id, resource.urn)}
        self._waived |= used
        return bool(used)

    def _remediate(self, rule: ResourceRule, args: sdk.ResourceValidationArgs) -> Mapping[str, Any] | None:
        if not rule.judges(args.resource_type):
            return None
        resource = _resource(args)
        settings = self._settings(rule, args)
        assert rule.remedy is not None
        violated = any(not finding.undecided for finding in run(rule.check(resource, settings)))
        if not violated or self._is_waived(rule, resource):
            return None
        try:
            return functools.reduce(merged, rule.remedy(resource, settings), args.props)
        except Undecided:  # it cannot tell what to set; the violation is reported
            return None


def merged(value: Any, patch: Mapping[Any, Any]) -> Any:
    """An object or a list with the patch's values set; all else as it came, secrets and unknowns included."""
    copy = (value if isinstance(value, dict | list) else value["__target"]).copy()
    for key, inner in patch.items():
        there = copy.get(key) if isinstance(copy, dict) else copy[key]
        copy[key] = merged(there, inner) if isinstance(inner, Mapping) and there is not None else inner
    return copy


def _resource(args: sdk.ResourceValidationArgs) -> Resource:
    return Resource(
        type=args.resource_type,
        name=args.name,
        urn=args.urn,
        source=functools.partial(plain, args.props),
        parent=args.opts.parent or "",
        protect=args.opts.protect,
        provider=Part(plain(args.provider.props) if args.provider else {}),
    )


def _stack_resource(seen: sdk.PolicyResource) -> Resource:
    return Resource(
        type=seen.resource_type,
        name=seen.name,
        urn=seen.urn,
        source=functools.partial(plain, seen.props),
        parent=seen.parent.urn if seen.parent else "",
        protect=seen.opts.protect,
        references={
            prop: [each.urn for each in origins] for prop, origins in seen.property_dependencies.items()
        },
    )
