"""The Pulumi CLI: the one on PATH, or else one kept in a per-user cache, downloaded or built from source.

`python -m toolchain.cli` prints the path of a CLI that fits, getting one first where none is there.
Standard library only at import: the bootstrap calls it before the Python packages are installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from toolchain import go_build
from toolchain.go_build import Unavailable
from toolchain.progress import Progress, Step

PIN = (3, 259, 0)
"""What is downloaded or built (`go/go.mod` pins the same), and the oldest CLI taken from PATH: no older one
has ever run this program, and passing over an older one costs a download, not an error."""

VERSION = ".".join(map(str, PIN))
LANGUAGE_HOST = "pulumi-language-python"
INSTALLER = "https://get.pulumi.com"
ANSWER_WITHIN_S = 3.0


def cache_directory() -> Path:
    """Where this user's tools are kept: under XDG_CACHE_HOME, else in the platform's cache directory."""
    default = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or default).expanduser() / "inference-platform"


def ensure_pulumi(step: Step | None = None) -> Path:
    """A Pulumi CLI that fits, downloaded or built first where none is here.

    Args:
        step: where progress is reported; left out, it goes to stderr, and only if something must be got.

    Raises:
        Unavailable: the message lists what was tried, why each way failed, and what to do.
    """
    if (here := find()) is not None:
        return here
    if step is None:
        with Progress() as progress, progress.step("toolchain") as own:
            return ensure_pulumi(own)
    ways: dict[str, Callable[[], Path]] = {
        "`pulumi` on PATH": _on_path,
        "the official installer": lambda: _keep(_install, step),
        "a build from the Go module proxy": lambda: _keep(_build, step),
    }
    reasons = []
    with locked(cache_directory() / "pulumi.lock", step):
        with contextlib.suppress(Unavailable):  # another process may have been faster
            pulumi = _cached()
            step.result = f"Pulumi CLI {VERSION} got by another process"
            return pulumi
        for name, way in ways.items():
            try:
                return way()
            except Unavailable as reason:
                reasons.append(f"  - {name}: {reason}\n")
    raise Unavailable(
        f"No Pulumi CLI could be had ({VERSION} or newer, below 4). Tried, in this order:\n{''.join(reasons)}"
        "Do one of these, then run the command again:\n"
        "  - install the Pulumi CLI: https://www.pulumi.com/docs/install/\n"
        f"  - let this machine reach {INSTALLER}\n"
        f"  - put Go {go_build.required_go()} or newer on PATH (https://go.dev/dl/), with a Go module proxy "
        "within reach (GOPROXY)"
    )


def find() -> Path | None:
    """A CLI that is already here and fits: on PATH, else in the cache."""
    for way in (_on_path, _cached):
        with contextlib.suppress(Unavailable):
            return way()
    return None


def needs_language_host(pulumi: Path) -> bool:
    """Whether the engine would find no Python language host, neither on PATH nor beside its own binary."""
    beside = pulumi.resolve().with_name(LANGUAGE_HOST)
    return shutil.which(LANGUAGE_HOST) is None and not os.access(beside, os.X_OK)


def install_language_host(pulumi: Path, bin_dir: Path, python: Path) -> Path:
    """Give a CLI that was built from source our language host, run by `python`, which has the Pulumi SDK.

    The engine looks for a language host beside its own binary and warns about one that is only on PATH:
    so `bin_dir` gets a (hard) link to the CLI and the host's launcher. Returns the `pulumi` to run, in
    `bin_dir`, which is to come first on PATH.
    """
    bin_dir.mkdir(parents=True, exist_ok=True)
    pulumi, linked, fresh = pulumi.resolve(), bin_dir / "pulumi", bin_dir / f".fresh.{os.getpid()}"
    if not (linked.exists() and filecmp.cmp(pulumi, linked)):
        try:
            os.link(pulumi, fresh)
        except OSError:  # another file system
            shutil.copy2(pulumi, fresh)
        fresh.replace(linked)
    host = [python, "-P", Path(__file__).with_name("language_host.py"), pulumi.with_name(go_build.EXECUTOR)]
    fresh.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, host))} "$@"\n')
    fresh.chmod(0o755)
    fresh.replace(bin_dir / LANGUAGE_HOST)
    return linked


@contextlib.contextmanager
def locked(path: Path, step: Step) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system frees it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                step.detail = f"waiting for another process, which holds {path}"
                step.pause(0.5)
        yield


@functools.cache
def installer_answers() -> bool:
    """Whether the official installer's host can be reached; a closed network costs three seconds.

    Asked in a thread, because no timeout of the standard library covers the lookup of a name.
    """
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            with contextlib.suppress(urllib.error.HTTPError):  # any status is an answer
                urllib.request.urlopen(INSTALLER, timeout=ANSWER_WITHIN_S).close()
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_WITHIN_S)
    return answered.is_set()


def installed_version(pulumi: Path) -> tuple[int, ...]:
    """What `pulumi version` says; raises Unavailable where it does not run or says nothing of the kind."""
    with tempfile.TemporaryDirectory() as home:  # the CLI keeps a log of every command in its home
        environment = {**os.environ, "PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            said = subprocess.check_output(
                [pulumi, "version"], env=environment, stderr=subprocess.DEVNULL, text=True, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"{pulumi} does not run: {error}") from error
    found = re.search(r"^v?(\d+)\.(\d+)\.(\d+)", said, re.MULTILINE)
    if found is None:
        raise Unavailable(f"{pulumi} does not tell its version")
    return tuple(map(int, found.groups()))


def _on_path() -> Path:
    name = shutil.which("pulumi")
    if name is None:
        raise Unavailable("there is none")
    version = installed_version(Path(name))
    if version < PIN or version[0] != PIN[0]:
        raise Unavailable(f"{name} is {'.'.join(map(str, version))}")
    if needs_language_host(Path(name)):
        raise Unavailable(f"{name} comes without {LANGUAGE_HOST}")
    return Path(name)


def _cached(suffix: str = "") -> Path:
    pulumi = cache_directory() / f"pulumi-v{VERSION}{suffix}" / "bin" / "pulumi"
    if installed_version(pulumi) != PIN:
        raise Unavailable(f"{pulumi} is not {VERSION}")
    return pulumi


def _keep(make: Callable[[Path, Step], None], step: Step) -> Path:
    """Make a CLI and see that it works; only then it is in the cache."""
    kept = cache_directory() / f"pulumi-v{VERSION}"
    with whole(kept) as partial:
        (partial / "bin").mkdir()
        make(partial, step)
        _cached(".partial")
    return kept / "bin" / "pulumi"


@contextlib.contextmanager
def whole(kept: Path) -> Iterator[Path]:
    """A new folder under another name, which gets its own once all is in it, in the place of what has it.

    The caller holds a lock, so a folder with that other name is what an interrupted run has left.
    """
    partial = kept.with_name(f"{kept.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(kept, ignore_errors=True)
        partial.rename(kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _install(root: Path, step: Step) -> None:
    step.detail = f"asking {INSTALLER}"
    if not installer_answers():
        raise Unavailable(f"{INSTALLER} does not answer")
    step.detail = f"downloading the Pulumi CLI {VERSION}"
    try:
        from pulumi.automation import PulumiCommand
        from semver import VersionInfo

        PulumiCommand.install(root=str(root), version=VersionInfo(*PIN))
    except Exception as error:  # whatever it is, it is reported and the next way is tried
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    step.result = f"Pulumi CLI {VERSION} downloaded"


def _build(root: Path, step: Step) -> None:
    go_build.build(root / "bin", VERSION, step)
    step.result = f"Pulumi CLI {VERSION} built from source"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(ensure_pulumi())
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What Go has compiled is kept; the next run goes on from there.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
