"""Environment files: what is wrong is one line that names file, key and remedy; what is right is read."""

import json
import re
import shutil
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments import compute, loader
from environments.catalogue import LambdaModel
from environments.loader import PREFIX, EnvironmentInvalid
from environments.schema import Environment
from tests.components.programs import engine_config

VALID: Mapping[str, Any] = {
    "account_id": "111111111111",
    "owner": "platform-team",
    "cost_center": "ml",
    "identity": {"domain_prefix": "inference-trial"},
    "tenants": [{"name": "acme"}],
}
SECRET = "arn:aws:secretsmanager:us-east-1:111111111111:secret:ecr-pullthroughcache/x-AbCdEf"
REGISTRIES = {"registries": {"public.ecr.aws": None, "ghcr.io": SECRET, "docker.io": SECRET}}
REPOSITORY = {"owner": "example", "repository": "models"}
GITHUB = {**REPOSITORY, "github_environment": "trial"}
VLLM = {
    "backend": "eks",
    "engine": "vllm",
    "version": "v1",
    "accelerator": "g6e.xlarge",
    "weights_gib": 15,
    "scale": {"min": 0, "max": 1},
}
MODELS = """\
digits: {backend: lambda, version: v1, memory_mb: 1024, slo: {p99_ms: 300, availability: 99.9}}
fraud: {backend: lambda, version: v2}
"""

Write = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments with a catalogue and no environment."""
    (tmp_path / "models.yaml").write_text(MODELS)
    monkeypatch.setattr(loader, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    def write(changes: Mapping[str, Any] | str, name: str = "trial") -> str:
        """Writes an environment: `VALID` with changes (`...` leaves a key out), or the text given."""
        if not isinstance(changes, str):
            settings = {key: value for key, value in {**VALID, **changes}.items() if value is not ...}
            changes = yaml.safe_dump({"config": {PREFIX + key: value for key, value in settings.items()}})
        (folder / f"Pulumi.{name}.yaml").write_text(changes)
        return name

    return write


def refused(name: str) -> str:
    """The message with which an environment is refused."""
    with pytest.raises(EnvironmentInvalid) as caught:
        loader.from_file(name)
    # Nothing but the message is shown: no chain of errors that a user has to read through.
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "pydantic" not in "".join(traceback.format_exception_only(caught.value))
    return str(caught.value)


def test_the_valid_file_is_valid(write: Write) -> None:
    assert loader.from_file(write({})).owner == "platform-team"


BROKEN_SETTINGS: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    # what is wrong: (settings, key in the message, what the message says would do)
    "account_id too short": ({"account_id": "12"}, "account_id", r"'\^\\d\{12\}\$'"),
    "account_id a number": ({"account_id": 111111111111}, "account_id", "valid string"),
    "account_id missing": ({"account_id": ...}, "account_id", "is required .* set it"),
    "owner too short": ({"owner": "x"}, "owner", "at least 2 characters"),
    "region no region": ({"region": "Frankfurt"}, "region", "match pattern"),
    "unknown setting": ({"regoin": "us-east-1"}, "regoin", r"accepted are .*\bregion\b"),
    "unknown key in a section": (
        {"network": {"nats": "none"}},
        "network.nats",
        r"accepted are cidr, .*\bnat\b, zones",
    ),
    "unknown key of a tenant": (
        {"tenants": [{"name": "acme", "rate": 1}]},
        "tenants.0.rate",
        "accepted are burst, jobs, name, quota_per_day, rate_per_s, scopes",
    ),
    "unknown field of a model": (
        {"models": {"digits": {"memory": 1}}},
        "models.digits.memory",
        r"accepted are .*\bmemory_mb\b",
    ),
    "unknown field of a model's slo": (
        {"models": {"digits": {"slo": {"p50_ms": 1}}}},
        "models.digits.slo.p50_ms",
        "accepted are availability, p99_ms",
    ),
    "name given": ({"name": "other"}, "name", "remove this key"),
    "a word for a number": ({"logs": {"retention_days": "month"}}, "logs.retention_days", "1, 3, 5, 7"),
    "a retention that CloudWatch has not": (
        {"logs": {"retention_days": 31}},
        "logs.retention_days",
        "30, 60",
    ),
    "a choice that is none": (
        {"network": {"nat": "two"}},
        "network.nat",
        "'none', 'single' or 'one_per_az'",
    ),
    "below the range": (
        {"keys": {"deletion_window_days": 6}},
        "keys.deletion_window_days",
        "greater than or equal to 7",
    ),
    "above the range": (
        {"storage": {"results_days": 9999}},
        "storage.results_days",
        "less than or equal to 3650",
    ),
    "a fraction for a count": ({"gateway": {"burst": 1.5}}, "gateway.burst", "valid integer"),
    "OFF without quotes, which YAML reads as false": (
        {"identity": {"domain_prefix": "trial", "mfa": False}},
        "identity.mfa",
        "'ON', 'OPTIONAL' or 'OFF'",
    ),
    "a section that is a list": ({"gateway": []}, "gateway", "valid dictionary"),
    "a required section is missing": ({"identity": ...}, "identity", "is required"),
    "no tenants": ({"tenants": []}, "tenants", "at least 1 item"),
    "a tenant's scope that is none": (
        {"tenants": [{"name": "acme", "scopes": ["inference"]}]},
        "tenants.0.scopes.0",
        "'infer', 'jobs', 'deploy' or 'admin'",
    ),
    "a tenant's name with capitals": ({"tenants": [{"name": "Acme"}]}, "tenants.0.name", "match pattern"),
    "a tenant twice": ({"tenants": [{"name": "acme"}, {"name": "acme"}]}, "tenants", "unique"),
    "threat protection without its tier": (
        {"identity": {"domain_prefix": "trial", "threat_protection": "AUDIT"}},
        "identity",
        "needs tier PLUS",
    ),
    "a range that is none": ({"network": {"cidr": "10.0.0.1/16"}}, "cidr", "such as 10.0.0.0/16"),
    "a range too large": ({"network": {"cidr": "10.0.0.0/8"}}, "cidr", "/16 to /20"),
    "a zone twice": ({"network": {"zones": ["a", "a"]}}, "zones", "names a zone twice"),
    "no NAT and no endpoint for what is in the VPC": (
        {
            "network": {"nat": "none"},
            "models": {"trial": {"backend": "lambda", "version": "v1", "vpc": True}},
        },
        "network.interface_endpoints",
        r"statistics of requests \(kinesis-firehose\); add kinesis-firehose, or",
    ),
    "no NAT and a runner": (
        {
            "network": {"nat": "none"},
            "delivery": {
                **GITHUB,
                "connection_arn": "arn:aws:codeconnections:us-east-1:111111111111:connection/1",
            },
        },
        "delivery.connection_arn",
        "without NAT the runner has no way to GitHub",
    ),
    "more endpoint zones than zones": (
        {"network": {"interface_endpoint_zones": 3}},
        "interface_endpoint_zones",
        "more than the 2 zones",
    ),
    "keys in the header outside the embedded AWS": (
        {"gateway": {"api_key_source": "header"}},
        "gateway.api_key_source",
        "Use authorizer",
    ),
    "no TLS outside the embedded AWS": (
        {"storage": {"require_tls": False}},
        "storage.require_tls",
        "remove it",
    ),
    "a package that does not run there": (
        {"functions": {"package": "local"}},
        "functions.package",
        "use aws-arm64 or aws-x86_64",
    ),
    "a firewall tighter than a tenant's plan": (
        {"tenants": [{"name": "acme", "rate_per_s": 1000}]},
        "web_acl.requests_per_ip",
        "give at least",
    ),
    "registry scanning without the account": (
        {"account_baseline": "existing", "images": {"registry_scanning": "BASIC"}},
        "images.registry_scanning",
        "account_baseline: create",
    ),
    "a publisher of no model": (
        {"delivery": {**GITHUB, "publishers": {"team": {**REPOSITORY, "models": ["digit"]}}}},
        "delivery.publishers.team.models",
        "there is no model digit; choose of digits, fraud",
    ),
    "a publisher of a model that is not delivered": (
        {
            "models": {"llama": VLLM},
            "delivery": {**GITHUB, "publishers": {"team": {**REPOSITORY, "models": ["llama"]}}},
            "images": REGISTRIES,
        },
        "delivery.publishers.team.models",
        "deliveries do not move llama: vLLM .* set the model's version in environments/models.yaml",
    ),
    "a publisher whose role has too long a name": (
        {
            "delivery": {
                **GITHUB,
                "publishers": {"a-team-with-a-long-name": {**REPOSITORY, "models": ["digits"]}},
            }
        },
        "delivery.publishers",
        "match pattern",
    ),
    "production that is parked": (
        {"costs": {"parking": {}}},
        "costs.parking",
        "remove it",
    ),
    "a model that is a number": ({"models": {"digits": 5}}, "models.digits", "mapping of fields"),
    "models that are a list": ({"models": ["digits"]}, "models", "mapping of model names"),
    "models that are an empty list": ({"models": []}, "models", "mapping of model names"),
    "a model's name with capitals": (
        {"models": {"Digits": {"backend": "lambda", "version": "v1"}}},
        "models.Digits",
        "match pattern",
    ),
    "a new model without its version": (
        {"models": {"scores": {"backend": "lambda"}}},
        "models.scores",
        "version.* is required",
    ),
    "snap start and warm environments at once": (
        {"models": {"digits": {"snap_start": True, "provisioned_concurrency": 1}}},
        "models.digits",
        "set one of them",
    ),
    "more warm environments than may run": (
        {"models": {"digits": {"provisioned_concurrency": 11}}},
        "models.digits",
        "raise the latter",
    ),
}


@pytest.mark.parametrize("wrong", BROKEN_SETTINGS)
def test_a_broken_setting_is_one_line_with_file_key_and_remedy(write: Write, wrong: str) -> None:
    settings, key, remedy = BROKEN_SETTINGS[wrong]
    message = refused(write(settings))
    [line] = message.splitlines()
    assert line.startswith("environments/Pulumi.trial.yaml: ")
    assert key in line
    assert re.search(remedy, line), line


class AllBackends(Environment):
    """An environment whose models may be on any backend."""

    models: compute.Catalogue


@pytest.mark.parametrize(
    ("model", "key", "remedy"),
    [
        ({"backend": "gpu"}, "models.trial", "'lambda', 'eks', 'sagemaker'"),
        ({"backend": "eks", "accelerator": "g6.xlarge"}, "models.trial.scale", "is required"),
        (
            {"backend": "eks", "accelerator": "g6.xlarge", "scale": {"max": 1, "maxx": 2}},
            "models.trial.scale.maxx",
            "accepted are max, min, target$",
        ),
        (
            {"backend": "lambda", "memory": 1},
            "models.trial.memory",
            "accepted are backend, canary_s, drift, engine, .* version, vpc$",
        ),
        ({"backend": "eks", "accelerator": "x", "scale": {"max": 1}}, "models.trial", "choose g5.xlarge"),
    ],
)
def test_a_broken_model_of_any_backend_is_named_as_in_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any], key: str, remedy: str
) -> None:
    monkeypatch.setattr(loader, "Environment", AllBackends)
    [line] = refused(write({"models": {"trial": {"version": "v1", **model}}})).splitlines()
    assert line.startswith(f"environments/Pulumi.trial.yaml: {key}: "), line
    assert re.search(remedy, line), line


GPU_MODEL = {"backend": "eks", "version": "v1", "accelerator": "g6.xlarge", "scale": {"max": 1}}
ACCESS = {"deploy": {"principal_arn": "arn:aws:iam::111111111111:role/deploy", "level": "admin"}}


def test_a_cluster_needs_the_registries_of_its_charts(write: Write) -> None:
    [line] = refused(write({"models": {"trial": GPU_MODEL}})).splitlines()
    assert "images.registries: the cluster's charts and engines come from docker.io, ghcr.io, too" in line


def test_there_is_a_cluster_where_a_model_runs_on_it_or_it_is_asked_for(write: Write) -> None:
    assert not loader.from_file(write({})).has_cluster
    asked_for = {"images": REGISTRIES, "cluster": {"always": True, "access": ACCESS}}
    assert loader.from_file(write(asked_for)).has_cluster
    settings = {"images": REGISTRIES, "cluster": {"access": ACCESS}, "models": {"trial": GPU_MODEL}}
    with_model = loader.from_file(write(settings))
    assert with_model.has_cluster
    assert with_model.image_architectures == ["x86_64", "arm64"]
    assert with_model.cluster_settings()["gpus"] == 2  # one, and one more for an update
    assert with_model.cluster_settings()["instance_types"] == ["g6.xlarge"]


@pytest.mark.parametrize("level", [None, "view"])
def test_a_cluster_that_nobody_may_deploy_into_is_refused(write: Write, level: str | None) -> None:
    access = {"deploy": {**ACCESS["deploy"], "level": level}} if level else {}
    settings = {"images": REGISTRIES, "cluster": {"access": access}, "models": {"trial": GPU_MODEL}}
    [line] = refused(write(settings)).splitlines()
    assert "cluster.access: nobody has level admin" in line
    assert "add the role that deploys" in line


BROKEN_TEXT = {
    "not YAML": ("config: [", "not valid YAML at line 1"),
    "a list": ("- a\n", "must be a mapping, not list"),
    "config that is a list": ("config: [1]\n", "`config` must be a mapping of settings"),
    "a key of nobody's": ("config: {region: us-east-1}\n", rf"region: unknown key; .* begin with {PREFIX}"),
    "a key that is a number": (
        "config: {1: us-east-1}\n",
        rf"1: a key must be text that begins with {PREFIX}",
    ),
    "a misspelt namespace": (
        "config: {inference-plattform:region: us-east-1}\n",
        "inference-plattform:region: unknown key",
    ),
}


@pytest.mark.parametrize("wrong", BROKEN_TEXT)
def test_a_file_that_is_no_environment_is_one_line_that_says_why(write: Write, wrong: str) -> None:
    text, reason = BROKEN_TEXT[wrong]
    [line] = refused(write(text)).splitlines()
    assert line.startswith("environments/Pulumi.trial.yaml: ")
    assert re.search(reason, line), line


@pytest.mark.parametrize("text", ["", "config:\n", "config: {}\n"])
def test_an_empty_file_lists_every_setting_that_it_needs(write: Write, text: str) -> None:
    lines = refused(write(text)).splitlines()
    needed = ["account_id", "owner", "cost_center", "identity", "tenants"]
    assert lines == [
        f"environments/Pulumi.trial.yaml: {key}: is required and has no default; set it" for key in needed
    ]


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    message = refused(write({"owner": "x", "logs": {"retention_days": 2}, "regoin": 1}))
    assert [line.split(": ")[1] for line in message.splitlines()] == [
        "owner",
        "logs.retention_days",
        "regoin",
    ]


def test_an_environment_without_a_file_is_refused_with_those_there_are(write: Write) -> None:
    write({}, "one")
    write({}, "two")
    assert refused("three") == "ENV=three: there is no environments/Pulumi.three.yaml; choose one, two"


def test_a_broken_catalogue_is_named_itself(write: Write, folder: Path) -> None:
    name = write({"models": {"digits": {"memory_mb": 512}}})
    (folder / "models.yaml").write_text("digits: 5\n")
    assert refused(name) == "environments/models.yaml: digits: must be a mapping of fields, not 5"
    (folder / "models.yaml").write_text("digits: {\n")
    assert refused(name).startswith("environments/models.yaml: not valid YAML at line 2")


def test_an_environment_overrides_fields_of_a_model_and_keeps_the_others(write: Write) -> None:
    models = loader.from_file(write({"models": {"digits": {"memory_mb": 2048}}})).models
    digits = models["digits"]
    assert isinstance(digits, LambdaModel)
    assert (digits.memory_mb, digits.version) == (2048, "v1")
    assert models["digits"].slo.p99_ms == 300
    assert models["fraud"].version == "v2"


def test_null_removes_a_model(write: Write) -> None:
    assert set(loader.from_file(write({"models": {"digits": None}})).models) == {"fraud"}
    assert set(loader.from_file(write({"models": None})).models) == {"digits", "fraud"}


def test_an_environment_may_have_a_model_of_its_own(write: Write) -> None:
    settings = {"models": {"trial": {"backend": "lambda", "version": "v1"}}}
    assert set(loader.from_file(write(settings)).models) == {"digits", "fraud", "trial"}


def test_keys_of_pulumi_s_own_namespaces_are_left_alone(write: Write, folder: Path) -> None:
    name = write({})
    path = folder / f"Pulumi.{name}.yaml"
    given = yaml.safe_load(path.read_text())
    given["config"]["aws:region"] = "us-east-1"
    given["encryptionsalt"] = "v1:abc"
    path.write_text(yaml.safe_dump(given))
    assert loader.from_file(name).region == "us-east-1"


@pytest.mark.parametrize("name", loader.names())
def test_the_engine_s_config_gives_the_same_environment_as_the_file(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load((loader.FOLDER / f"Pulumi.{name}.yaml").read_text())["config"]
    monkeypatch.setenv("PULUMI_CONFIG", engine_config(config))
    assert loader.from_engine(name) == loader.from_file(name)


def test_what_the_engine_adds_on_the_command_line_counts(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {PREFIX + key: value for key, value in VALID.items()}
    given = json.loads(engine_config(config)) | {f"{PREFIX}protect": "false", f"{PREFIX}web_acl": ""}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(given))
    environment = loader.from_engine(write({}))
    assert environment.protect is False
    assert environment.web_acl is None


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_mean_the_same_in_a_file_as_they_do_to_the_engine(
    write: Write, monkeypatch: pytest.MonkeyPatch, nothing: str | None
) -> None:
    name = write({"web_acl": nothing})
    config = {PREFIX + key: value for key, value in {**VALID, "web_acl": nothing}.items()}
    monkeypatch.setenv("PULUMI_CONFIG", engine_config(config))
    assert loader.from_file(name).web_acl is None
    assert loader.from_engine(name) == loader.from_file(name)


def test_a_mistake_in_the_engine_s_config_names_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {PREFIX + key: value for key, value in VALID.items()} | {f"{PREFIX}owner": "[x"}
    monkeypatch.setenv("PULUMI_CONFIG", engine_config({**config, f"{PREFIX}protect": "maybe"}))
    with pytest.raises(EnvironmentInvalid) as caught:
        loader.from_engine("trial")
    [line] = str(caught.value).splitlines()
    assert line.startswith("the config of stack trial: protect: got 'maybe'; ")


def test_a_fifth_environment_is_one_file(folder: Path) -> None:
    source = Path(loader.__file__).parent
    for path in (*source.glob("Pulumi.*.yaml"), source / "models.yaml"):
        shutil.copy(path, folder)
    before = loader.names()
    stage = (folder / "Pulumi.stage.yaml").read_text()
    (folder / "Pulumi.canary.yaml").write_text(stage.replace("222222222222", "444444444444"))
    assert loader.names() == sorted([*before, "canary"])
    assert loader.from_file("canary").account_id == "444444444444"
    for name in before:
        loader.from_file(name)


def test_names_that_begin_alike_need_accounts_of_their_own(write: Write) -> None:
    write({}, "trial")
    assert "trial-eu begins with trial-" in refused(write({}, "trial-eu"))
    assert "trial-eu begins with trial-" in refused("trial")  # whichever of the two is looked at
    assert loader.from_file(write({}, "trials")).name == "trials"
    assert loader.from_file(write({"account_id": "222222222222"}, "trial-eu")).name == "trial-eu"


def test_an_environment_never_changes_after_loading(write: Write) -> None:
    environment = loader.from_file(write({}))
    with pytest.raises(ValueError, match="frozen"):
        environment.gateway.burst = 1  # type: ignore[misc]
