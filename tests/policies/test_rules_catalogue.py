"""docs/RULES.md and the list of approved services are current."""

import json
from pathlib import Path

import policies
from local_aws.sdk_types import _registered
from policies import docs
from policies.rules import RULES


def test_the_catalogue_is_what_the_rules_say() -> None:
    assert docs.FILE.read_text() == docs.render(), "run `python -m policies.docs`"


def test_the_catalogue_has_every_rule_once() -> None:
    headings = [line.removeprefix("### ") for line in docs.render().splitlines() if line.startswith("### ")]
    assert sorted(headings) == sorted(rule.id for rule in RULES)


def test_every_module_of_the_sdk_is_approved_or_not_on_purpose() -> None:
    services = json.loads((Path(policies.__file__).parent / "rules" / "aws_services.json").read_text())
    listed = [
        module
        for group in ("approved", "account features")
        for modules in services[group].values()
        for module in modules
    ] + services["not approved"]
    modules = {token.split(":")[1].split("/")[0] for token in _registered("pulumi_aws")}
    assert sorted(listed) == sorted(set(listed)), "a module stands there twice"
    assert modules <= set(listed)
