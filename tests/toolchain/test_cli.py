"""Which CLI is taken, what the cache may hold, and what is said when none can be had."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolchain import cli, go_build
from toolchain.progress import Step, Stopped

ROOT = Path(__file__).parents[2]

FAKE_GO = """#!/bin/sh
case "$1" in
env) printf '%s\\n%s\\n' "${FAKE_GO_VERSION:-go1.99.0}" "${FAKE_GOTOOLCHAIN:-local}"; exit ;;
list) echo "$FAKE_SDK"; exit ;;
esac
echo build >> "$FAKE_LOG"
for word; do [ "$previous" = -o ] && into="$word"; previous="$word"; done
echo 'go: downloading example.com/module v1.0.0'
echo example.com/module/package
printf '#!/bin/sh\\necho v%s\\n' "${FAKE_BUILDS:-@PIN@}" > "$into/pulumi"
[ -n "$FAKE_FAILURE" ] && { echo "$FAKE_FAILURE"; exit 1; }
/bin/sleep "${FAKE_SECONDS:-0}"
/bin/chmod +x "$into/pulumi"
""".replace("@PIN@", cli.VERSION)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def pulumi_that_says(path: Path, version: str) -> Path:
    return script(path, f"#!/bin/sh\necho {version}\n")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH and cache, and no network: the proxy it is told to use refuses."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    cli.installer_answers.cache_clear()
    return tmp_path


@pytest.fixture
def go(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` that builds a script in no time; returns its log, a line per build."""
    script(machine / "bin" / "go", FAKE_GO)
    script(machine / "sdk" / "python" / "cmd" / go_build.EXECUTOR, "")
    monkeypatch.setenv("FAKE_SDK", str(machine / "sdk"))
    monkeypatch.setenv("FAKE_LOG", str(machine / "log"))
    return machine / "log"


@pytest.fixture
def kept(machine: Path) -> Path:
    return machine / "cache" / "inference-platform" / f"pulumi-v{cli.VERSION}" / "bin"


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The official installer within reach; returns the versions that it was asked for."""
    asked: list[str] = []

    def install(root: str, version: object) -> None:
        asked.append(str(version))
        pulumi_that_says(Path(root) / "bin" / "pulumi", f"v{version}")
        script(Path(root) / "bin" / cli.LANGUAGE_HOST, "")

    monkeypatch.setattr(cli, "installer_answers", lambda: True)
    monkeypatch.setattr("pulumi.automation.PulumiCommand.install", install)
    return asked


def builds(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_version_is_the_one_that_go_mod_pins() -> None:
    assert f"github.com/pulumi/pulumi/pkg/v3 v{cli.VERSION}" in (go_build.MODULE / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/sdk/v3 v{cli.VERSION}" in (go_build.MODULE / "go.mod").read_text()


@pytest.mark.parametrize("version", [f"v{cli.VERSION}", "3.259.1", "v3.300.0", "v3.260.0-alpha.1+dirty"])
def test_a_cli_on_path_that_fits_is_taken(machine: Path, version: str) -> None:
    pulumi = pulumi_that_says(machine / "bin" / "pulumi", version)
    script(machine / "bin" / cli.LANGUAGE_HOST, "")
    assert cli.ensure_pulumi() == pulumi


@pytest.mark.parametrize("version", ["v3.258.9", "v2.999.0", "v4.0.0", "3", "''"])
def test_a_cli_on_path_of_another_version_is_passed_over(
    machine: Path, go: Path, kept: Path, version: str
) -> None:
    pulumi_that_says(machine / "bin" / "pulumi", version)
    script(machine / "bin" / cli.LANGUAGE_HOST, "")
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_a_cli_on_path_that_does_not_run_is_passed_over(machine: Path, go: Path, kept: Path) -> None:
    script(machine / "bin" / "pulumi", "#!/bin/sh\nexit 1\n")
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_a_cli_on_path_without_its_language_host_is_passed_over(machine: Path, go: Path, kept: Path) -> None:
    pulumi_that_says(machine / "bin" / "pulumi", cli.VERSION)
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_the_language_host_is_looked_for_beside_what_a_link_points_to(machine: Path) -> None:
    pulumi = pulumi_that_says(machine / "opt" / "pulumi", cli.VERSION)
    (machine / "bin").mkdir()
    (machine / "bin" / "pulumi").symlink_to(pulumi)
    assert cli.needs_language_host(machine / "bin" / "pulumi")
    script(machine / "opt" / cli.LANGUAGE_HOST, "")
    assert not cli.needs_language_host(machine / "bin" / "pulumi")


def test_the_cli_is_built_once_and_kept_with_its_executor(go: Path, kept: Path) -> None:
    assert cli.find() is None
    assert cli.ensure_pulumi() == cli.ensure_pulumi() == cli.find() == kept / "pulumi"
    assert builds(go) == 1
    assert (kept / go_build.EXECUTOR).exists()
    assert cli.needs_language_host(kept / "pulumi")


def test_the_official_installer_is_preferred_to_a_build(go: Path, kept: Path, installer: list[str]) -> None:
    pulumi = cli.ensure_pulumi()
    assert pulumi == kept / "pulumi"
    assert installer == [cli.VERSION]
    assert builds(go) == 0
    assert not cli.needs_language_host(pulumi)


def test_an_installer_that_fails_gives_way_to_a_build(
    go: Path, kept: Path, installer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(**_: object) -> None:
        raise subprocess.CalledProcessError(22, ["install.sh"])

    monkeypatch.setattr("pulumi.automation.PulumiCommand.install", install)
    assert cli.ensure_pulumi() == kept / "pulumi"
    assert builds(go) == 1 and not installer


def test_a_half_built_cache_is_never_used(go: Path, kept: Path) -> None:
    partial = kept.parent.with_name(f"{kept.parent.name}.partial") / "bin"
    pulumi_that_says(partial / "pulumi", cli.VERSION)
    (partial / "junk").touch()
    assert cli.find() is None
    assert cli.ensure_pulumi() == kept / "pulumi"
    assert builds(go) == 1
    assert not (kept / "junk").exists() and not partial.exists()


@pytest.mark.parametrize("broken", ["wrong version", "does not run", "missing"])
def test_a_cache_that_holds_something_else_is_built_again(go: Path, kept: Path, broken: str) -> None:
    kept.mkdir(parents=True)
    if broken == "wrong version":
        pulumi_that_says(kept / "pulumi", "v3.260.0")
    elif broken == "does not run":
        (kept / "pulumi").write_bytes(b"\x7fELF")
    assert cli.ensure_pulumi() == kept / "pulumi"
    assert builds(go) == 1
    assert cli.installed_version(kept / "pulumi") == cli.PIN


def test_a_failed_build_leaves_nothing_and_the_next_one_succeeds(
    go: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILURE", "module.go:1: no space left on device")
    with pytest.raises(go_build.Unavailable, match="no space left on device"):
        cli.ensure_pulumi()
    assert [found.name for found in kept.parents[1].iterdir()] == ["pulumi.lock"]
    monkeypatch.delenv("FAKE_FAILURE")
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_a_build_of_another_version_is_not_kept(
    go: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BUILDS", "3.1.0")
    with pytest.raises(go_build.Unavailable, match=f"is not {cli.VERSION}"):
        cli.ensure_pulumi()
    assert not kept.exists()


def start() -> subprocess.Popen[str]:
    """`python -m toolchain.cli`, as a process of its own."""
    command = [sys.executable, "-m", "toolchain.cli"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_of_two_that_start_at_once_one_builds_and_both_get_it(
    go: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "2")
    said = [process.communicate(timeout=60)[0] for process in [start(), start()]]
    assert said == [f"{kept / 'pulumi'}\n"] * 2
    assert builds(go) == 1


def test_an_interrupted_build_ends_and_leaves_nothing(
    go: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "600")
    with start() as process:
        while not builds(go):
            assert process.poll() is None
        process.terminate()
        assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert not kept.parent.exists()
    monkeypatch.setenv("FAKE_SECONDS", "0")
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_a_killed_build_is_not_taken_for_whole(go: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "2")
    with start() as process:
        while not builds(go):
            assert process.poll() is None
        process.kill()
    assert cli.find() is None
    monkeypatch.setenv("FAKE_SECONDS", "0")
    assert cli.ensure_pulumi() == kept / "pulumi"


def test_with_nothing_at_hand_one_message_tells_what_was_tried_and_what_helps(machine: Path) -> None:
    with pytest.raises(go_build.Unavailable) as failed:
        cli.ensure_pulumi()
    said = str(failed.value)
    assert "`pulumi` on PATH: there is none" in said
    assert f"the official installer: {cli.INSTALLER} does not answer" in said
    assert "a build from the Go module proxy: there is no `go` on PATH" in said
    assert "https://www.pulumi.com/docs/install/" in said and f"Go {go_build.required_go()}" in said


def test_the_command_says_it_once_and_fails(machine: Path) -> None:
    with start() as process:
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 1 and printed == ""
    assert said.count("No Pulumi CLI could be had") == 1 and "Traceback" not in said


def test_why_go_cannot_download_is_told_in_a_line(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("go", path=os.defpath + ":/usr/local/go/bin")
    if real is None:
        pytest.skip("no go on this machine")
    (machine / "bin").mkdir()
    (machine / "bin" / "go").symlink_to(real)
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOMODCACHE", str(machine / "modules"))
    with pytest.raises(go_build.Unavailable, match="proxy: module lookup disabled by GOPROXY=off\n"):
        cli.ensure_pulumi()


@pytest.mark.parametrize(
    ("version", "choice", "builds_it"),
    [("go1.20.14", "auto", False), ("go1.24.3", "local", False), ("", "", False), ("go1.24.3", "auto", True)],
)
def test_a_go_that_is_too_old_is_named(
    go: Path, monkeypatch: pytest.MonkeyPatch, version: str, choice: str, builds_it: bool
) -> None:
    monkeypatch.setenv("FAKE_GO_VERSION", version or " ")
    monkeypatch.setenv("FAKE_GOTOOLCHAIN", choice or " ")
    if builds_it:
        assert cli.ensure_pulumi()
        return
    with pytest.raises(go_build.Unavailable) as failed:
        cli.ensure_pulumi()
    assert f"needs go{go_build.required_go()} or newer" in str(failed.value)
    assert (version or "broken") in str(failed.value)


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def answering() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_host_that_refuses_answers_and_one_that_is_silent_does_not(
    answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "INSTALLER", answering)
    assert cli.installer_answers()
    cli.installer_answers.cache_clear()
    monkeypatch.setattr(cli, "ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(cli, "INSTALLER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert not cli.installer_answers()


def test_what_go_build_does_is_told_in_numbers() -> None:
    describe = go_build._describer([go_build.PACKAGE])
    assert describe("go: downloading example.com/a v1.2.3\n") == "downloading Go module 1: example.com/a"
    assert describe("example.com/a/b\n") == "compiling Go package 1: example.com/a/b"
    assert describe(f"{go_build.PACKAGE}\n").startswith("compiling and linking the last of 2")


def test_the_language_host_is_installed_beside_a_link_to_the_cli(machine: Path, kept: Path) -> None:
    pulumi_that_says(kept / "pulumi", cli.VERSION)
    into = machine / "a directory"
    pulumi = cli.install_language_host(kept / "pulumi", into, Path("/opt/my python/bin/python"))
    assert pulumi == into / "pulumi" and pulumi.samefile(kept / "pulumi")
    assert not cli.needs_language_host(pulumi)
    launcher = (into / cli.LANGUAGE_HOST).read_text()
    assert launcher.startswith("#!/bin/sh\nexec '/opt/my python/bin/python' -P ")
    assert launcher.endswith(f'/toolchain/language_host.py {kept / go_build.EXECUTOR} "$@"\n')

    pulumi_that_says(kept / "newer", "v3.300.0").replace(kept / "pulumi")
    cli.install_language_host(kept / "pulumi", into, Path(sys.executable))
    assert cli.installed_version(pulumi) == (3, 300, 0)
    assert sorted(found.name for found in into.iterdir()) == ["pulumi", cli.LANGUAGE_HOST]


def test_waiting_for_the_lock_ends_when_the_run_does(machine: Path) -> None:
    path, stop = machine / "cache" / "some.lock", threading.Event()
    waiter = Step("waiter", stop)
    with cli.locked(path, Step("holder", threading.Event())):
        stop.set()
        with pytest.raises(Stopped), cli.locked(path, waiter):
            pytest.fail("the lock was given twice")
    assert str(path) in waiter.detail
