"""How many mutants of the policy rules the unit tests kill: a seeded sample, judged in this process.

    .venv/bin/uv run --no-sync --with cosmic-ray==8.7.0 python -m benchmarks.mutation

cosmic-ray, which the project does not otherwise need, makes the mutants; each is tried in a fork of one
process that has collected the tests, on those of its own rules, so that 600 take minutes. Left out are
mutants of a rule's documented examples (they are data, pinned by `docs/RULES.md`), of annotations, and those
that do not even import, which any test would kill. Survivors are listed, to be answered by a test or by a
simpler rule.
"""

import argparse
import ast
import contextlib
import dataclasses
import gc
import io
import os
import random
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, Literal

import pytest

from policies import settings
from policies.rules import RULES, SUBJECTS

ROOT = Path(__file__).resolve().parents[1]
RULE_FILES = ROOT / "policies" / "rules"
TESTS = (
    "test_rule_cases.py",
    "test_rules.py",
    "test_rule_remedies.py",
    "test_waivers.py",
    "test_settings.py",
)
SEED, SAMPLE = 7, 600
LIMIT_S = 60
"""Seconds of CPU after which a mutant that hangs counts as killed."""

# The first two make modules that do not import, or no change; `is` for `==` is the same for interned text.
_POINTLESS = ("RemoveDecorator", "NoOp", "_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")

_PLAIN = ("-qxs", "-n0", *(word for name in ("cacheprovider", "logging") for word in ("-p", f"no:{name}")))

Fate = Literal["killed", "survived", "does not import"]
_FATES: Sequence[Fate] = ("killed", "survived", "does not import")


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        return f"policies.rules.{self.module}"

    def text(self) -> str:
        """The whole module with the change; the module itself where cosmic-ray cannot make it."""
        from cosmic_ray import plugins
        from cosmic_ray.mutating import mutate_code

        source = (RULE_FILES / f"{self.module}.py").read_text(encoding="utf-8")
        try:
            return mutate_code(source, plugins.get_operator(self.operator)(), self.occurrence) or source
        except AttributeError:  # an exception of another module
            return source

    def change(self) -> str:
        before = (RULE_FILES / f"{self.module}.py").read_text(encoding="utf-8").splitlines()
        changed = unified_diff(before, self.text().splitlines(), lineterm="", n=0)
        return "\n".join(f"    {line}" for line in changed if line[:2] not in ("--", "++", "@@"))


def mutants(module: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in an order of its own."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    source = module.read_text(encoding="utf-8")
    nodes, left_out = list(ast_nodes(get_ast(source))), _left_out(source)
    for name in sorted(plugins.operator_names()):
        kind = plugins.get_operator(name)
        if kind.arguments() or name.endswith(_POINTLESS):
            continue
        positions = [place for node in nodes for place in kind().mutation_positions(node)]
        for occurrence, (start, _) in enumerate(positions):
            if not any(first <= start < last for first, last in left_out):
                yield Mutant(module.stem, name, occurrence, start[0])


def _left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(start, end) of examples and annotations."""
    spans: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            spans += [keyword.value for keyword in node.keywords if keyword.arg in ("good", "bad")]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            spans += [node.annotation] if node.annotation else []
        elif isinstance(node, ast.FunctionDef):
            spans += [node.returns] if node.returns else []
    places: Any = spans
    return [((each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)) for each in places]


class Trial:
    """A pytest plug-in: once the tests are collected, every mutant is tried on them, in a fork of its own."""

    def __init__(self, mutants: Sequence[Mutant], sample: int) -> None:
        self._mutants, self._sample = mutants, sample
        self.fates: Counter[Fate] = Counter()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not passes(session, session.items):
            sys.exit("the tests fail without any mutant")
        gc.disable()
        gc.freeze()  # a collection in the fork would copy every page
        for mutant in self._mutants:
            if self.fates["killed"] + self.fates["survived"] >= self._sample:
                break
            fate = tried(mutant, session)
            self.fates[fate] += 1
            if sum(self.fates.values()) % 50 == 0:
                print(dict(self.fates), file=sys.stderr, flush=True)
            if fate == "survived":
                where = f"{mutant.module}.py:{mutant.line} {mutant.operator}"
                print(f"survived: {where}\n{mutant.change()}", file=sys.__stdout__, flush=True)
        return True


def tried(mutant: Mutant, session: pytest.Session) -> Fate:
    """What becomes of a mutant, in a child process."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return "killed" if status < 0 else _FATES[status]  # below zero: it hung, and the kernel ended it
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    fate: Fate = "does not import"
    try:
        changed = put_in_place(mutant)
        fate = "killed"
        # What names none of the rules is about all of them: settings, waivers.
        theirs = [item for item in session.items if any(rule in item.name for rule in changed)]
        everyones = [item for item in session.items if not any(rule.id in item.name for rule in RULES)]
        if passes(session, theirs) and passes(session, everyones):
            fate = "survived"
    finally:
        os._exit(_FATES.index(fate))


def put_in_place(mutant: Mutant) -> set[str]:
    """Run the mutated module, and those that import from it, in place; returns the ids of their rules."""
    before = sys.modules[mutant.name]
    theirs = {id(value) for value in vars(before).values() if getattr(value, "__module__", "") == mutant.name}
    users = [
        module
        for module in SUBJECTS
        if module is not before and any(id(value) in theirs for value in vars(module).values())
    ]
    texts = [
        (before, mutant.text()),
        *((user, Path(str(user.__file__)).read_text("utf-8")) for user in users),
    ]
    known = {rule.id: rule for rule in RULES}
    changed = set()
    for module, text in texts:
        with warnings.catch_warnings(action="ignore"):
            exec(compile(text, str(module.__file__), "exec"), vars(module))
        for rule in getattr(module, "RULES", ()):
            changed.add(rule.id)
            for field in dataclasses.fields(
                rule
            ):  # tests and the registry hold on to the rule that they know
                object.__setattr__(known[rule.id], field.name, getattr(rule, field.name))
    settings._model.cache_clear()
    return changed


def passes(session: pytest.Session, items: Sequence[pytest.Item]) -> bool:
    """Whether all of the tests pass; the first that fails ends it."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants that import")
    parser.add_argument("--modules", nargs="*", default=[], help="of policies/rules; default all")
    args = parser.parse_args()
    files = [
        file for file in sorted(RULE_FILES.glob("*.py")) if not args.modules or file.stem in args.modules
    ]
    everything = [mutant for file in files for mutant in mutants(file) if file.stem != "__init__"]
    random.Random(args.seed).shuffle(everything)
    print(f"{len(everything)} mutants of {len(files)} modules; seed {args.seed}", flush=True)
    started, trial = time.perf_counter(), Trial(everything, args.sample)
    tests = [str(ROOT / "tests" / "policies" / name) for name in TESTS]
    with contextlib.redirect_stdout(io.StringIO()):  # a line for each failure of each mutant
        pytest.main([*_PLAIN, *tests], plugins=[trial])
    killed, survived, broken = (trial.fates[fate] for fate in _FATES)
    print(
        f"{killed} of {killed + survived} killed: {killed / (killed + survived):.1%}"
        f" ({broken} more did not import); {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
