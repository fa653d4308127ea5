"""Named steps that may run side by side: what each is doing now, and how long each took.

A terminal gets one live line; a pipe or a log gets a line per step every ten seconds; every step ends
with a line of its own. Standard library only: it runs before the Python packages are installed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO


class CommandError(Exception):
    """A child process failed. `lines` is what it said, stdout and stderr together."""

    def __init__(self, command: Sequence[str | Path], status: int, lines: Sequence[str]) -> None:
        said = "".join(f"\n    {line}" for line in lines[-12:])
        super().__init__(f"`{Path(command[0]).name} {command[1]}` ended with status {status}:{said}")
        self.lines = lines


class Stopped(Exception):
    """The whole run is ending, because another step failed or the user interrupted it."""


class Step:
    """One step. `detail` is what it does now; `result`, when set, is what its last line says."""

    def __init__(self, name: str, stop: threading.Event) -> None:
        self.name, self.detail, self.result = name, "starting", ""
        self.started = time.monotonic()
        self._stop = stop
        self._child: subprocess.Popen[str] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def run(
        self, command: Sequence[str | Path], *, describe: Callable[[str], str] = str.strip, **options: Any
    ) -> list[str]:
        """Run a child to its end and return the lines it said; `describe` turns a line into a detail.

        The child leads a session of its own, so that ending it also ends whatever it has started.
        Raises CommandError when it fails, and Stopped when the run is ending.
        """
        self.pause(0)
        options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        lines: list[str] = []
        with subprocess.Popen(
            command, text=True, errors="replace", start_new_session=True, **options
        ) as self._child:
            assert self._child.stdout is not None
            try:
                for line in self._child.stdout:
                    lines.append(line.rstrip())
                    self.detail = describe(line) or self.detail
            except BaseException:
                self.end(signal.SIGTERM)
                raise
        self.pause(0)
        if self._child.returncode:
            raise CommandError(command, self._child.returncode, lines)
        return lines

    def pause(self, seconds: float) -> None:
        """Sleep; raises Stopped as soon as the run is ending."""
        if self._stop.wait(seconds):
            raise Stopped

    def end(self, how: signal.Signals) -> None:
        """Signal the step's child and all that the child started, if it still runs."""
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, how)


class Progress:
    """The steps of one run. Leaving the context ends the steps that still run, in whatever thread."""

    def __init__(self, out: TextIO | None = None, every_s: float = 10.0) -> None:
        self.seconds: dict[str, float] = {}
        self._out = out or sys.stderr
        self._clear = "\r\x1b[K" if self._out.isatty() else ""
        self._every_s = 0.2 if self._clear else every_s
        self._steps: list[Step] = []
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ticker.join()
        patience_ends = time.monotonic() + 5
        while self._steps:
            for step in list(self._steps):
                step.end(signal.SIGTERM if time.monotonic() < patience_ends else signal.SIGKILL)
            time.sleep(0.1)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step; its last line is printed only when it succeeds."""
        step = Step(name, self._stop)
        self._steps.append(step)
        try:
            yield step
            self.seconds[name] = step.seconds
            self._write(f"{self._clear}{name:<10} {step.seconds:6.1f} s  {step.result or step.detail}\n")
        finally:
            self._steps.remove(step)

    def _tick(self) -> None:
        while not self._stop.wait(self._every_s):
            doing = [f"{step.name} {step.seconds:.0f} s: {step.detail}" for step in list(self._steps)]
            if self._clear:
                self._write(self._clear + "  |  ".join(doing)[: shutil.get_terminal_size().columns - 1])
            else:
                self._write("".join(f"{line}\n" for line in doing))
        self._write(self._clear)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
