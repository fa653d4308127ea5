"""The commands: `inferctl COMMAND --help` shows each with an example."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from environments import loader
from inferctl import audit, costs
from inferctl import plan as planning
from inferctl import up as provisioning
from inferctl.errors import CommandFailed
from inferctl.session import deployed, environment
from inferctl.workspace import Workspace
from local_aws.emulator import EmulatorError

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
console = Console()

Env = Annotated[str, typer.Option("--env", "-e", envvar="ENV", help="Environment: a file in environments/.")]
Tenant = Annotated[str, typer.Argument(help="Tenant in whose name to call.")]


@app.command()
def up(env: Env = "local") -> None:
    """Provision an environment and ask it for a prediction.

    Example: inferctl up
    """
    provisioning.up(env, console)


@app.command()
def down(env: Env = "local") -> None:
    """Remove all that `up` made.

    Example: inferctl down
    """
    provisioning.down(env, console)


@app.command()
def plan(
    env: Env = "local",
    report: Annotated[
        list[Path] | None,
        typer.Option(help="Also write this file: .md, .json, .sarif or .xml (JUnit). May be repeated."),
    ] = None,
) -> None:
    """Show what an environment would be made of and cost, judged by the policies, with no account.

    Exits with 3 when a policy refuses it, and with 1 when it cannot be planned.

    Example: inferctl plan --env prod --report plan.md --report plan.sarif
    """
    planning.plan(env, console, report or [])


@app.command()
def cost(
    env: Env = "local",
    explain: Annotated[str | None, typer.Option(help="Show the arithmetic of this resource.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole estimate as JSON.")] = False,
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
) -> None:
    """Write the full deployment of an environment as JSON, brought up by the plan provider.

    Example: inferctl export --env dev
    """
    console.print(str(planning.export(env, output)), highlight=False)


@app.command("baseline")
def refresh_baseline(env: Env = "local") -> None:
    """Write environments/baseline/<env>.txt anew, to be reviewed and committed.

    Example: inferctl baseline --env prod
    """
    changes = planning.refresh_baseline(env)
    for line in changes.lines() or ["no difference"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command("audit")
def audit_environments(
    envs: Annotated[list[str] | None, typer.Argument(help="Environments; default all.")] = None,
) -> None:
    """Show what checkov and two IAM linters say, each remark with its answer; exit with 1 when one has none.

    Example: inferctl audit prod
    """
    if not audit.audit(envs or loader.names(), console):
        raise typer.Exit(1)


@app.command("package")
def package_functions(env: Env = "local") -> None:
    """Build the function packages that an environment deploys.

    Example: inferctl package --env dev
    """
    console.print(provisioning.build_packages(environment(env), Workspace.here()), highlight=False)


@app.command()
def status(env: Env = "local") -> None:
    """List what is deployed, by component.

    Example: inferctl status
    """
    session = deployed(env)
    planning.show_resources(session.engine.export(), console)
    console.print(f"API: {session.client().url}", highlight=False, soft_wrap=True)


@app.command()
def token(tenant: Tenant, env: Env = "local") -> None:
    """Print an access token of a tenant.

    Example: inferctl token acme
    """
    typer.echo(deployed(env).client().token(tenant))


@app.command("api-key")
def api_key(tenant: Tenant, env: Env = "local") -> None:
    """Print a tenant's API key, which clients of `local` send along.

    Example: inferctl api-key acme
    """
    typer.echo(deployed(env).client().api_key(tenant))


@app.command()
def invoke(
    model: Annotated[str, typer.Argument(help="Model to ask.")],
    tenant: Tenant,
    request: Annotated[
        Path, typer.Argument(help="Open Inference Protocol request, a JSON file; - for stdin.")
    ],
    env: Env = "local",
) -> None:
    """Send one inference request and print the answer; exit with 1 when the platform refuses it.

    Example: inferctl invoke digits acme .local/models/digits-request.json
    """
    body = sys.stdin.buffer.read() if str(request) == "-" else request.read_bytes()
    answer = deployed(env).client().infer(tenant, model, body)
    typer.echo(json.dumps(answer.json()) if "json" in answer.headers.get("content-type", "") else answer.text)
    if answer.is_error:
        raise typer.Exit(1)


def main() -> None:
    """Run a command; what goes wrong is a message with the next step, never a traceback."""
    try:
        app()
    except (CommandFailed, EmulatorError) as error:
        say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print
        say(f"\nfailed: {error}", style="red")
        if isinstance(error, CommandFailed):
            say(f"next:   {error.next_step}", style="bold")
        sys.exit(error.exit_code if isinstance(error, CommandFailed) else 1)
    except KeyboardInterrupt:
        Console(stderr=True).print("\ninterrupted; run the command again to go on from here")
        sys.exit(130)
