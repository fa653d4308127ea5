"""Options and output that all commands share."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from environments import loader

console = Console()


def _environments(incomplete: str) -> list[str]:
    return [name for name in loader.names() if name.startswith(incomplete)]


Env = Annotated[
    str,
    typer.Option(
        "--env",
        "-e",
        envvar="ENV",
        help="Environment: a file in environments/.",
        autocompletion=_environments,
    ),
]
Tenant = Annotated[str, typer.Argument(help="Tenant in whose name to call.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


def show(record: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print a result: as JSON, or as lines that no terminal wraps or colours."""
    if as_json:
        json.dump(record, sys.stdout, indent=2, default=str)
        print()
        return
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
