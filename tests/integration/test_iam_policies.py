"""Every IAM policy of every environment, judged by parliament and by AWS's own table of actions."""

from typing import Any

from inferctl.audit import answers, unanswered
from inferctl.iam_linters import parliament_remarks, role_policies, star_remarks


def test_parliament_finds_nothing_that_has_no_answer(export: dict[str, Any]) -> None:
    assert unanswered(list(parliament_remarks(export)), answers()) == []


def test_every_star_resource_is_one_that_aws_allows_nothing_narrower_for(export: dict[str, Any]) -> None:
    assert list(star_remarks(export)) == []


def test_no_policy_grants_a_whole_service_or_everything(export: dict[str, Any]) -> None:
    judged = 0
    for name, document in role_policies(export):
        for statement in document["Statement"]:
            assert statement["Effect"] in ("Allow", "Deny")
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            assert not [action for action in statement["Action"] if action.endswith("*")], name
        judged += 1
    assert judged >= 4
