"""The kubernetes plug-in's hooks, called as its base calls them (`test_eks_engine.py` runs all of it)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local_aws import manifests
from local_aws.kubernetes_plugin import AUTONAMED, KubernetesPlugin
from local_aws.provider import Refused
from local_aws.values import UNKNOWN, Asset, Props, Secret, plain


def urn(token: str, name: str = "thing") -> str:
    return f"urn:pulumi:s::p::{token}::{name}"


DEPLOYMENT = urn("kubernetes:apps/v1:Deployment", "router")
SECRET = urn("kubernetes:core/v1:Secret")
RELEASE = urn("kubernetes:helm.sh/v3:Release", "keda")


def deployment(**changes: Any) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": "r"}}, "spec": {"containers": [{"name": "r", "image": "i:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "r"}}, "template": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "router"},
        "spec": spec | changes,
    }


def config_map(name: str | None = "settings", **data: Any) -> dict[str, Any]:
    metadata = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def plugin(folder: Path, config: Props | None = None, **environment: str) -> KubernetesPlugin:
    given = {
        "LOCAL_AWS_MODE": "emulate",
        "LOCAL_AWS_DIR": str(folder),
        "LOCAL_AWS_ENDPOINT": "http://127.0.0.1:1",
        "LOCAL_AWS_MOTO_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "unused",
        "AWS_SECRET_ACCESS_KEY": "unused",
    }
    made = KubernetesPlugin(given | environment)
    made.configure(config or {})
    return made


@pytest.fixture
def local(tmp_path: Path) -> KubernetesPlugin:
    return plugin(tmp_path)


def inputs_of(
    made: KubernetesPlugin, at: str, given: dict[str, Any], olds: dict[str, Any] | None = None
) -> Any:
    checked = made.check(at, olds or {}, given, b"second" if olds else b"first")
    assert checked.failures == ()
    return checked.inputs


def test_a_namespaced_object_is_written_where_it_belongs_and_removed(
    local: KubernetesPlugin, tmp_path: Path
) -> None:
    inputs = inputs_of(local, DEPLOYMENT, deployment())
    assert local.create(DEPLOYMENT, inputs, preview=True).id == ""
    assert not (tmp_path / "manifests").exists()
    made = local.create(DEPLOYMENT, inputs, preview=False)
    assert made.id == "default/router"
    file = tmp_path / "manifests" / "default" / "deployment-router.yaml"
    assert file.read_text().startswith(f"# {DEPLOYMENT}\n# fits Kubernetes {manifests.KUBERNETES_VERSION}\n")
    assert yaml.safe_load(file.read_text()) == deployment() | {
        "metadata": {"name": "router", "namespace": "default"}
    }

    more = deployment(replicas=3) | {"metadata": inputs["metadata"]}
    local.update(DEPLOYMENT, made.id, inputs, made.outputs, more, preview=False)
    assert yaml.safe_load(file.read_text())["spec"]["replicas"] == 3
    assert local.read(DEPLOYMENT, made.id, more, more) is not None

    local.delete(DEPLOYMENT, made.id, more, more)
    assert local.read(DEPLOYMENT, made.id, more, more) is None
    assert list((tmp_path / "manifests").iterdir()) == []
    local.delete(DEPLOYMENT, made.id, more, more)  # once more is no error


def test_objects_without_a_namespace_lie_together(local: KubernetesPlugin, tmp_path: Path) -> None:
    at = urn("kubernetes:core/v1:Namespace", "models")
    namespace = inputs_of(
        local, at, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}}
    )
    assert local.create(at, namespace, preview=False).id == "models"
    pool = {
        "apiVersion": "example.com/v1",
        "kind": "Pool",
        "metadata": {"name": "gpu"},
        "spec": {"weight": 1},
    }
    at = urn("kubernetes:example.com/v1:Pool")
    local.create(at, inputs_of(local, at, pool), preview=False)
    files = {path.name: path.read_text() for path in (tmp_path / "manifests" / "_cluster").iterdir()}
    assert files.keys() == {"namespace-models.yaml", "pool-gpu.yaml"}
    assert "# no schema to judge it by" in files["pool-gpu.yaml"]


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"replicas": "two"}, "spec.replicas", "'two' is not of type"),
        ({"replica": 2}, "spec", "'replica' was unexpected"),
        ({"template": {"spec": {}}}, "spec.template.spec", "'containers' is a required property"),
        (
            {"template": {"spec": {"containers": [{"image": "i"}]}}},
            "spec.template.spec.containers[0]",
            "'name' is a",
        ),
    ],
)
def test_an_object_that_does_not_fit_is_refused(
    local: KubernetesPlugin, changes: dict[str, Any], path: str, reason: str
) -> None:
    ((at, why),) = local.check(DEPLOYMENT, {}, deployment(**changes), b"").failures
    assert at == path
    assert reason in why


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (config_map("../../escaped"), "metadata.name"),
        (config_map("Upper"), "metadata.name"),
        (config_map("a" * 254), "metadata.name"),
        (config_map() | {"metadata": {"name": "a", "namespace": "../up"}}, "metadata.namespace"),
        (config_map() | {"kind": "../Up"}, "kind"),
    ],
)
def test_names_that_the_api_server_would_refuse_are_refused(
    local: KubernetesPlugin, document: dict[str, Any], path: str
) -> None:
    failures = local.check(urn("kubernetes:core/v1:ConfigMap"), {}, document, b"").failures
    assert [at for at, _ in failures] == [path]


def test_role_names_may_have_colons(local: KubernetesPlugin) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:x"},
    }
    inputs_of(local, urn("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"), role)


def test_a_custom_kind_is_not_judged_by_a_builtin_of_the_same_name() -> None:
    own = {"apiVersion": "apps.example.com/v1", "kind": "Deployment", "spec": {"anything": True}}
    assert not manifests.has_schema(own)
    assert manifests.has_schema({"apiVersion": "apps/v1", "kind": "Deployment"})
    assert manifests.has_schema({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"})


def test_what_a_preview_does_not_know_is_judged_later(local: KubernetesPlugin) -> None:
    unknown = deployment(replicas=UNKNOWN) | {"metadata": {"name": UNKNOWN, "namespace": UNKNOWN}}
    assert local.check(DEPLOYMENT, {}, unknown, b"").failures == ()
    assert local.check(DEPLOYMENT, {}, deployment() | {"metadata": UNKNOWN}, b"").failures == ()
    assert local.check(DEPLOYMENT, {}, deployment(replicas=UNKNOWN, replica=1), b"").failures


def test_an_automatic_name_stays_and_a_replacement_gets_a_new_one(local: KubernetesPlugin) -> None:
    at = urn("kubernetes:core/v1:ConfigMap", "settings")
    first = inputs_of(local, at, config_map(None, a="1"))
    name = first["metadata"]["name"]
    assert name.startswith("settings-")
    assert first["metadata"]["annotations"] == {AUTONAMED: "true"}

    again = inputs_of(local, at, config_map(None, a="2"), olds=first)
    assert again["metadata"] == first["metadata"]
    diff = local.diff(at, f"default/{name}", first, first, again)
    assert (set(diff.replaces), diff.delete_before_replace) == ({"data"}, False)

    assert local.check(at, {}, config_map(None), b"other seed").inputs["metadata"]["name"] != name
    named = inputs_of(local, at, config_map("own"), olds=first)["metadata"]
    assert named == {"name": "own", "namespace": "default"}


def test_a_plan_names_the_same_thing_alike(tmp_path: Path) -> None:
    planned = plugin(tmp_path, LOCAL_AWS_MODE="plan")
    at = urn("kubernetes:core/v1:ConfigMap", "settings")
    names = [
        planned.check(at, {}, config_map(None), seed).inputs["metadata"]["name"] for seed in (b"1", b"2")
    ]
    assert names[0] == names[1]
    old, new = planned.check(at, {}, config_map(None, a="1"), b"").inputs, config_map(None, a="2")
    new = planned.check(at, old, new, b"").inputs
    assert planned.diff(at, "id", old, old, new).delete_before_replace


@pytest.mark.parametrize(
    ("kind", "old", "new", "replaced"),
    [
        ("Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, set()),
        ("Deployment", {"spec": {"selector": {"a": "1"}}}, {"spec": {"selector": {"a": "2"}}}, {"spec"}),
        ("Deployment", {"spec": {"selectors": 1}}, {"spec": {"selectors": 2}}, set()),
        ("Deployment", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, {"metadata"}),
        ("Deployment", {"metadata": {"namespace": "a"}}, {"metadata": {"namespace": "b"}}, {"metadata"}),
        (
            "Deployment",
            {"metadata": {"labels": {"name": "a"}}},
            {"metadata": {"labels": {"name": "b"}}},
            set(),
        ),
        ("Service", {"spec": {"clusterIP": "1"}}, {"spec": {"clusterIP": "2"}}, {"spec"}),
        ("RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}, {"roleRef"}),
        ("Secret", {"stringData": {"a": "1"}}, {"stringData": {"a": "2"}}, {"stringData"}),
        ("ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}, {"data"}),
    ],
)
def test_immutable_properties_force_a_replacement(
    local: KubernetesPlugin, kind: str, old: dict[str, Any], new: dict[str, Any], replaced: set[str]
) -> None:
    at = urn(f"kubernetes:any/v1:{kind}")
    diff = local.diff(at, "id", {"kind": kind} | old, {}, {"kind": kind} | new)
    assert diff.paths
    assert diff.replaces == replaced


def test_a_given_name_that_stays_is_freed_before_the_replacement(local: KubernetesPlugin) -> None:
    at = urn("kubernetes:core/v1:ConfigMap")
    diff = local.diff(at, "id", config_map("own", a="1"), {}, config_map("own", a="2"))
    assert diff.delete_before_replace
    diff = local.diff(at, "id", config_map("own", a="1"), {}, config_map("other", a="1"))
    assert (set(diff.replaces), diff.delete_before_replace) == ({"metadata"}, False)


def test_content_is_mutable_where_the_provider_says_so(tmp_path: Path) -> None:
    mutable = plugin(tmp_path, {"enableConfigMapMutable": "true"})
    diff = mutable.diff(urn("kubernetes:core/v1:ConfigMap"), "id", config_map(a="1"), {}, config_map(a="2"))
    assert diff.replaces == set()


def test_no_secret_is_written_in_clear_text(local: KubernetesPlugin, tmp_path: Path) -> None:
    given = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token"},
        "stringData": {"key": "hunter2"},
    }
    inputs = inputs_of(local, SECRET, given)
    assert inputs["stringData"] == Secret({"key": "hunter2"})  # the state encrypts it
    local.create(SECRET, inputs, preview=False)
    marked = deployment(template=Secret(deployment()["spec"]["template"]))
    marked["spec"]["template"].value["spec"]["containers"][0]["env"] = [{"name": "T", "value": "hunter2"}]
    local.create(DEPLOYMENT, inputs_of(local, DEPLOYMENT, marked), preview=False)
    values = {"password": Secret("hunter2"), "file": Asset("abc", False, {"path": "/x"})}
    local.create(RELEASE, inputs_of(local, RELEASE, {"chart": "keda", "values": values}), preview=False)
    texts = [path.read_text() for path in (tmp_path / "manifests").rglob("*.yaml")]
    assert len(texts) == 3
    assert not any("hunter2" in text for text in texts)

    secret = tmp_path / "manifests" / "default" / "secret-token.yaml"
    (first,) = yaml.safe_load(secret.read_text())["stringData"].values()
    local.update(
        SECRET, "", inputs, inputs, inputs | {"stringData": Secret({"key": "hunter3"})}, preview=False
    )
    (second,) = yaml.safe_load(secret.read_text())["stringData"].values()
    assert first != second  # the digest tells that it changed


def test_a_helm_release_is_recorded_and_not_run(local: KubernetesPlugin, tmp_path: Path) -> None:
    inputs = inputs_of(local, RELEASE, {"chart": "keda", "version": "2.17.0", "namespace": "keda"})
    assert plain(inputs["name"]).startswith("keda-")
    made = local.create(RELEASE, inputs, preview=False)
    assert made.id == f"keda/{inputs['name']}"
    assert made.outputs["status"]["status"] == "pending-install"
    (file,) = (tmp_path / "manifests" / "keda").iterdir()
    assert yaml.safe_load(file.read_text()) == {
        "apiVersion": "helm.sh/v3",
        "kind": "Release",
        "metadata": {"name": inputs["name"], "namespace": "keda"},
        "spec": {"chart": "keda", "version": "2.17.0"},
    }
    moved = inputs_of(
        local, RELEASE, {"chart": "keda", "version": "2.17.0", "namespace": "other"}, olds=inputs
    )
    assert moved["name"] == inputs["name"]
    assert local.diff(RELEASE, made.id, inputs, {}, moved).replaces == {"namespace"}


def test_a_patch_is_refused(local: KubernetesPlugin) -> None:
    ((at, why),) = local.check(urn("kubernetes:core/v1:ConfigMapPatch"), {}, config_map(), b"").failures
    assert (at, "live cluster" in why) == ("kind", True)


def test_plan_mode_writes_only_where_it_is_told_and_never_beside_a_real_state(tmp_path: Path) -> None:
    scratch = tmp_path / "state"
    scratch.mkdir()
    settings = {"LOCAL_AWS_MODE": "plan", "PULUMI_BACKEND_URL": f"file://{scratch}"}
    real = plugin(tmp_path, None, **settings)
    inputs = inputs_of(real, DEPLOYMENT, deployment())
    for call in (
        lambda: real.create(DEPLOYMENT, inputs, preview=False),
        lambda: real.update(DEPLOYMENT, "", inputs, inputs, inputs, preview=False),
        lambda: real.delete(DEPLOYMENT, "", inputs, inputs),
    ):
        with pytest.raises(Refused, match="plan mode makes nothing"):
            call()
    (scratch / ".scratch-backend").touch()
    real.create(DEPLOYMENT, inputs, preview=False)
    assert not (tmp_path / "manifests").exists()
    assert real.read(DEPLOYMENT, "default/router", inputs, inputs) is not None

    told = plugin(tmp_path, None, **settings, LOCAL_KUBERNETES_RENDER_DIR=str(tmp_path / "rendered"))
    told.create(DEPLOYMENT, inputs, preview=False)
    assert (tmp_path / "rendered" / "default" / "deployment-router.yaml").exists()
