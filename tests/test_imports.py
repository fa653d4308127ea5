"""The order of knowledge: which package may import which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "serving": {"serving"},
    "cost": {"cost"},
    "naming": {"naming"},
    "environments": {"environments"},
    "components": {"components", "cost", "naming"},
    "composition": {"composition", "components", "environments"},
    "policies": {"policies", "cost"},
    "local_aws": {"local_aws", "toolchain"},
    "toolchain": {"toolchain"},
}
PACKAGES = (*MAY_IMPORT, "inferctl")
MAY_IMPORT["inferctl"] = set(PACKAGES)
NO_PULUMI = ("serving", "cost", "naming")


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", [name for name in MAY_IMPORT if (ROOT / name).exists()])
def test_a_package_imports_only_what_it_may_know(package: str) -> None:
    found = modules(package)
    assert found
    for module in found:
        ours = imported(module) & set(PACKAGES)
        assert ours <= MAY_IMPORT[package], f"{module.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("package", [name for name in NO_PULUMI if (ROOT / name).exists()])
def test_what_runs_on_the_platform_imports_no_pulumi(package: str) -> None:
    for module in modules(package):
        assert not any(name.startswith("pulumi") for name in imported(module)), module


def test_the_program_imports_compositions_and_environments_only() -> None:
    assert imported(ROOT / "__main__.py") & set(PACKAGES) == {"composition", "environments"}
