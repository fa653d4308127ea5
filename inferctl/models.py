"""`inferctl models`: publish versions, see what is live and why, and move it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from inferctl.deliveries import Deliveries, answer_of, require_delivered, shown_by
from inferctl.errors import CommandFailed
from inferctl.session import by_names
from serving.delivery_ledger import now
from serving.errors import ServingError
from serving.manifest import Manifest, version_prefix
from serving.store import read_folder
from toolchain.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Publish model versions, see what is live and why, and move it.")
console = Console()

Env = Annotated[str, typer.Option("--env", "-e", envvar="ENV", help="Environment: a file in environments/.")]
Name = Annotated[str, typer.Argument(help="Name of a model.")]
Version = Annotated[str, typer.Argument(help="A published version of it.")]
Why = Annotated[str, typer.Option("--why", help="Reason, kept in the history.")]


@app.command()
def publish(
    name: Name,
    version: Annotated[str, typer.Argument(help="Version that the manifest states.")],
    path: Annotated[Path, typer.Argument(help="Folder with the model and its manifest.json.")],
    why: Why = "published",
    wait: Annotated[bool, typer.Option(help="Wait until it is live or refused.")] = True,
    env: Env = "local",
) -> None:
    """Put a version into the models bucket and deliver it.

    Example: inferctl models publish digits v2 build/digits-v2 --why "trained on March's data"
    """
    try:
        version_prefix(name, version)
        manifest, _, _ = read_folder(path)
    except ServingError as error:
        raise CommandFailed(str(error), "correct the name, the version or the folder") from None
    if (manifest.name, manifest.version) != (name, version):
        raise CommandFailed(
            f"the manifest in {path} is about {manifest.name} {manifest.version}, not {name} {version}",
            "give the folder of that version",
        )
    deliveries = _deliveries(env, name)
    published, delivery_id = deliveries.publish(path, why)
    if wait:
        _follow(deliveries, name, delivery_id)
    else:
        console.print(f"{published.name} {published.version} is published; its delivery is {delivery_id}")


@app.command("list")
def list_models(env: Env = "local") -> None:
    """Show each model's live version, since when, what it is pinned to, and how many deliveries are at work.

    Example: inferctl models list
    """
    settings, client = by_names(env)
    deliveries = Deliveries(client)
    table = Table("model", "backend", "live", "since", "pinned to", "at work")
    for name, entry in settings.models.items():
        live = deliveries.parameters.get(name, "live") or {}
        pin = deliveries.parameters.get(name, "pin")
        table.add_row(
            name,
            entry.backend,
            live.get("version", "none"),
            str(live.get("since", ""))[:19],
            f"{pin['version']} by {pin['who']}: {pin['why']}" if pin else "",
            str(deliveries.ledger.waiting(name)),
        )
    console.print(table)


@app.command()
def versions(name: Name, env: Env = "local") -> None:
    """List the published versions of a model; the live one is marked.

    Example: inferctl models versions digits
    """
    deliveries = _deliveries(env, name)
    live = deliveries.live(name)
    for version in deliveries.versions(name):
        console.print(f"{version}{' (live)' if version == live else ''}", highlight=False)


@app.command()
def history(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole records as JSON.")] = False,
    env: Env = "local",
) -> None:
    """Show every delivery of a model: what, when, who, why, and what became of it; the last one first.

    Example: inferctl models history digits
    """
    records = _deliveries(env, name).ledger.history(name)
    if as_json:
        typer.echo(json.dumps(records, indent=2, sort_keys=True))
        return
    table = Table("at", "version", "outcome", "by", "who", "why", "reason")
    for record in records:
        fields = ("version", "outcome", "origin", "who", "why", "reason")
        table.add_row(record["at"][:19], *(record.get(field, "") for field in fields))
    console.print(table)


@app.command()
def promote(name: Name, version: Version, why: Why, env: Env = "local") -> None:
    """Deliver a published version, through the trial and the canary like any other.

    Example: inferctl models promote digits v2 --why "passed the review"
    """
    _deliver(env, name, version, "promote", why)


@app.command()
def rollback(
    name: Name,
    why: Why,
    to: Annotated[str | None, typer.Option(help="Version to go back to; default: the one before.")] = None,
    env: Env = "local",
) -> None:
    """Go back to the version that was live before, without a canary.

    Example: inferctl models rollback digits --why "support sees wrong labels"
    """
    _deliver(env, name, to, "roll_back", why)


@app.command()
def pin(
    name: Name,
    why: Why,
    version: Annotated[str | None, typer.Option(help="Version to keep; default: the live one.")] = None,
    env: Env = "local",
) -> None:
    """Keep a model on one version: deliveries of others are refused until it is unpinned.

    Example: inferctl models pin digits --why "audit until Friday"
    """
    deliveries = _deliveries(env, name)
    kept = version or deliveries.live(name)
    if kept is None:
        raise CommandFailed(f"{name} has no live version to pin", "publish one, or give --version")
    deliveries.manifest(name, kept)
    content = {"version": kept, "who": deliveries.who(), "why": why, "since": now()}
    deliveries.parameters.put(name, "pin", content)
    console.print(f"{name} is pinned to {kept}")


@app.command()
def unpin(name: Name, env: Env = "local") -> None:
    """Let deliveries move a model again.

    Example: inferctl models unpin digits
    """
    _deliveries(env, name).parameters.put(name, "pin", None)
    console.print(f"{name} is not pinned")


@app.command()
def diff(name: Name, old: Version, new: Version, env: Env = "local") -> None:
    """Compare two published versions: file, signature, metrics.

    Example: inferctl models diff digits v1 v2
    """
    deliveries = _deliveries(env, name)
    sides = [_facts(deliveries.manifest(name, version)) for version in (old, new)]
    table = Table("", old, new)
    for key in dict.fromkeys(key for side in sides for key in side):
        values = [side.get(key, "") for side in sides]
        if values[0] != values[1]:
            table.add_row(key, *values)
    if not table.row_count:
        console.print(f"{name} {old} and {new} have the same file, signature and metrics")
        return
    console.print(table)


def _facts(manifest: Manifest) -> dict[str, str]:
    def tensors(specs: Any) -> str:
        return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs.values())

    return {
        "file": manifest.file,
        "sha256": manifest.sha256,
        "bytes": str(manifest.size),
        "inputs": tensors(manifest.signature.inputs),
        "outputs": tensors(manifest.signature.outputs),
        "golden requests": str(len(manifest.golden)),
        **{f"metric {key}": f"{value:g}" for key, value in sorted(manifest.metrics.items())},
    }


def _deliver(env: str, name: str, version: str | None, action: str, why: str) -> None:
    deliveries = _deliveries(env, name)
    wanted = version or deliveries.previous(name)
    deliveries.manifest(name, wanted)
    _follow(deliveries, name, deliveries.start(name, wanted, action, why))


def _follow(deliveries: Deliveries, name: str, delivery_id: str) -> None:
    with Progress() as progress, progress.step("delivery") as step:
        record = deliveries.follow(name, delivery_id, shown_by(step))
        require_delivered(record)
        step.result = answer_of(record)


def _deliveries(env: str, name: str) -> Deliveries:
    """The deliveries of an environment that has the model."""
    settings, client = by_names(env)
    if name not in settings.models:
        raise CommandFailed(
            f"there is no model {name!r} in {settings.name}",
            f"choose one of: {', '.join(sorted(settings.models))}, or add it to environments/models.yaml",
        )
    return Deliveries(client)
