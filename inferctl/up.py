"""`up`: bring an environment to what its files say."""

import importlib.util
import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from environments.schema import Environment
from inferctl import servers
from inferctl.deliveries import Deliveries, Report, require_delivered, shown_by
from inferctl.errors import CommandFailed, Refused
from inferctl.outcome import Outcome
from inferctl.session import Session, environment, open_session
from inferctl.workspace import ROOT, Workspace
from local_aws.plugins import planned_only
from local_aws.tables import TABLES
from serving import package
from serving.delivery import LambdaTarget
from serving.manifest import FILE_NAME as MANIFEST
from serving.publication import publish
from toolchain.progress import Progress, Step

SAMPLE = "digits"
"""The model that `up` asks for a first prediction; `serving/recipes` holds what this checkout can build."""


def up(name: str, console: Console) -> None:
    """Provision an environment, deliver its sample models where it is `local`, and ask for a prediction.

    Raises:
        CommandFailed: a setting is wrong, a policy refuses, or a resource fails; the next `up` goes on
            from there.
    """
    env = environment(name)
    workspace = Workspace.here()
    workspace.pulumi()
    with Progress() as progress:
        with progress.step("packages") as step:
            step.result = build_packages(env, workspace)
        if not env.embedded_aws:
            session = open_session(env, "aws", workspace)
        else:
            with progress.step("aws") as step:
                emulator = workspace.emulator()
                endpoints = emulator.start()
                step.result = f"embedded AWS at {endpoints.ministack}"
            session = open_session(env, "local", workspace, endpoints)
            if lost := emulator.lost_state() or _newly_held(workspace):
                with progress.step("refresh") as step:
                    require(session.engine.refresh(step))
                    emulator.state_recovered()
                    step.result = f"{lost}; read back what is there"
            _note_held(workspace)
        _provision(session, progress)
        if env.embedded_aws:
            with progress.step("models") as step:
                step.result, begun = _deliver_samples(session, shown_by(step))
            emulator.checkpoint()
            with progress.step("servers") as step:
                started = servers.start(session, told(step))
                step.result = ", ".join(started.lines()) or "no model is on EKS or SageMaker"
            if begun:
                with progress.step("rollouts") as step:
                    step.result = _follow(session, begun, shown_by(step))
            with progress.step("predict") as step:
                request, answer = _first_prediction(session)
                step.result = f"{answer['outputs'][0]['name']} = {answer['outputs'][0]['data']}"
    if env.embedded_aws:
        _report(console, session, request, answer)
    else:
        console.print(f"{name} is up at {session.engine.outputs()['url']}", highlight=False)


def told(step: Step) -> Callable[[str], None]:
    """Takes a line of what a step waits for."""

    def tell(line: str) -> None:
        step.detail = line

    return tell


def _newly_held(workspace: Workspace) -> str | None:
    """Whether this checkout's plug-in holds types that were planned only when the state was written."""
    path = workspace.local / "aws/held.json"
    if not path.exists() or set(json.loads(path.read_text(encoding="utf-8"))) == TABLES.keys():
        return None
    return "the embedded AWS holds other types than before"


def _note_held(workspace: Workspace) -> None:
    (workspace.local / "aws/held.json").write_text(json.dumps(sorted(TABLES)), encoding="utf-8")


def build_packages(env: Environment, workspace: Workspace) -> str:
    """Build the function packages that the environment deploys, where they changed; says what they are.

    Raises:
        CommandFailed: dependencies could not be installed, or a package is too large.
    """
    target = env.functions.package
    try:
        built = package.build(workspace.packages / target, target)
    except (ValueError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
        raise CommandFailed(
            f"the function packages could not be built: {said or error}",
            "see that the package registry is reachable",
        ) from None
    return ", ".join(f"{item.path.stem} {item.unzipped / 2**20:.1f} MiB" for item in built) + f" for {target}"


def _provision(session: Session, progress: Progress) -> None:
    """Preview with all policies, then change what has to change."""
    with progress.step("preview") as step:
        planned = session.engine.preview(step)
        require(planned)
        step.result = planned.summary()
    if not planned.changed:
        return
    with progress.step("update") as step:
        outcome = session.engine.up(step)
        require(outcome)
        step.result = outcome.summary()


def require(outcome: Outcome) -> None:
    if outcome.violations:
        raise Refused(
            "the policies refuse this change:\n\n" + "\n\n".join(dict.fromkeys(outcome.violations)),
            "correct what they name, or record a waiver in policies/waivers.yaml",
        )
    if outcome.errors:
        raise CommandFailed(
            "\n".join(dict.fromkeys(outcome.errors)),
            "correct it and run the command again: it goes on from here",
        )


def _deliver_samples(session: Session, report: Report) -> tuple[str, dict[str, str]]:
    """Build, publish and deliver the models of the catalogue that this checkout can make.

    A model that was delivered before stays at the version that is live; where a deployment has changed its
    function, that version is delivered again. Models on EKS wait for their servers: the second value has the
    deliveries that begin, by model.
    """
    client = session.client()
    deliveries = Deliveries(client)
    said, begun = [], {}
    for model, entry in session.env.models.items():
        recipe = f"serving.recipes.{entry.recipe or model.replace('-', '_')}"
        if importlib.util.find_spec(recipe) is None:
            said.append(f"{model} waits for its first publication")
            continue
        folder = session.workspace.local / "models" / model / entry.version
        if not (folder / MANIFEST).exists():
            report(f"training {model}")
            # Imported here: scikit-learn takes seconds, and only the first `up` needs it.
            built = importlib.import_module(recipe).build(folder, entry.version)
            if built.name != model:  # a stand-in
                (folder / MANIFEST).write_bytes(replace(built, name=model).encode())
        live = deliveries.live(model)
        if entry.backend != "lambda":
            if entry.backend == "eks" and live is None:
                _, begun[model] = deliveries.publish(folder, "first version")
            else:
                publish(client.aws("s3"), client.outputs["models_bucket"], folder)
            said.append(f"{model} {entry.version} published")
            continue
        target = LambdaTarget(client.aws("lambda"), **deliveries.target(model))
        if live is not None and target.serves() == live and target.current():
            said.append(f"{model} {live} serves")
            continue
        if live is None:
            _, delivery = deliveries.publish(folder, "first version")
        else:
            delivery = deliveries.start(model, live, "deliver", "the function has changed")
        record = deliveries.follow(model, delivery, report)
        require_delivered(record)
        said.append(f"{model} {record['version']} delivered")
    return ", ".join(said), begun


def _follow(session: Session, begun: Mapping[str, str], report: Report) -> str:
    """Wait until deliveries, model -> id, have ended well."""
    deliveries = Deliveries(session.client())
    records = [deliveries.follow(model, delivery, report) for model, delivery in begun.items()]
    for record in records:
        require_delivered(record)
    return ", ".join(f"{record['model']} {record['version']} delivered" for record in records)


def _first_prediction(session: Session) -> tuple[Path, dict[str, Any]]:
    """Ask the sample model its first golden request; the request stays in a file for curl."""
    entry = session.env.models[SAMPLE]
    manifest = session.workspace.local / "models" / SAMPLE / entry.version / MANIFEST
    golden = json.loads(manifest.read_text(encoding="utf-8"))["golden"][0]["request"]
    request = session.workspace.local / "models" / f"{SAMPLE}-request.json"
    request.write_text(json.dumps(golden), encoding="utf-8")
    answer = session.client().infer(_tenant(session.env), SAMPLE, request.read_bytes())
    if answer.status_code != 200:
        raise CommandFailed(
            f"the platform is up, but {SAMPLE} answered {answer.status_code}: {answer.text}",
            f"read its log: `bin/inferctl logs {SAMPLE}`",
        )
    return request, answer.json()


def _tenant(env: Environment) -> str:
    return next(tenant.name for tenant in env.tenants if "infer" in tenant.scopes)


def _report(console: Console, session: Session, request: Path, answer: Mapping[str, Any]) -> None:
    """What a new user wants to know now."""
    client, tenant = session.client(), _tenant(session.env)
    inferctl = _shown(ROOT / "bin/inferctl")
    body = _shown(request)
    planned = planned_only(session.engine.export())
    lines = [
        "",
        f"The answer of {SAMPLE}: " + json.dumps({o["name"]: o["data"] for o in answer["outputs"]}),
        f"The API:  {client.url}",
        "",
        "Ask again:",
        f"  curl -s {client.url}/v2/models/{SAMPLE}/infer -H 'Content-Type: application/json' \\",
        f'    -H "Authorization: Bearer $({inferctl} token {tenant})" \\',
        f'    -H "x-api-key: $({inferctl} api-key {tenant})" -d @{body}',
        "",
        "Look:      make status        what is there        make export   the whole deployment as JSON",
        "Take down: make down",
    ]
    if planned:
        counted = Counter((kind.split(":")[-1], reason) for kind, _, reason in planned)
        held = [f"  {count} {kind}: {reason}" for (kind, reason), count in sorted(counted.items())]
        lines += ["", "Planned only, not in the embedded AWS:", *held]
    # Plain print: a terminal must not wrap a line that people copy.
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _shown(path: Path) -> str:
    """A path as short as it works from where the user is, quoted for the shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
