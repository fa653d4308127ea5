"""The real engine runs programs and policy packs through the language host."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from toolchain.cli import needs_language_host

pytestmark = pytest.mark.integration

RUNTIME = {"name": "python", "options": {"virtualenv": sys.prefix}}

PROGRAM = """
import pulumi

class Shelf(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("tiny:index:Shelf", name, {"boards": 3})
        self.register_outputs({})

Shelf("oak")
config = pulumi.Config()
pulumi.export("plain", config.require("plain"))
pulumi.export("key", config.require_secret("key"))
pulumi.export("organization", pulumi.get_organization())
pulumi.export("preview", pulumi.runtime.is_dry_run())
pulumi.export("secrets", {k: pulumi.runtime.is_config_secret(f"tiny:{k}") for k in ("plain", "key")})
"""

SLEEPER = """
import os, pathlib, pulumi, subprocess, time
pulumi.ComponentResource("tiny:index:Shelf", "oak")
subprocess.Popen(["sleep", "600"])
pathlib.Path("started").write_text(str(os.getpid()))
time.sleep(600)
"""

POLICY = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def wide(args, report):
    if args.resource_type == "tiny:index:Shelf":
        report("a shelf needs four boards: add one")

PolicyPack("shelves", enforcement_level=EnforcementLevel.{level}, policies=[
    ResourceValidationPolicy(name="wide-enough", description="Shelves are wide.", validate=wide)])
"""


@dataclass(frozen=True)
class Project:
    """A Pulumi project with a stack `dev`, all of its state in its own directories."""

    directory: Path
    pulumi: Path

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "PATH": f"{self.pulumi.parent}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(self.directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "of no value",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        return {**os.environ, **settings}

    def program(self, text: str) -> None:
        (self.directory / "__main__.py").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.pulumi, *arguments, "--non-interactive", "--color=never"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, fails: bool = False) -> str:
        """What the command says; `fails` tells whether it has to fail."""
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, said
        return said


@pytest.fixture
def project(tmp_path: Path, pulumi: Path) -> Project:
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "tiny", "runtime": RUNTIME}))
    made = Project(tmp_path, pulumi)
    made.run("stack", "init", "dev")
    return made


def policy_pack(directory: Path, level: str) -> str:
    directory.mkdir()
    (directory / "PulumiPolicy.yaml").write_text(yaml.safe_dump({"runtime": RUNTIME, "version": "1.0.0"}))
    (directory / "__main__.py").write_text(POLICY.format(level=level))
    return str(directory)


def descendants(pid: int) -> set[int]:
    listed = subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).split()
    children: dict[int, list[int]] = {}
    for child, parent in zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True):
        children.setdefault(parent, []).append(child)
    found, waiting = set(), [pid]
    while waiting:
        waiting += children.get(waiting.pop(), [])
        found.update(waiting)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; one that ended and waits for its parent to notice (state Z) does not."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, pids))], capture_output=True)
    rows = [row.split() for row in listed.stdout.decode().splitlines()]
    return {int(pid) for pid, state in rows if not state.startswith("Z")}


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it has not happened within a minute"
        time.sleep(0.1)


def test_a_program_is_previewed_deployed_and_destroyed(project: Project) -> None:
    project.program(PROGRAM)
    project.run("config", "set", "plain", "in the open")
    project.run("config", "set", "--secret", "key", "hush-hush")

    assert "preview     : true" in project.run("preview")
    said = project.run("up", "--yes", "--skip-preview")
    assert "warning" not in said and "hush-hush" not in said
    shown = json.loads(project.run("stack", "output", "--json"))
    assert shown == {
        "plain": "in the open",
        "key": "[secret]",
        "organization": "organization",
        "preview": False,
        "secrets": {"plain": False, "key": True},
    }
    assert "2 unchanged" in project.run("up", "--yes", "--skip-preview")
    assert "2 deleted" in project.run("destroy", "--yes", "--skip-preview")
    assert not json.loads(project.run("stack", "export"))["deployment"].get("resources")


def test_the_engine_finds_the_host_beside_the_cli_without_a_warning(project: Project) -> None:
    project.program("")
    assert not needs_language_host(project.pulumi)
    assert "pulumi-language-python" not in project.run("preview")


def test_a_mandatory_policy_pack_blocks_up(project: Project, tmp_path: Path) -> None:
    project.program('import pulumi\npulumi.ComponentResource("tiny:index:Shelf", "oak")')
    strict = policy_pack(tmp_path / "strict", "MANDATORY")
    said = project.run("up", "--yes", "--skip-preview", "--policy-pack", strict, fails=True)
    assert "[mandatory]  wide-enough" in said
    assert "a shelf needs four boards: add one" in said

    mild = policy_pack(tmp_path / "mild", "ADVISORY")
    assert "[advisory]  wide-enough" in project.run("up", "--yes", "--skip-preview", "--policy-pack", mild)


def test_a_policy_pack_that_does_not_start_says_why(project: Project, tmp_path: Path) -> None:
    project.program("")
    pack = policy_pack(tmp_path / "broken", "MANDATORY")
    Path(pack, "__main__.py").write_text("import no_such_module")
    assert "No module named 'no_such_module'" in project.run("preview", "--policy-pack", pack, fails=True)


def test_a_program_that_raises_fails_with_its_traceback_once(project: Project) -> None:
    project.program("def build():\n    raise ValueError('no boards')\n\nbuild()")
    said = project.run("up", "--yes", "--skip-preview", fails=True)
    diagnostics = said[said.index("Diagnostics:") :]
    assert diagnostics.count("ValueError: no boards") == 1
    assert "line 4, in <module>" in diagnostics
    assert diagnostics.count("error:") == 1  # nothing is added to what the program has shown


def test_a_program_that_exits_with_another_status_is_reported(project: Project) -> None:
    project.program("import sys\nprint('giving up', file=sys.stderr)\nsys.exit(3)")
    said = project.run("preview", fails=True)
    assert "giving up" in said
    assert "the program ended with exit status 3" in said


def test_a_virtual_environment_that_is_missing_is_named(project: Project) -> None:
    project.program("")
    text = yaml.safe_dump({"name": "tiny", "runtime": {"name": "python", "options": {"virtualenv": "gone"}}})
    (project.directory / "Pulumi.yaml").write_text(text)
    assert f"there is no {project.directory}/gone/bin/python" in project.run("preview", fails=True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_up_leaves_no_process(project: Project, tmp_path: Path, how: signal.Signals) -> None:
    project.program(SLEEPER)
    mild = policy_pack(tmp_path / "mild", "ADVISORY")
    with project.start("up", "--yes", "--skip-preview", "--policy-pack", mild) as engine:
        wait_until((project.directory / "started").exists)
        started = descendants(engine.pid)
        assert len(started) >= 4  # the host, the policy pack, the program and what it has started
        os.kill(engine.pid, how)
        assert engine.stdout is not None
        said = engine.stdout.read()
    assert "Traceback" not in said
    wait_until(lambda: not alive(started))
