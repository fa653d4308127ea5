"""How many mutants of the policy rules the unit tests kill: a seeded sample, judged in this process.

    .venv/bin/uv run --no-sync --with cosmic-ray==8.7.0 python -m benchmarks.mutation

cosmic-ray, which the project does not otherwise need, makes the mutants; each is tried in a fork of one
process that has everything but the rules and their tests imported, so that 600 take minutes. Left out are
mutants of a rule's documented examples (they are data, pinned by `docs/RULES.md`), of annotations, and those
that do not even import, which any test would kill. Survivors are listed, to be answered by a test or by a
simpler rule.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from types import CodeType
from typing import Any, Literal

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "policies" / "rules"
TESTS = (
    "test_rule_cases.py",
    "test_rules.py",
    "test_rule_remedies.py",
    "test_waivers.py",
    "test_settings.py",
)
SEED, SAMPLE = 7, 600
LIMIT_S = 120
"""Seconds after which a mutant that hangs counts as killed."""

# The first two make modules that do not import, or no change; `is` for `==` is the same for interned text.
_POINTLESS = ("RemoveDecorator", "NoOp", "_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")

Fate = Literal["killed", "survived", "does not import"]
_FATES: Sequence[Fate] = ("killed", "survived", "does not import")


@dataclass(frozen=True)
class Mutant:
    """One change of one module; `text` is the whole module with it."""

    module: str
    operator: str
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"policies.rules.{self.module}"

    def change(self) -> str:
        before = (RULES / f"{self.module}.py").read_text(encoding="utf-8").splitlines()
        changed = unified_diff(before, self.text.splitlines(), lineterm="", n=0)
        return "\n".join(f"    {line}" for line in changed if line[:2] not in ("--", "++", "@@"))


def mutants(module: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in an order of its own."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    source = module.read_text(encoding="utf-8")
    nodes, left_out = list(ast_nodes(get_ast(source))), _left_out(source)
    for name in sorted(plugins.operator_names()):
        kind = plugins.get_operator(name)
        if kind.arguments() or name.endswith(_POINTLESS):
            continue
        positions = [place for node in nodes for place in kind().mutation_positions(node)]
        for occurrence, (start, _) in enumerate(positions):
            if any(first <= start < last for first, last in left_out):
                continue
            with contextlib.suppress(
                AttributeError
            ):  # an exception of another module, which cosmic-ray cannot
                text = mutate_code(source, kind(), occurrence)
                if text is not None and text != source:
                    yield Mutant(module.stem, name.partition("/")[2], start[0], text)


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


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the mutated text in the place of one module's own."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.name:
            return None
        file = str(RULES / f"{self._mutant.module}.py")
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(fullname, file, self._mutant.text)
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        with warnings.catch_warnings(action="ignore"):
            return compile(self._text, self.path, "exec")


def tried(mutant: Mutant) -> Fate:
    """What becomes of a mutant, in a child process."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return "killed" if status < 0 else _FATES[status]  # below zero: it hung, and the alarm ended it
    signal.alarm(LIMIT_S)
    fate: Fate = "killed"
    try:
        forget()
        sys.meta_path.insert(0, _Finder(mutant))
        with contextlib.suppress(Exception):
            fate = "does not import"
            module = importlib.import_module(mutant.name)
            rules = importlib.import_module("policies.rules")
            own = " or ".join(rule.id for rule in getattr(module, "RULES", rules.RULES))
            # The cases of the module's own rules see most of it; the others are for what is left.
            passed = run_tests("-k", own) and run_tests()
            fate = "survived" if passed else "killed"
    finally:
        os._exit(_FATES.index(fate))


def run_tests(*selected: str) -> bool:
    """Whether the unit tests of the rules pass."""
    files = [str(ROOT / "tests" / "policies" / name) for name in TESTS]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = pytest.main(
            ["-qx", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *selected, *files]
        )
    forget_tests()
    return status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def forget_tests() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "conftest")]:
        del sys.modules[name]


def forget() -> None:
    """Have the rules imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "policies"]:
        del sys.modules[name]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants that import")
    parser.add_argument("--modules", nargs="*", default=[], help="of policies/rules; default all")
    args = parser.parse_args()
    if not run_tests():
        sys.exit("the tests fail without any mutant")
    files = [file for file in sorted(RULES.glob("*.py")) if not args.modules or file.stem in args.modules]
    everything = [mutant for file in files for mutant in mutants(file)]
    random.Random(args.seed).shuffle(everything)
    print(f"{len(everything)} mutants of {len(files)} modules; seed {args.seed}", flush=True)
    started, fates = time.perf_counter(), Counter[Fate]()
    for mutant in everything:
        if fates["killed"] + fates["survived"] >= args.sample:
            break
        fate = tried(mutant)
        fates[fate] += 1
        if fate == "survived":
            print(
                f"survived: {mutant.module}.py:{mutant.line} {mutant.operator}\n{mutant.change()}", flush=True
            )
    judged = fates["killed"] + fates["survived"]
    print(
        f"{fates['killed']} of {judged} killed: {fates['killed'] / judged:.1%}"
        f" ({fates['does not import']} more did not import); {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
