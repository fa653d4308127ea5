"""`audit`: what linters that are not ours say of an environment, each remark with its answer.

Answers are in `policies/audit_answers.yaml`; a remark without one fails the command.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from rich.console import Console

from inferctl import checkov, plan
from inferctl.errors import CommandFailed
from inferctl.iam_linters import Remark, parliament_remarks, star_remarks
from inferctl.workspace import ROOT, Workspace
from toolchain.progress import Progress

ANSWERS = ROOT / "policies" / "audit_answers.yaml"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Why a remark is not followed. The patterns' `*` stands for any text."""

    judge: str
    check: str
    resource: str
    said: str = "*"
    reason: str

    def to(self, remark: Remark) -> bool:
        return (self.judge, self.check) == (remark.judge, remark.check) and all(
            fnmatchcase(text, pattern)
            for text, pattern in ((remark.resource, self.resource), (remark.said, self.said))
        )


def answers(file: Path = ANSWERS) -> Sequence[Answer]:
    """The committed answers.

    Raises:
        CommandFailed: an entry misses a field, or has one that there is not.
    """
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        return [
            Answer(judge=judge, check=check, **entry)
            for judge, checks in entries.items()
            for check, given in checks.items()
            for entry in given
        ]
    except (TypeError, AttributeError) as error:
        raise CommandFailed(
            f"{file}: {error}", "give each answer `resource`, `reason` and at most `said`"
        ) from None


def audit(names: Sequence[str], console: Console) -> bool:
    """Show what the linters say of each environment; whether everything has its answer.

    Raises:
        CommandFailed: an environment cannot be exported, or checkov does not run.
    """
    known, unused = answers(), set(answers())
    complete = True
    for name in names:
        found = sorted(remarks(name))
        for line in report(name, found, known):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        unused -= {answer for answer in known for remark in found if answer.to(remark)}
        complete = complete and not unanswered(found, known)
    if len(names) > 1:  # one environment alone does not need them all
        for answer in unused:
            console.print(
                f"answers nothing: {answer.judge} {answer.check} {answer.resource}", highlight=False
            )
    return complete and not (unused and len(names) > 1)


def remarks(name: str) -> Iterator[Remark]:
    """What every linter says of an environment."""
    export = plan.deployment(name)
    with Progress() as progress:
        with progress.step("iam linters"):
            yield from [*parliament_remarks(export), *star_remarks(export)]
        with progress.step("checkov"):
            yield from checkov.remarks(export, Workspace.here().local / "audit" / name)


def unanswered(found: Sequence[Remark], known: Sequence[Answer]) -> list[Remark]:
    return [remark for remark in found if not any(answer.to(remark) for answer in known)]


def report(name: str, found: Sequence[Remark], known: Sequence[Answer]) -> Iterator[str]:
    """A line for each answer with what it answers, then what has none."""
    open_ = unanswered(found, known)
    yield f"{name}: {len(found)} remarks, {len(open_)} without an answer"
    for answer in known:
        if answered := [remark for remark in found if answer.to(remark)]:
            resources = ", ".join(dict.fromkeys(remark.resource for remark in answered))
            yield f"  {answer.judge} {answer.check}: {answered[0].said}"
            yield f"      on     {resources}"
            yield f"      answer {answer.reason}"
    for remark in open_:
        yield f"  OPEN {remark.judge} {remark.check} {remark.resource}: {remark.said}"
