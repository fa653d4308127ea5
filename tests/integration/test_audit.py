"""checkov on the plan of every environment, as the audit of a pull request runs it."""

from pathlib import Path
from typing import Any

from inferctl import checkov
from inferctl.audit import answers, unanswered
from tests.ci.workflows import commands


def test_checkov_says_nothing_that_has_no_answer(export: dict[str, Any], tmp_path: Path) -> None:
    found = list(checkov.remarks(export, tmp_path))
    assert found, "checkov always has something to say: it was not asked"
    assert unanswered(found, answers()) == []


def test_a_pull_request_is_audited() -> None:
    assert commands("plan", "plan")["Audit"] == 'bin/inferctl audit "$ENV"'
