"""The rules name resource types that exist; `conftest.check` sees to the properties that they read."""

import pytest

from local_aws.sdk_types import resource_type
from policies import taggable
from policies.rule import Rule
from policies.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_types_that_a_rule_judges_exist_in_the_sdk(rule: Rule) -> None:
    for token in rule.types:
        if token.startswith("aws:") and "*" not in token:
            resource_type(token)


def test_the_list_of_taggable_types_is_current() -> None:
    assert sorted(taggable.types()) == taggable.scan(), "run `python -m policies.taggable`"
