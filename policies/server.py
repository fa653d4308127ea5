"""The engine's side of the pack: the `Analyzer` service. The only module that speaks the engine's protocol.

It takes the place of the SDK's `PolicyPack` (docs/adr/0006): it reports what is undecided on the resource
that it is about, refuses a configuration that names a rule that there is not, and translates a resource once
where the SDK does so for every policy.
"""
# ruff: noqa: N802 (the protocol names the methods)

import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as pb
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerServicer, add_AnalyzerServicer_to_server

from policies.resources import STACK, Part, Resource, Stack, Undecided
from policies.rule import Findings, ResourceRule, Rule, StackRule, run
from policies.settings import BadConfig, RuleConfig, parse, schema
from policies.waivers import Waiver, problems
from policies.wire import apply, plain

R = TypeVar("R", ResourceRule, StackRule)

NAME = "inference-platform"
# The CLI shows the version in PulumiPolicy.yaml, as it does with every Python pack.
_VERSION = "0.0.1"
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Analyzer(AnalyzerServicer):
    """Judges the resources of one operation with the rules.

    Args:
        rules: all rules.
        configs: their levels and thresholds, until the engine configures others.
        waivers: entries of the file, right or wrong.
        today: the day on which waivers are judged.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        configs: Mapping[str, RuleConfig],
        waivers: Sequence[Waiver],
        today: date,
    ) -> None:
        self._rules = {rule.id: rule for rule in rules}
        self._configs = dict(configs)
        self._waivers, self._today = waivers, today
        ids = list(self._rules)
        self._in_order = [waiver for waiver in waivers if not any(problems(waiver, ids, today))]
        self._used: set[Waiver] = set()

    def Handshake(self, request: Any, context: Any) -> Any:
        return pb.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=_VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:
        info = pb.AnalyzerInfo(name=NAME, version=_VERSION, supportsConfig=True)
        for rule in self._rules.values():
            config = self._configs[rule.id]
            policy = info.policies.add(
                name=rule.id,
                description=rule.title,
                enforcementLevel=pb.EnforcementLevel.Value(config.level.upper()),
                severity=_severity(rule),
                policy_type=pb.POLICY_TYPE_STACK if isinstance(rule, StackRule) else pb.POLICY_TYPE_RESOURCE,
                remediation_steps=rule.fix,
            )
            policy.configSchema.properties.update(schema(rule, config.settings))
        return info

    def ConfigureStack(self, request: Any, context: Any) -> Any:
        return pb.AnalyzerStackConfigureResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        """Take levels and thresholds; the engine has filled in the defaults."""
        mistakes = []
        for name, given in request.policyConfig.items():
            level = pb.EnforcementLevel.Name(given.enforcementLevel).lower()
            try:
                if name in self._rules:
                    entry = {"enforcementLevel": level, **plain(given.properties)}
                    self._configs[name] = parse(self._rules[name], entry)
                elif name != "all":  # the engine has applied it to every rule
                    mistakes.append(f"{name}: there is no such rule")
            except BadConfig as error:
                mistakes.append(str(error))
        if mistakes:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "\n".join(sorted(mistakes)))
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: Any) -> Any:
        resource = _registered(request)
        response = pb.AnalyzeResponse()
        for rule in self._enabled(ResourceRule, resource):
            findings = rule.check(resource, self._configs[rule.id].settings)
            response.diagnostics.extend(self._diagnostics(rule, resource, findings))
        return response

    def AnalyzeStack(self, request: Any, context: Any) -> Any:
        resources = [_in_stack(each) for each in request.resources]
        response = pb.AnalyzeResponse()
        # The stack itself comes last: its rule on waivers needs to know which were used.
        for resource in sorted(resources, key=lambda each: each.type == STACK):
            stack = Stack(
                resources=resources,
                waivers=self._waivers,
                waived=self._used,
                today=self._today,
                rules=list(self._rules),
            )
            for rule in self._enabled(StackRule, resource):
                findings = rule.check(resource, stack, self._configs[rule.id].settings)
                response.diagnostics.extend(self._diagnostics(rule, resource, findings))
        return response

    def Remediate(self, request: Any, context: Any) -> Any:
        """Each remedy sees what the ones before it have set."""
        properties = struct_pb2.Struct()
        properties.CopyFrom(request.properties)
        response = pb.RemediateResponse()
        for rule in self._enabled(ResourceRule, _registered(request)):
            if rule.remedy is None or self._configs[rule.id].level != "remediate":
                continue
            resource = _registered(request, properties)
            settings = self._configs[rule.id].settings
            violated = any(not finding.undecided for finding in run(rule.check(resource, settings)))
            if not violated or self._waiver(rule, resource):
                continue
            try:
                patches = list(rule.remedy(resource, settings))
            except Undecided:  # it cannot tell what to set; the violation is reported
                continue
            for patch in patches:
                apply(patch, properties)
            response.remediations.add(
                policyName=rule.id,
                policyPackName=NAME,
                policyPackVersion=_VERSION,
                description=rule.title,
                properties=properties,
            )
        return response

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def _enabled(self, kind: type[R], resource: Resource) -> Iterator[R]:
        """Rules of a kind that judge the resource, in the order in which they stand."""
        for rule in self._rules.values():
            enabled = self._configs[rule.id].level != "disabled"
            if enabled and isinstance(rule, kind) and rule.judges(resource.type):
                yield rule

    def _diagnostics(self, rule: Rule, resource: Resource, findings: Findings) -> Iterator[Any]:
        """At most one for the violations and one for what is undecided, each in a few lines."""
        found = list(run(findings))
        violations = "; ".join(dict.fromkeys(each.message for each in found if not each.undecided))
        undecided = "; ".join(dict.fromkeys(each.message for each in found if each.undecided))
        waiver = self._waiver(rule, resource) if found else None
        if waiver:
            until = f"waived until {waiver.expires} by {waiver.owner}: {waiver.reason}"
            yield _diagnostic(rule, resource, pb.ADVISORY, f"{violations or undecided}\n{until}")
            return
        if violations:
            # What remediation could not correct is refused.
            level = pb.ADVISORY if self._configs[rule.id].level == "advisory" else pb.MANDATORY
            yield _diagnostic(rule, resource, level, f"{violations}\nwhy: {rule.why}\nfix: {rule.fix}")
        if undecided:
            yield _diagnostic(rule, resource, pb.ADVISORY, f"{undecided}; undecided until up")

    def _waiver(self, rule: Rule, resource: Resource) -> Waiver | None:
        for waiver in self._in_order:
            if waiver.covers(rule.id, resource.urn):
                self._used.add(waiver)
                return waiver
        return None


def _diagnostic(rule: Rule, resource: Resource, level: Any, message: str) -> Any:
    return pb.AnalyzeDiagnostic(
        policyName=rule.id,
        policyPackName=NAME,
        policyPackVersion=_VERSION,
        description=rule.title,
        message=f"{rule.title}\n{resource.name}: {message}",
        enforcementLevel=level,
        urn=resource.urn,
        severity=_severity(rule),
    )


def _severity(rule: Rule) -> Any:
    return pb.PolicySeverity.Value(f"POLICY_SEVERITY_{rule.severity.upper()}")


def _registered(request: Any, properties: struct_pb2.Struct | None = None) -> Resource:
    return Resource(
        type=request.type,
        name=request.name,
        urn=request.urn,
        source=functools.partial(plain, request.properties if properties is None else properties),
        parent=request.options.parent,
        protect=request.options.protect,
        provider=Part(plain(request.provider.properties)),
    )


def _in_stack(seen: Any) -> Resource:
    return Resource(
        type=seen.type,
        name=seen.name,
        urn=seen.urn,
        source=functools.partial(plain, seen.properties),
        parent=seen.parent,
        protect=seen.options.protect,
        references={prop: list(origins.urns) for prop, origins in seen.propertyDependencies.items()},
    )


def serve(analyzer: Analyzer) -> NoReturn:
    """Run as the engine's child: the port on stdout, then until the engine ends the process or is gone."""
    parent, stop = os.getppid(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_NO_LIMIT)
    add_AnalyzerServicer_to_server(analyzer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == parent and not stop.wait(0.5):
        pass
    server.stop(grace=None).wait()
    sys.exit()
