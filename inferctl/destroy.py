"""`destroy` and `down`: take an environment away, and prove that nothing of it is left."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from inferctl import karpenter_nodes, registry, servers
from inferctl.errors import CommandFailed, Exit, Refused
from inferctl.leftovers import Scope, find
from inferctl.session import Session, environment, open_session
from inferctl.up import require, told
from inferctl.workspace import PROJECT, Workspace
from toolchain.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was looked for after the destruction, and what was found."""

    env: str
    destroyed: str
    looked_at: tuple[str, ...]
    leftovers: tuple[str, ...]
    unknown: tuple[str, ...]
    """Services that could not be asked, with the reason."""
    waiting: tuple[str, ...]
    """What AWS itself deletes later, such as keys in their waiting period."""

    def record(self) -> dict[str, Any]:
        return {
            "env": self.env,
            "destroyed": self.destroyed,
            "looked_at": list(self.looked_at),
            "leftovers": list(self.leftovers),
            "unknown": list(self.unknown),
            "waiting": list(self.waiting),
        }

    def lines(self) -> Iterator[str]:
        yield f"{self.env}: {self.destroyed}"
        yield f"looked by tags and in {', '.join(self.looked_at)}"
        for title, found in (("LEFT", self.leftovers), ("waits", self.waiting), ("not known", self.unknown)):
            yield from (f"  {title}: {item}" for item in found)
        if self.leftovers:
            yield "next: delete what is left, then run the command again to prove it"
        elif self.unknown:
            yield "nothing is left of what could be asked"
        else:
            yield "nothing is left"


def destroy(name: str, confirmed: str) -> Proof:
    """Destroy an environment: nodes that the cluster started first, then the stack, then look for leftovers.

    Raises:
        CommandFailed: it was not confirmed, holds protected resources, or the engine failed.
    """
    env, workspace = environment(name), Workspace.here()
    if confirmed != name and not (env.embedded_aws and not confirmed):
        raise CommandFailed(
            f"{name} is destroyed only when its name is confirmed"
            + (f"; you gave {confirmed!r}" if confirmed else ""),
            f"run `inferctl destroy --env {name} --confirm {name}`",
            Exit.USAGE,
        )
    with Progress() as progress:
        if env.embedded_aws:
            _require_state(workspace, name)
            session = open_session(env, "local", workspace, workspace.emulator().start())
        else:
            session = open_session(env, "aws", workspace)
        said = _remove(session, progress)
        with progress.step("proof") as step:
            found = find(Scope(env=name), session.aws, step)
            step.result = f"{len(found.leftovers)} left"
        if env.embedded_aws and not found.leftovers:
            _stop(workspace, name, progress)
    return Proof(
        env=name,
        destroyed=said,
        looked_at=tuple(found.looked_at),
        leftovers=tuple(found.leftovers),
        unknown=tuple(found.unknown),
        waiting=tuple(found.waiting),
    )


def down(name: str, console: Console) -> None:
    """Remove all that `up` made on this machine: resources, processes, state."""
    env = environment(name)
    workspace = Workspace.here()
    if not env.embedded_aws:
        raise CommandFailed(
            f"{name} is in an AWS account; `down` is for this machine",
            f"run `inferctl destroy --env {name} --confirm {name}`",
            Exit.USAGE,
        )
    emulator = workspace.emulator()
    if not workspace.backend(name, "local").exists():
        servers.processes(workspace.local).stop(console.print)
        emulator.stop()
        console.print(f"{name} is not up; nothing to remove")
        return
    with Progress() as progress:
        _remove(open_session(env, "local", workspace, emulator.start()), progress)
        _stop(workspace, name, progress)


def _require_state(workspace: Workspace, name: str) -> None:
    if not workspace.backend(name, "local").exists():
        raise CommandFailed(f"{name} is not up; nothing to remove", "run `make up`", Exit.NOT_THERE)


def _remove(session: Session, progress: Progress) -> str:
    """Destroy the stack; says what was done."""
    resources = session.engine.export()["deployment"].get("resources") or []
    refuse_protected(session.env.name, resources)
    cluster = next((r for r in resources if r["type"] in karpenter_nodes.CLUSTERS), None)
    if cluster and session.mode == "aws":  # nothing starts nodes on this machine
        with progress.step("drain") as step:
            step.result = karpenter_nodes.drain(_cluster_name(session), session.aws, step)
    if session.mode == "aws":  # the embedded registry holds no groups
        with progress.step("registry") as step:
            step.result = registry.empty(resources, session.aws("sagemaker"), step)
    with progress.step("destroy") as step:
        if session.mode == "local" and session.workspace.emulator().lost_state():
            require(session.engine.refresh(step))
        outcome = session.engine.destroy(step)
        require(outcome)
        step.result = outcome.summary()
    return outcome.summary()


def _cluster_name(session: Session) -> str:
    return f"{PROJECT}-{session.env.name}"


def refuse_protected(name: str, resources: Sequence[Mapping[str, Any]]) -> None:
    """Stop before anything is deleted when something refuses deletion.

    Raises:
        Refused: names each, and the setting that frees it.
    """
    refusing: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "protect: true": lambda r: bool(r.get("protect")),
        "deletion_protection": lambda r: (
            (r.get("outputs") or {}).get("deletionProtection") in ("ACTIVE", True)
        ),
    }
    held = [
        f"{resource['urn'].split('::')[3]} ({setting})"
        for resource in resources
        for setting, refuses in refusing.items()
        if refuses(resource)
    ]
    if held:
        raise Refused(
            f"{name} holds what is protected, and nothing was deleted: {', '.join(held)}",
            f"in environments/Pulumi.{name}.yaml set protect: false, and deletion_protection: false under "
            "identity and cluster, "
            f"run `inferctl up --env {name}`, then destroy again",
        )


def _stop(workspace: Workspace, name: str, progress: Progress) -> None:
    with progress.step("stop") as step:
        servers.processes(workspace.local).stop(told(step))
        workspace.emulator().stop()
        workspace.forget(name, "local")
        for folder in ("aws", "manifests", "models", "servers", "logs"):
            shutil.rmtree(workspace.local / folder, ignore_errors=True)
        step.result = "nothing runs, no port is held"
