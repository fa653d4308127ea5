"""The commands: `inferctl COMMAND --help` shows each with an example."""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from environments import loader
from inferctl import audit, cluster_check, costs, drawing, jobs, logs, models, verify
from inferctl import destroy as destroying
from inferctl import doctor as doctoring
from inferctl import plan as planning
from inferctl import up as provisioning
from inferctl import usage as reporting
from inferctl.checks import report
from inferctl.errors import CommandFailed, Exit
from inferctl.failures import EXPECTED, explain
from inferctl.options import Env, Json, Tenant, console, show
from inferctl.session import deployed, environment
from inferctl.workspace import Workspace

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 refused by the policies, 4 wrong setting, "
    "5 not deployed or not set up, 6 something was found wrong, 130 interrupted."
)
app = typer.Typer(
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, epilog=EXIT_CODES
)
app.add_typer(jobs.app, name="jobs")
app.command()(reporting.usage)
app.command()(cluster_check.validate_cluster)
app.add_typer(models.app, name="models")


@app.command()
def up(env: Env = "local") -> None:
    """Provision an environment and ask it for a prediction.

    Example: inferctl up
    """
    provisioning.up(env, console)


@app.command()
def down(env: Env = "local") -> None:
    """Remove all that `up` made on this machine: resources, processes, state.

    Example: inferctl down
    """
    destroying.down(env, console)


@app.command()
def destroy(
    env: Env = "local",
    confirm: Annotated[str, typer.Option(help="The environment's name again, so that scripts mean it.")] = "",
    as_json: Json = False,
) -> None:
    """Destroy an environment, and prove by tags and by service that nothing of it is left.

    Example: inferctl destroy --env dev --confirm dev
    """
    if not confirm and sys.stdin.isatty():
        confirm = typer.prompt(f"This deletes {env} and all its data. Type its name to go on")
    proof = destroying.destroy(env, confirm)
    show(proof.record(), proof.lines(), as_json)
    if proof.leftovers:
        raise typer.Exit(Exit.FOUND)


@app.command()
def plan(
    env: Env = "local",
    report: Annotated[
        list[Path] | None,
        typer.Option(help="Also write this file: .md, .json, .sarif or .xml (JUnit). May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what would be lost and changed, what it costs and what the policies say, with no account.

    Exits with 3 when a policy refuses it.

    Example: inferctl plan --env prod --report plan.md --report plan.sarif
    """
    review, judged = planning.plan(env, report or [])
    show(review.record(), review.lines(), as_json)
    judged.require()


@app.command()
def cost(
    env: Env = "local",
    explain: Annotated[str | None, typer.Option(help="Show the arithmetic of this resource.")] = None,
    as_json: Json = False,
    deployment: Annotated[Path | None, typer.Option(help="Price this export, and plan nothing.")] = None,
) -> None:
    """Estimate what an environment costs: idle, at its stated load, by component and by model.

    Example: inferctl cost --env prod --explain network-nat-a
    """
    costs.cost(env, explain, as_json, deployment, console)


@app.command()
def export(
    env: Env = "local",
    output: Annotated[
        Path | None, typer.Option(help="File to write; default .local/export/<env>.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the full deployment of an environment as JSON, brought up by the plan provider.

    Example: inferctl export --env dev
    """
    path = planning.export(env, output)
    show({"env": env, "path": str(path)}, [str(path)], as_json)


@app.command("baseline")
def refresh_baseline(env: Env = "local", as_json: Json = False) -> None:
    """Write environments/baseline/<env>.txt anew, to be reviewed and committed.

    Example: inferctl baseline --env prod
    """
    lines = planning.refresh_baseline(env).lines()
    show({"env": env, "differences": lines}, lines or ["no difference"], as_json)


@app.command("audit")
def audit_environments(
    envs: Annotated[list[str] | None, typer.Argument(help="Environments; default all.")] = None,
) -> None:
    """Show what checkov and two IAM linters say, each remark with its answer; exit with 1 when one has none.

    Example: inferctl audit prod
    """
    if not audit.audit(envs or loader.names(), console):
        raise typer.Exit(Exit.FAILED)


@app.command("package")
def package_functions(env: Env = "local", as_json: Json = False) -> None:
    """Build the function packages that an environment deploys.

    Example: inferctl package --env dev
    """
    said = provisioning.build_packages(environment(env), Workspace.here())
    show({"env": env, "packages": said}, [said], as_json)


@app.command()
def diagram(
    env: Env = "local",
    check: Annotated[
        bool, typer.Option(help="Write nothing; exit with 6 when what is there is stale.")
    ] = False,
    draw: Annotated[
        bool, typer.Option(help="Also parse the texts and draw them (Node.js, Chromium).")
    ] = True,
    as_json: Json = False,
) -> None:
    """Write docs/diagrams/<env>/: system, deployment and request, made from the resource graph.

    Example: inferctl diagram --env prod
    """
    done = drawing.make(env, check=check, pictures=draw)
    show(done.record(), done.lines(), as_json)
    if done.stale and check:
        raise typer.Exit(Exit.FOUND)


@app.command()
def status(env: Env = "local", as_json: Json = False) -> None:
    """List what is deployed, by component.

    Example: inferctl status
    """
    session = deployed(env)
    exported, url = session.engine.export(), session.client().url
    if as_json:
        show({"env": env, "url": url, "resources": planning.counted(exported)}, [], as_json)
        return
    planning.show_resources(exported, console)
    show({}, [f"API: {url}"], as_json)


@app.command()
def doctor(env: Env = "local", as_json: Json = False) -> None:
    """Check tools, credentials, quotas, offers and the network before `up`; exit with 6 on a fault.

    Example: inferctl doctor --env prod
    """
    report(f"doctor {env}", doctoring.examine(env), as_json)


@app.command("verify")
def verify_deployment(env: Env = "local", as_json: Json = False) -> None:
    """Compare the deployed platform with what was asked for; exit with 6 when they differ.

    Example: inferctl verify --env prod
    """
    report(f"verify {env}", verify.examine(env), as_json)


@app.command("logs")
def show_logs(
    model: Annotated[str, typer.Argument(help="Model whose log to read.")],
    env: Env = "local",
    minutes: Annotated[int, typer.Option(min=1, help="How far back to look.")] = 60,
    as_json: Json = False,
) -> None:
    """Print a model's log, oldest line first.

    Example: inferctl logs digits --minutes 15
    """
    events = logs.read(deployed(env), model, minutes)
    lines = [f"{event['time']}  {event['message']}" for event in events]
    show({"model": model, "events": events}, lines or [f"no line in {minutes} minutes"], as_json)


@app.command()
def token(tenant: Tenant, env: Env = "local", as_json: Json = False) -> None:
    """Print an access token of a tenant.

    Example: inferctl token acme
    """
    got = deployed(env).client().token(tenant)
    show({"tenant": tenant, "token": got}, [got], as_json)


@app.command("api-key")
def api_key(tenant: Tenant, env: Env = "local", as_json: Json = False) -> None:
    """Print a tenant's API key, which clients of `local` send along.

    Example: inferctl api-key acme
    """
    got = deployed(env).client().api_key(tenant)
    show({"tenant": tenant, "api_key": got}, [got], as_json)


@app.command()
def invoke(
    model: Annotated[str, typer.Argument(help="Model to ask.")],
    tenant: Tenant,
    request: Annotated[
        Path, typer.Argument(help="Open Inference Protocol request, a JSON file; - for stdin.")
    ],
    env: Env = "local",
) -> None:
    """Send one inference request and print the answer as JSON; exit with 1 when the platform refuses it.

    Example: inferctl invoke digits acme .local/models/digits-request.json
    """
    if str(request) != "-" and not request.is_file():
        raise CommandFailed(
            f"there is no request file {request}", "name an Open Inference Protocol request, or - for stdin"
        )
    body = sys.stdin.buffer.read() if str(request) == "-" else request.read_bytes()
    answer = deployed(env).client().infer(tenant, model, body)
    typer.echo(json.dumps(answer.json()) if "json" in answer.headers.get("content-type", "") else answer.text)
    if answer.is_error:
        raise typer.Exit(Exit.FAILED)


def main() -> None:
    """Run a command; what goes wrong is a message with the next step, never a traceback."""
    try:
        app(prog_name="inferctl")
    except EXPECTED as error:
        failure = explain(error, _environment_asked_for())
        say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print
        say(f"\nfailed: {failure.what}", style="red")
        say(f"next:   {failure.next_step}", style="bold")
        sys.exit(failure.code)
    except KeyboardInterrupt:
        Console(stderr=True).print("\ninterrupted; run the command again to go on from here")
        sys.exit(130)


def _environment_asked_for() -> str:
    """The environment of this command line, for the advice that an error ends with."""
    args = sys.argv[1:]
    for one, value in itertools.pairwise(args):
        if one in ("--env", "-e"):
            return value
    return os.environ.get("ENV") or "local"
