"""`up` killed at several points, on a platform of its own: the next one finishes the job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def kill_all(folder: Path) -> None:
    """SIGKILL to every process that belongs to this platform's `up`, but not to its embedded AWS."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        ours = f"INFERENCE_LOCAL_DIR={folder}".encode() in environment
        if ours and b"emulator_server" not in command:
            os.kill(int(process.name), signal.SIGKILL)


@pytest.mark.timeout(2400)
def test_a_killed_up_is_finished_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    environment = {**os.environ, "INFERENCE_LOCAL_DIR": str(folder)}
    command = [sys.executable, "-m", "inferctl"]
    events = folder / "logs" / "local-up.events"

    def killed_after(created: int) -> None:
        """Start `up`, and kill it when so many resources have been made."""
        events.unlink(missing_ok=True)
        said = tmp_path / "said"
        with said.open("w") as output:
            process = subprocess.Popen(
                [*command, "up"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        while process.poll() is None:
            made = events.read_text().count('"resOutputsEvent"') if events.exists() else 0
            if made >= created:
                kill_all(folder)
                process.wait()
                return
            time.sleep(0.02)
        pytest.fail(f"up ended before {created} resources were made:\n{said.read_text()}")

    try:
        for created in (25, 600):
            killed_after(created)
        done = subprocess.run([*command, "up"], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The answer of digits" in done.stdout
        again = subprocess.run([*command, "up"], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert "update" not in again.stderr, again.stderr
    finally:
        down = subprocess.run([*command, "down"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert down.returncode == 0, down.stdout + down.stderr
