"""The API server that is built on demand: its version, and what the cache holds when a build ends early."""

import os
import re
import threading
from pathlib import Path

import pytest

from environments.cluster import Cluster
from local_aws import manifests
from toolchain import go_build, kube_apiserver
from toolchain.progress import Step

FAKE_GO = """#!/bin/sh
case "$1" in
env) printf 'go1.99.0\\nlocal\\n'; exit ;;
esac
for word; do [ "$previous" = -o ] && into="$word"; previous="$word"; done
echo "$@" >> "$FAKE_LOG"
touch "$into/kube-apiserver" || exit 1
[ -n "$FAKE_FAILURE" ] && { echo "$FAKE_FAILURE"; exit 1; }
touch "$into/server"
"""


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and a `go` that builds in no time; its log has a line a build."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def step() -> Step:
    return Step("api server", threading.Event())


def test_it_is_of_the_clusters_version_and_of_the_schemas() -> None:
    minor = kube_apiserver.VERSION.rpartition(".")[0]
    assert Cluster().kubernetes_version == minor
    assert manifests.KUBERNETES_VERSION.rpartition(".")[0] == minor


def test_every_library_of_kubernetes_is_of_the_same_release() -> None:
    text = (kube_apiserver.MODULE / "go.mod").read_text()
    replaced = re.findall(r"^\s(k8s\.io/\S+) => (\S+) v0\.(\S+)$", text, re.MULTILINE)
    assert len(replaced) >= 30
    assert {(to == name, f"1.{version}") for name, to, version in replaced} == {
        (True, kube_apiserver.VERSION)
    }


def test_both_programs_are_built_once_and_with_restraint(log: Path) -> None:
    assert not kube_apiserver.built()
    folder = kube_apiserver.ensure(step())
    assert kube_apiserver.ensure(step()) == folder
    assert {path.name for path in folder.iterdir()} == {"kube-apiserver", "etcd"}
    [line] = log.read_text().splitlines()
    assert line.split().count("-p") == 1
    assert f"gitVersion=v{kube_apiserver.VERSION}" in line


def test_a_failed_build_leaves_nothing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAILURE", "main.go:1: no space left on device")
    with pytest.raises(go_build.Unavailable, match="no space left on device"):
        kube_apiserver.ensure(step())
    assert not kube_apiserver.built()
    assert not list(kube_apiserver.folder().parent.glob("*.partial"))


def test_without_go_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(go_build.Unavailable, match="no `go` on PATH"):
        kube_apiserver.ensure(step())
