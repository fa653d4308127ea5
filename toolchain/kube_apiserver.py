"""A kube-apiserver and its etcd, built from the Go modules that `kubernetes/go.mod` pins.

Nobody but `make validate-cluster` asks for it. Measured on one of two cores: seven minutes, once.
"""

from pathlib import Path

from toolchain import cli, go_build
from toolchain.progress import Step

MODULE = Path(__file__).with_name("kubernetes")
_KUBERNETES, _ETCD = "k8s.io/kubernetes", "go.etcd.io/etcd/server/v3"
VERSION = go_build.pinned(MODULE, _KUBERNETES).removeprefix("v")
"""Of Kubernetes; its minor version is the one that the manifests are written for."""


def folder() -> Path:
    """Where `kube-apiserver` and `etcd` are kept, once they are there."""
    etcd = go_build.pinned(MODULE, _ETCD)
    return cli.cache_directory() / f"kubernetes-v{VERSION}-etcd-{etcd}"


def built() -> bool:
    """Whether they are there."""
    return folder().is_dir()


def ensure(step: Step) -> Path:
    """Their folder; they are built first where they are not there.

    Raises:
        Unavailable: they cannot be built; the message says why.
    """
    with cli.locked(cli.cache_directory() / "kubernetes.lock", step):
        if not built():
            step.detail = "building kube-apiserver and etcd: many minutes, once"
            with cli.whole(folder()) as partial:
                _build(partial, step)
        step.result = f"kube-apiserver {VERSION} at {folder()}"
    return folder()


def _build(directory: Path, step: Step) -> None:
    packages = [f"{_KUBERNETES}/cmd/kube-apiserver", _ETCD]
    version = {"k8s.io/component-base/version.gitVersion": f"v{VERSION}"}
    go_build.compile_programs(MODULE, packages, directory, version, step, politely=True)
    (directory / "server").rename(directory / "etcd")
