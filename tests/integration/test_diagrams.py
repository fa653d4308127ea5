"""The committed diagrams are those of the real exports, mermaid parses them, and each has its picture."""

from pathlib import Path
from typing import Any

import pytest

from inferctl import drawing
from inferctl.workspace import ROOT
from toolchain.progress import Progress


def test_the_committed_diagrams_are_of_the_present_program(env: str, export: dict[str, Any]) -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in drawing.files(env, export).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make diagrams`, look at the pictures, and commit: {', '.join(stale)}"


def test_every_committed_diagram_has_a_picture_of_its_text(env: str) -> None:
    texts = sorted((drawing.FOLDER / env).glob("*.mmd"))
    assert len(texts) == 3
    assert [path.name for path in texts if not drawing.is_drawn(path)] == []


def test_mermaid_itself_parses_the_texts(env: str, export: dict[str, Any], tmp_path: Path) -> None:
    if lacking := drawing.missing():
        pytest.skip(f"{lacking}: `make diagrams` parses them where it is")
    paths = []
    for path, text in drawing.files(env, export).items():
        if path.suffix == ".mmd":
            paths.append(tmp_path / path.name)
            paths[-1].write_text(text, encoding="utf-8")
    with Progress() as progress, progress.step("parse") as step:
        drawing.draw(paths, step, "--check")
