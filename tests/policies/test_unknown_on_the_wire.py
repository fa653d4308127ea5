"""Unknown values as the engine sends them: whatever is unknown, a rule says something, and never breaks.

Through the analyzer service, over every rule's bad example with each of its properties unknown in turn.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as pb
from pulumi_policy import proxy

from policies.resources import UNKNOWN
from policies.rule import Rule, Sample, StackRule
from policies.rules import RULES
from policies.server import Analyzer

# The marks that the engine sends (pulumi/sdk/go/common/resource/plugin/rpc.go), by what is unknown.
MARKS = {
    bool: proxy.UNKNOWN_BOOLEAN_VALUE,
    int: proxy.UNKNOWN_NUMBER_VALUE,
    float: proxy.UNKNOWN_NUMBER_VALUE,
    str: proxy.UNKNOWN_STRING_VALUE,
    list: proxy.UNKNOWN_ARRAY_VALUE,
    dict: proxy.UNKNOWN_OBJECT_VALUE,
}


def marked(value: Any, known: Any) -> Any:
    """The value with marks of the engine in the place of `UNKNOWN`; `known` is what it was."""
    if value is UNKNOWN:
        return MARKS[type(known)]
    if isinstance(value, dict):
        return {key: marked(inner, known[key]) for key, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner, was) for inner, was in zip(value, known, strict=True)]
    return value


def struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(props)
    return message


def urn(sample: Sample) -> str:
    return f"urn:pulumi:prod::trial::{sample.type}::{sample.name}"


def judged(service: Analyzer, rule: Rule, samples: list[Sample]) -> list[Any]:
    """Diagnostics of what the engine would send for the samples."""
    if not isinstance(rule, StackRule):
        (sample,) = samples
        request = pb.AnalyzeRequest(type=sample.type, name=sample.name, urn=urn(sample))
        request.properties.CopyFrom(struct(sample.props))
        return list(service.Analyze(request, None).diagnostics)
    request = pb.AnalyzeStackRequest()
    urns = {sample.name: urn(sample) for sample in samples}
    for sample in samples:
        sent = request.resources.add(type=sample.type, name=sample.name, urn=urn(sample))
        sent.properties.CopyFrom(struct(sample.props))
        for prop, target in sample.refers_to.items():
            sent.propertyDependencies[prop].urns.append(urns[target])
    return list(service.AnalyzeStack(request, None).diagnostics)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.id != "waiver-hygiene"], ids=lambda rule: rule.id
)
def test_the_engines_unknown_values_never_make_a_violation_pass(
    rule: Rule, configs: Any, with_one_unknown: Any
) -> None:
    service = Analyzer([rule], configs, [], datetime.date(2026, 1, 1))
    service._configs = {**configs, rule.id: type(configs[rule.id])("mandatory", configs[rule.id].settings)}
    for samples in with_one_unknown(rule.bad, marked):
        diagnostics = judged(service, rule, samples)
        assert diagnostics, samples
        for each in diagnostics:
            undecided = each.message.endswith("undecided until up")
            assert each.enforcementLevel == (pb.ADVISORY if undecided else pb.MANDATORY), each
