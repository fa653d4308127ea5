"""The real binary, piped and in a terminal, where nothing is deployed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest
import typer.main
from botocore.exceptions import ClientError

from inferctl.app import app
from inferctl.errors import CommandFailed, Exit, Refused
from inferctl.failures import explain

ROOT = Path(__file__).resolve().parents[2]
BINARY = str(ROOT / "bin/inferctl")
Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("nothing-here")
    return {**os.environ, "INFERENCE_LOCAL_DIR": str(folder), "ENV": "", "COLUMNS": "100"}


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    def call(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARY, *args], capture_output=True, text=True, check=False, env={**environ, **more}
        )

    return call


def test_commands_start_without_the_components_and_their_sdks() -> None:
    # Loading them takes seconds, and only the engine's program needs them.
    heavy = "{'components', 'pulumi_aws', 'pulumi_kubernetes', 'pulumi_eks', 'sklearn'}"
    code = f"import sys, inferctl.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def leaves(command: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every command with its full name, those of groups too."""
    if commands := getattr(command, "commands", None):
        return [leaf for key, inner in commands.items() for leaf in leaves(inner, f"{name} {key}".strip())]
    return [(name, command)]


@pytest.mark.parametrize(("name", "command"), leaves(typer.main.get_command(app)))
def test_the_help_of_every_command_has_an_example_of_it(name: str, command: Any) -> None:
    assert f"Example: inferctl {name}" in (command.help or ""), f"inferctl {name} --help has no example"


def test_the_overview_lists_every_command_and_the_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in COMMANDS)
    said = " ".join(done.stdout.split())
    for code in (Exit.REFUSED, Exit.SETTINGS, Exit.NOT_THERE, Exit.FOUND):
        assert f"{code.value} " in said
    assert "Exit codes: 0 done, 1 failed" in said


@pytest.mark.parametrize(
    ("args", "code", "what", "following"),
    [
        (("status", "--env", "nowhere"), Exit.SETTINGS, "there is no environments/Pulumi.nowhere", "correct"),
        (("status",), Exit.NOT_THERE, "the embedded AWS of local is not running", "make up ENV=local"),
        (("destroy", "--confirm", "local"), Exit.NOT_THERE, "local is not up", "make up"),
        (("destroy", "--env", "prod"), Exit.USAGE, "only when its name is confirmed", "--confirm prod"),
        (("destroy", "--env", "prod", "--confirm", "dev"), Exit.USAGE, "you gave 'dev'", "--confirm prod"),
        (("down", "--env", "prod"), Exit.USAGE, "prod is in an AWS account", "inferctl destroy --env prod"),
        (("invoke", "digits", "acme", "none.json"), Exit.FAILED, "no request file none.json", "request"),
    ],
)
def test_an_error_says_what_happened_and_what_to_run_next(
    run: Run, args: tuple[str, ...], code: Exit, what: str, following: str
) -> None:
    done = run(*args)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    failed, after = (line for line in done.stderr.splitlines() if line.startswith(("failed:", "next:")))
    assert what in failed
    assert following in after
    assert done.stdout == ""  # what a script reads is never mixed with an error


def test_a_wrong_command_line_is_an_error_of_its_own(run: Run) -> None:
    assert run("plan", "--nonsense").returncode == Exit.USAGE
    assert run("nonsense").returncode == Exit.USAGE


def test_piped_output_is_one_json_document_and_progress_stays_apart(run: Run) -> None:
    done = run("doctor", "--json")
    results = json.loads(done.stdout)["results"]
    assert {result["check"] for result in results} >= {"tools", "embedded AWS"}
    assert {result["verdict"] for result in results} <= {"ok", "fault", "unknown"}
    assert "doctor" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_gets_one_live_line_and_a_question_before_destruction(environ: dict[str, str]) -> None:
    child = pexpect.spawn(BINARY, ["doctor"], env=environ, encoding="utf-8", timeout=120)
    child.expect_exact("\r\x1b[K")
    child.expect("not known")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == Exit.DONE
    asked = pexpect.spawn(BINARY, ["destroy", "--env", "prod"], env=environ, encoding="utf-8", timeout=60)
    asked.expect("Type its name to go on")
    asked.sendline("dev")
    asked.expect("you gave 'dev'")
    asked.expect(pexpect.EOF)
    asked.close()
    assert asked.exitstatus == Exit.USAGE


def test_an_interrupt_ends_a_command_with_130(environ: dict[str, str]) -> None:
    child = pexpect.spawn(
        BINARY,
        ["plan", "--env", "dev"],
        env=environ,
        encoding="utf-8",
        timeout=60,
        # Shells have their background jobs ignore interrupts, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    child.expect_exact("\r\x1b[K")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_the_shell_completes_commands_and_environments(run: Run) -> None:
    def completed(line: str) -> set[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - (not line.endswith(" ")))}
        done = run(_INFERCTL_COMPLETE="complete_bash", **words)
        return set(done.stdout.split())

    assert {"destroy", "diagram", "doctor", "down"} <= completed("inferctl d")
    assert completed("inferctl plan --env s") == {"stage"}


def test_refusals_of_aws_name_the_operation_and_the_next_command() -> None:
    error = ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "ListQueues")
    failure = explain(error, "prod")
    assert failure.what == "AWS refused ListQueues: Throttling: slow down"
    assert "inferctl doctor --env prod" in failure.next_step
    assert explain(Refused("no", "mend it")).code == Exit.REFUSED
    assert explain(CommandFailed("no", "mend it")).code == Exit.FAILED
