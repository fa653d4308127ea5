"""Makes the Python environment, `.venv`, and gets the Pulumi CLI: `python3 toolchain/bootstrap.py`.

It runs on any Python from 3.11 on, needs nothing installed, and works offline once the caches are warm.
When nothing has changed it changes nothing. The seconds that it took go to `.local/times.json`.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python has to parse this file, but runs no further)
    for newer in ("python3.13", "python3.12", "python3.11", "python3.14"):
        found = shutil.which(newer)
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, *sys.argv])  # noqa: S606
    sys.exit(f"Python 3.11 or newer is needed: {sys.executable} is older, and there is none on PATH.")

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)
from toolchain import cli, crds  # noqa: E402 (an older Python cannot import it)
from toolchain.go_build import Unavailable  # noqa: E402
from toolchain.progress import CommandError, Progress, Step  # noqa: E402


class Environment:
    """A virtual environment that holds exactly what a hashed lock file names.

    Its stamp, written last and removed first, tells a whole environment from an interrupted one.
    """

    def __init__(self, root: Path) -> None:
        self.lock, self.path = root / "requirements.lock", root / ".venv"
        self.python = self.path / "bin" / "python"
        self._stamp = self.path / "bootstrap.json"

    def ensure(self, step: Step) -> None:
        """Make it whole; where only the lock has changed, install the difference."""
        wanted, stamped = self._fingerprint(), self._read_stamp()
        if stamped == wanted:
            step.result = f"{self.path.name} is as {self.lock.name} has it"
            return
        updating = stamped is not None and stamped | {"lock": wanted["lock"]} == wanted
        self._stamp.unlink(missing_ok=True)
        if not updating:
            step.detail = f"making {self.path}"  # with pip, by which Pulumi's language host lists packages
            step.run([sys.executable, "-m", "venv", "--clear", self.path])
        sync = [self._uv(step), "pip", "sync", "--require-hashes", "--python", self.python, self.lock]
        try:  # the cache alone is enough when it is warm, and then no network is needed
            step.run([*sync, "--offline"])
        except CommandError:
            step.detail = "downloading the Python packages"
            step.run(sync)
        self._stamp.write_text(json.dumps(self._fingerprint()))
        step.result = f"{self.path.name} {'updated' if updating else 'made'} from {self.lock.name}"

    def _uv(self, step: Step) -> Path | str:
        """The environment's own `uv`, or the one on PATH; else the pinned one, installed by pip.

        Its wheel is kept in the tool cache, since pip needs the network even for what it has cached.
        """
        own = self.path / "bin" / "uv"
        if own.exists():
            return own
        on_path = shutil.which("uv")
        if on_path:
            return on_path
        pin = re.search(r"^uv==(.*\\\n)*.*", self.lock.read_text(), re.MULTILINE)
        assert pin is not None, f"{self.lock} does not pin uv"
        pinned, wheels = self.path / "uv.txt", cli.cache_directory() / "wheels"
        pinned.write_text(pin[0])
        pip: list[str | Path] = [self.python, "-m", "pip", "--disable-pip-version-check"]
        install = [*pip, "install", "--no-index", "--find-links", wheels, "--require-hashes", "-r", pinned]
        try:
            step.run(install)
        except CommandError:
            step.detail = "downloading uv"
            step.run([*pip, "download", "--require-hashes", "--dest", wheels, "-r", pinned])
            step.run(install)
        return own

    def _fingerprint(self) -> dict[str, str]:
        """What decides the environment's content: the lock, the Python's version, and where it stands."""
        made = self.path / "pyvenv.cfg"
        version = re.search(r"^version\S* = (\S+)", made.read_text(), re.MULTILINE) if made.exists() else None
        lock = hashlib.sha256(self.lock.read_bytes()).hexdigest()
        return {"lock": lock, "python": version[1] if version else "", "path": str(self.path)}

    def _read_stamp(self) -> dict[str, str] | None:
        try:
            stamp = json.loads(self._stamp.read_text())
        except (OSError, ValueError):
            return None
        return stamp if isinstance(stamp, dict) and os.access(self.python, os.X_OK) else None


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environment, local = Environment(ROOT), ROOT / ".local"

    def install() -> None:
        with progress.step("install") as step, cli.locked(local / "bootstrap.lock", step):
            environment.ensure(step)

    def toolchain(installed: "Future[None]") -> None:
        with progress.step("toolchain") as step:
            pulumi = cli.find()
            if pulumi is None and cli.installer_answers():
                step.detail = "waiting for the Pulumi SDK, which carries the official installer"
                installed.result()
                pulumi = Path(step.run([environment.python, "-m", "toolchain.cli"], cwd=ROOT)[-1])
            step.result = f"Pulumi CLI at {pulumi or cli.ensure_pulumi(step)}"

    def definitions() -> None:
        with progress.step("kubernetes") as step:
            crds.ensure(step)

    try:
        with ThreadPoolExecutor() as pool, Progress() as progress:
            installed = pool.submit(install)
            for done in as_completed(
                (installed, pool.submit(toolchain, installed), pool.submit(definitions))
            ):
                done.result()  # the first failure ends both
    except (CommandError, Unavailable) as error:
        print(f"{error}\nMend that and run this again: it goes on from where it is.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The next run finishes the job.", file=sys.stderr)
        return 130
    seconds = {f"{name}_s": round(value, 3) for name, value in progress.seconds.items()}
    (local / "times.json").write_text(json.dumps(seconds) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
