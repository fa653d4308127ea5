"""What the user sees of steps that run side by side, and that ending a run ends its children."""

import io
import os
import pty
import sys
import threading
from pathlib import Path

import pytest

from toolchain.progress import CommandError, Progress, Step, Stopped


def test_a_pipe_gets_lines_while_steps_run_and_one_when_each_ends() -> None:
    out = io.StringIO()
    with Progress(out, every_s=0.01) as progress, progress.step("outer") as outer:
        outer.detail = "measuring"
        with progress.step("inner") as inner:
            inner.detail = "sawing"
            while "outer 0 s: measuring\ninner 0 s: sawing\n" not in out.getvalue():
                assert not progress.seconds
            inner.result = "four boards"
    assert "\x1b" not in out.getvalue()
    *_, first, last = (line for line in out.getvalue().splitlines() if " s  " in line)
    assert first.startswith("inner ") and first.endswith("four boards")
    assert last.startswith("outer ") and last.endswith("measuring")
    assert set(progress.seconds) == {"outer", "inner"}


def test_a_terminal_gets_one_live_line_that_the_last_one_replaces() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as out:
        with Progress(out) as progress, progress.step("saw") as step:
            step.detail = "sawing"
            assert b"\r\x1b[Ksaw 0 s: sawing" in os.read(ours, 100)
        ended = os.read(ours, 1000)
    os.close(ours)
    assert b"\r\x1b[Ksaw  " in ended and ended.count(b"\n") == 1


def test_a_step_that_fails_has_no_last_line() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="blunt"), Progress(out) as progress, progress.step("saw"):
        raise ValueError("blunt")
    assert out.getvalue() == "" and progress.seconds == {}


def test_a_child_s_lines_are_returned_and_the_latest_is_the_detail() -> None:
    step = Step("saw", threading.Event())
    code = "import sys; print('one'); print('two', file=sys.stderr, flush=True)"
    assert sorted(step.run([sys.executable, "-u", "-c", code], describe=str.upper)) == ["one", "two"]
    assert step.detail.strip() in {"ONE", "TWO"}


def test_a_failed_child_is_told_with_its_last_words() -> None:
    step = Step("saw", threading.Event())
    with pytest.raises(CommandError) as failed:
        step.run([sys.executable, "-c", "print('blunt'); raise SystemExit(4)"])
    assert str(failed.value) == f"`{Path(sys.executable).name} -c` ended with status 4:\n    blunt"


def test_ending_the_run_ends_the_children_of_every_thread() -> None:
    stopped = threading.Event()
    pids: list[int] = []

    def note(line: str) -> str:
        pids.append(int(line))
        return line

    def work() -> None:
        with pytest.raises(Stopped), progress.step("saw") as step:
            step.run(["sh", "-c", "sleep 600 & echo $!; wait"], describe=note)
        stopped.set()

    with Progress(io.StringIO()) as progress:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        while not pids:
            assert worker.is_alive()
    assert stopped.is_set()
    worker.join()
    with pytest.raises(ProcessLookupError):
        while True:  # what the child had started is told to end with it, and ends by itself
            os.kill(pids[0], 0)


def test_a_child_that_will_not_end_is_killed() -> None:
    heard = threading.Event()

    def note(line: str) -> str:
        heard.set()
        return line

    def work() -> None:
        with pytest.raises(Stopped), progress.step("saw") as step:
            step.run(["sh", "-c", "trap '' TERM; echo deaf; sleep 600"], describe=note)

    with Progress(io.StringIO()) as progress:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        assert heard.wait(60)
    worker.join()


def test_a_run_that_is_ending_starts_nothing(tmp_path: Path) -> None:
    ending = threading.Event()
    ending.set()
    with pytest.raises(Stopped):
        Step("saw", ending).run(["touch", tmp_path / "started"])
    assert not (tmp_path / "started").exists()
