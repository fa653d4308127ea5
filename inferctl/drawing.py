"""Writes and draws the diagrams of an environment: `docs/diagrams/<env>/`."""

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inferctl import diagram
from inferctl.boxes import BOXES
from inferctl.errors import CommandFailed
from inferctl.graph import Graph, path_lines
from inferctl.plan import deployment
from inferctl.workspace import ROOT
from toolchain.progress import Progress, Step

FOLDER = ROOT / "docs/diagrams"
MERMAID = ROOT / "toolchain/mermaid"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

ABOUT = {
    "system": "The parts of the platform and the way of a request through them, in the order of the numbers.",
    "deployment": "What stands where: the network with its zones, and how much of which AWS service.",
    "request": "One inference request, from the token to the answer, with every way in which it is refused.",
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What `diagram` did or, with `--check`, would do."""

    env: str
    folder: str
    path: tuple[str, ...]
    stale: tuple[str, ...]
    """Files that were not what the resource graph says."""
    note: str
    """Why there are no pictures, if so."""

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        changed = [f"  {name}" for name in self.stale]
        return [
            *(f"{line}" for line in self.path),
            f"{self.folder}: {len(self.stale) or 'no'} files differ from the resource graph",
            *changed,
            *([self.note] if self.note else []),
        ]


def make(env: str, *, check: bool, pictures: bool) -> Drawn:
    """Write, or with `check` compare, the diagrams of an environment.

    Raises:
        CommandFailed: the environment cannot be planned, or a text is no mermaid.
    """
    export = deployment(env)
    folder = FOLDER / env
    wanted = files(env, export)
    held = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in wanted}
    stale = [str(path.relative_to(ROOT)) for path in wanted if wanted[path] != held[path]]
    note = ""
    if not check:
        undrawn = write(env, export)
        lacking = missing() if pictures else "not asked for"
        if lacking:
            note = f"pictures not drawn: {lacking}" if undrawn else ""
        elif undrawn:
            with Progress() as progress, progress.step("draw") as step:
                draw(undrawn, step)
    return Drawn(
        env=env,
        folder=str(folder.relative_to(ROOT)),
        path=tuple(path_lines(Graph.of(export))),
        stale=tuple(stale),
        note=note,
    )


def files(env: str, export: Mapping[str, Any]) -> dict[Path, str]:
    """Path -> content of everything but the pictures; what is committed must equal it."""
    texts = {FOLDER / env / name: text for name, text in diagram.texts(env, export).items()}
    return {**texts, FOLDER / env / "README.md": _description(env, Graph.of(export))}


def write(env: str, export: Mapping[str, Any]) -> list[Path]:
    """Write the texts; returns the mermaid files whose picture is missing or of another text."""
    for path, content in files(env, export).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return [path for path in sorted((FOLDER / env).glob("*.mmd")) if not is_drawn(path)]


def is_drawn(path: Path) -> bool:
    """Whether the picture beside a mermaid file was drawn from its present text."""
    picture = path.with_suffix(".svg")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return picture.exists() and picture.read_text(encoding="utf-8").startswith(f"<!-- source sha256 {digest}")


def missing() -> str | None:
    """What parsing and drawing lack on this machine, in words; None means nothing."""
    if not shutil.which("npm"):
        return "Node.js with npm is not installed"
    if not any(shutil.which(name) for name in BROWSERS):
        return "Chromium is not installed"
    return None


def draw(paths: list[Path], step: Step, *flags: str) -> None:
    """Parse mermaid files with mermaid's own parser and draw them; installs its packages on first use.

    Raises:
        CommandFailed: a tool is missing, or a text is no mermaid.
    """
    if lacking := missing():
        raise CommandFailed(
            f"the diagrams are written but not drawn: {lacking}", "install it, then `make diagrams`"
        )
    if not (MERMAID / "node_modules/mermaid").exists():
        step.detail = "npm ci"
        _run("npm", "ci", "--no-audit", "--no-fund")
    step.detail = f"{len(paths)} diagrams"
    _run("node", "render.mjs", *flags, *map(str, paths))


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=MERMAID, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(
            f"`{command[0]} {command[1]}` failed: {(done.stderr or done.stdout).strip()}",
            "correct what it names, then `make diagrams`",
        )


def _description(env: str, graph: Graph) -> str:
    """What the pictures show, for those who cannot see them and for those who look longer."""
    lines = [
        f"# Diagrams of `{env}`",
        "",
        "Made from the resources of this environment by `make diagrams`; do not edit.",
        "",
        "Where a request goes:",
        "",
        *(f"- {line}" for line in path_lines(graph)),
    ]
    for name, about in ABOUT.items():
        lines += ["", f"## {name.capitalize()}", "", about, "", f"![{about}]({name}.svg)"]
        if name == "system":
            lines += ["", "| box | what it is | resources |", "| --- | --- | --- |"]
            lines += [
                f"| {graph.title(box)} | {BOXES[box].about} | {len(held)} |"
                for box, held in graph.boxes.items()
            ]
    return "\n".join(lines) + "\n"
