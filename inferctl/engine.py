"""Runs the Pulumi engine for one stack, shows what it does, and says what came of it."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inferctl.errors import CommandFailed
from inferctl.findings import PolicyFinding
from inferctl.outcome import Outcome, changes, is_drift
from inferctl.parked import is_parked, scheduled
from inferctl.workspace import PROJECT, ROOT, Mode, Workspace
from toolchain.progress import Step


class Engine:
    """The engine over one stack of this project."""

    def __init__(
        self,
        workspace: Workspace,
        env: str,
        mode: Mode,
        environ: Mapping[str, str],
        pulumi: Path,
        profile: str,
    ) -> None:
        self._workspace, self._env, self._mode = workspace, env, mode
        self._environ, self._pulumi, self._profile = environ, pulumi, profile

    def ensure_stack(self) -> None:
        """Create the stack in a backend on this machine; in an account, the user selects it."""
        if self._mode == "aws":
            self.command("stack", "select", self._env)
            return
        self._workspace.write_config(self._env, self._mode)
        project = self._workspace.project(self._env, self._mode)
        if self._mode == "local":
            _restore_torn_state(self._workspace.backend(self._env, self._mode))
        stacks = json.loads(self.command("-C", str(project), "stack", "ls", "--json"))
        if not any(stack["name"] == self._env for stack in stacks):
            self.command("-C", str(project), "stack", "init", self._env)
        if self._mode == "local":
            self._end_abandoned_update(project)

    def _end_abandoned_update(self, project: Path) -> None:
        """A killed update leaves its lock behind; the emulator's lock already keeps two drivers apart."""
        locks = self._workspace.backend(self._env, self._mode) / ".pulumi/locks"
        if any(locks.rglob("*.json")):
            self.command("-C", str(project), "cancel", "--yes", "--stack", self._env)

    def preview(self, step: Step) -> Outcome:
        return self._operation(step, "preview", "--diff")

    def up(self, step: Step) -> Outcome:
        environ = dict(self._environ)
        if self._mode == "plan" or (self._mode == "local" and not self._resources()):
            # A checkpoint for each resource takes most of the time, and here a lost one orphans nothing: a
            # plan makes nothing, and the local plug-ins adopt what a killed first `up` made (its journal).
            environ["PULUMI_SKIP_CHECKPOINTS"] = "true"
        return self._operation(step, "up", "--yes", "--skip-preview", environ=environ)

    def refresh(self, step: Step) -> Outcome:
        return self._operation(
            step, "refresh", "--yes", "--skip-preview", "--clear-pending-creates", policies=False
        )

    def drift(self, step: Step) -> Outcome:
        """What a refresh would change in the state: what was changed beside the engine.

        What the program leaves to others (`ignore_changes`) is not: deliveries decide which version is live.
        Nor is what its schedules have parked, which is told by itself.
        """
        known = self._resources()
        return self._operation(step, "refresh", "--preview-only", policies=False, known=known)

    def destroy(self, step: Step) -> Outcome:
        return self._operation(step, "destroy", "--yes", "--skip-preview", policies=False)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; secrets stay masked."""
        outputs: dict[str, Any] = json.loads(self.command("stack", "output", "--json", "--stack", self._env))
        return outputs

    def export(self) -> dict[str, Any]:
        """The stack's deployment, as `pulumi stack export` gives it."""
        exported: dict[str, Any] = json.loads(self.command("stack", "export", "--stack", self._env))
        return exported

    def _resources(self) -> Sequence[Mapping[str, Any]]:
        resources: Sequence[Mapping[str, Any]] = self.export()["deployment"].get("resources", ())
        return resources

    def command(self, *args: str) -> str:
        """Standard output of one `pulumi` command.

        Raises:
            CommandFailed: it exited with an error; the message is Pulumi's own.
        """
        done = subprocess.run(
            [self._pulumi, "--non-interactive", *args],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandFailed(
                f"pulumi {' '.join(args)}: {(done.stderr or done.stdout).strip()}",
                "correct what it names and run the command again",
            )
        return done.stdout

    def _operation(
        self,
        step: Step,
        operation: str,
        *flags: str,
        policies: bool = True,
        environ: Mapping[str, str] | None = None,
        known: Sequence[Mapping[str, Any]] = (),
    ) -> Outcome:
        """One operation, with live progress; its events say what came of it.

        `known`: the state's resources, where those that were changed beside the engine matter.
        """
        command = [
            str(self._pulumi),
            operation,
            "--non-interactive",
            "--stack",
            self._env,
            "--color",
            "never",
            *flags,
        ]
        if self._mode != "aws":
            command += ["--config-file", str(self._workspace.config_file(self._env, self._mode))]
        if policies:
            config = ROOT / f"policies/config/{self._profile}.json"
            command += ["--policy-pack", str(ROOT / "policies"), "--policy-pack-config", str(config)]
        logs = self._workspace.local / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        events = logs / f"{self._env}-{operation}.events"
        events.write_text("")
        with (logs / f"{self._env}-{operation}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*command, "--event-log", str(events)],
                cwd=ROOT,
                env=environ or self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                outcome = self._follow(step, process, events, known)
            except KeyboardInterrupt:
                # The engine got the signal too and is finishing what it began; its state must be saved.
                process.wait()
                raise
        outcome.seconds = time.monotonic() - started
        if process.returncode and not (outcome.errors or outcome.violations):
            outcome.errors.append(_tail(Path(log.name)))
        return outcome

    def _follow(
        self,
        step: Step,
        process: subprocess.Popen[bytes],
        events: Path,
        known: Sequence[Mapping[str, Any]],
    ) -> Outcome:
        outcome = Outcome()
        others = {resource["urn"]: resource.get("ignoreChanges", ()) for resource in known}
        schedules = scheduled(known)
        steps: list[Mapping[str, Any]] = []
        parked: list[Mapping[str, Any]] = []
        refreshed: set[str] = set()
        done = 0
        for event in _events(events, process):
            if outputs := event.get("resOutputsEvent") or event.get("resOpFailedEvent"):
                done += 1
                found = outputs["metadata"]
                # Only now it is known what a refresh found.
                if found["urn"] in refreshed and is_drift(found, others.get(found["urn"], ())):
                    asleep = is_parked(found, schedules.get(found["urn"]))
                    (parked if asleep else steps).append(found)
            elif start := event.get("resourcePreEvent"):
                metadata = start["metadata"]
                step.detail = f"{done} resources, {_short(metadata['urn'])}"
                steps.append(metadata)
                if state := metadata["new"]:
                    outcome.planned[state["urn"]] = state
                if metadata["op"] == "refresh":
                    refreshed.add(metadata["urn"])
            elif diagnostic := event.get("diagnosticEvent"):
                if diagnostic["severity"] == "error":
                    outcome.errors.append(_diagnostic(diagnostic))
            elif policy := event.get("policyEvent"):
                level = policy["enforcementLevel"]
                outcome.findings.append(PolicyFinding.of(policy))
                target = outcome.violations if level == "mandatory" else outcome.advisories
                target.append(
                    f"{policy['policyName']} ({level}) {_short(policy.get('resourceUrn', ''))}\n"
                    f"{policy['message'].strip()}"
                )
            elif summary := event.get("summaryEvent"):
                outcome.changes = summary.get("resourceChanges") or {}
        outcome.steps, outcome.parked = changes(steps), changes(parked)
        return outcome


def _restore_torn_state(backend: Path) -> None:
    """Put the engine's own backup in the place of a state file that a kill left half-written.

    The backup is one step older: what that step made is found by the plug-in's journal of creations.
    """
    for path in [*(backend / ".pulumi").rglob("*.json"), *(backend / ".pulumi").rglob("*.attrs")]:
        if _is_whole(path):
            continue
        backup = path.with_name(f"{path.name}.bak")
        if path.suffix == ".json" and backup.exists() and _is_whole(backup):
            shutil.copy(backup, path)
        else:
            path.unlink()  # attributes do not matter, and without a backup there was no state yet


def _is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _events(path: Path, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Events as the engine writes them, until it has ended and all are read."""
    with path.open(encoding="utf-8") as file:
        partial = ""
        while True:
            ended = process.poll() is not None
            while line := file.readline():
                partial += line
                if partial.endswith("\n"):
                    yield json.loads(partial)
                    partial = ""
            if ended:
                return
            time.sleep(0.05)


def _short(urn: str) -> str:
    """`Type name` of a URN, for people."""
    parts = urn.split("::")
    return f"{parts[2].rsplit('$', 1)[-1].rsplit(':', 1)[-1]} {parts[3]}" if len(parts) == 4 else urn


def _diagnostic(diagnostic: Mapping[str, Any]) -> str:
    where = _short(diagnostic.get("urn", ""))
    message = diagnostic["message"].strip()
    return f"{where}: {message}" if where and not where.startswith(f"Stack {PROJECT}") else message


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
