"""Drift: what is captured, and that it tells changed traffic from chance, on the real digits model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from serving import drift, drift_report
from serving.capture import Capture
from serving.manifest import FILE_NAME, Manifest
from serving.oip import InferRequest, InferResponse
from serving.recipes.digits import SEED
from serving.runtime import Model
from serving.tensors import Array

ROWS = 400
THRESHOLD = 0.2


def unseen() -> Array:
    """Images that the model was not trained on."""
    images, labels = load_digits(return_X_y=True)
    _, test, _, _ = train_test_split(images, labels, test_size=0.25, random_state=SEED, stratify=labels)
    return np.asarray(test, np.float32)


@pytest.fixture(scope="module")
def held_out() -> Array:
    return unseen()


@pytest.fixture(scope="module")
def model(digits: Path) -> Model:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    return Model(manifest, (digits / manifest.file).read_bytes())


def asked(model: Model, images: Array, **settings: Any) -> list[dict[str, Any]]:
    """The records of requests of 20 images each."""
    records: list[bytes] = []
    capture = Capture(records.append, **{"share": 1.0, "flush_s": 0.0, **settings})
    for start in range(0, len(images), 20):
        request = InferRequest({"image": images[start : start + 20]}, ("label", "probabilities"))
        capture(model.manifest, request, model.infer(request))
    return [json.loads(record) for record in records]


def compared(model: Model, images: Array) -> drift.Drift:
    return drift.compare("digits", "v1", model.manifest.baseline, asked(model, images))


@pytest.mark.parametrize("seed", range(20))
def test_undrifted_traffic_is_no_drift_and_changed_traffic_is(
    model: Model, held_out: Array, seed: int
) -> None:
    drawn = np.random.default_rng(seed)
    images = held_out[drawn.choice(len(held_out), ROWS)]
    same = compared(model, images)
    assert same.rows == ROWS
    assert same.psi is not None
    assert same.psi < THRESHOLD
    noisy = np.clip(images + drawn.normal(0, 4, images.shape), 0, 16).astype(np.float32)
    for changed in (16 - images, noisy):
        found = compared(model, changed)
        assert found.psi is not None
        assert found.psi > THRESHOLD


def test_one_class_asked_more_often_shows_in_the_predicted_class(model: Model, held_out: Array) -> None:
    request = InferRequest({"image": held_out}, ("label",))
    labels = model.infer(request).outputs["label"]
    ones = held_out[labels == 1]
    images = np.concatenate([held_out[:100], ones[np.arange(300) % len(ones)]])
    found = compared(model, images)
    [classes] = [shift for shift in found.shifts if shift.name == "label"]
    assert classes.psi > THRESHOLD
    assert classes.p_value < 1e-6


def test_no_data_is_said_and_is_not_zero(model: Model, held_out: Array) -> None:
    for images, reason in ((held_out[:0], "no data: 0 rows"), (held_out[:40], "no data: 40 rows")):
        found = compared(model, images)
        assert found.psi is None
        assert found.missing.startswith(reason)
        assert found.missing in drift_report.render(found, THRESHOLD, "now")
    other = drift.compare("digits", "v2", model.manifest.baseline, asked(model, held_out))
    assert (other.rows, other.psi) == (0, None)
    bare = drift.compare("digits", "v1", {}, asked(model, held_out))
    assert bare.missing == "no data: the manifest has no baseline for what was captured"


def test_a_record_has_counts_and_no_row_unless_it_is_asked_for(model: Model, held_out: Array) -> None:
    [record] = asked(model, held_out[:20])
    assert record.keys() == {"model", "version", "at", "until", "rows", "inputs", "outputs"}
    assert all(sum(counts) == 20 for counts in record["inputs"]["image"])
    assert sum(record["outputs"]["label"].values()) == 20
    [with_rows] = asked(model, held_out[:20], raw=True)
    assert with_rows["raw"][0]["image"] == held_out[:20].tolist()


def test_a_share_of_the_requests_is_counted(model: Model, held_out: Array) -> None:
    images = np.tile(held_out[:1], (20 * 400, 1))
    rows = sum(record["rows"] for record in asked(model, images, share=0.25))
    assert 20 * 60 < rows < 20 * 140
    assert asked(model, images, share=0.0) == []


def test_a_stream_that_is_away_and_odd_inputs_lose_a_record_and_no_request(
    model: Model, held_out: Array
) -> None:
    def away(record: bytes) -> None:
        raise OSError("no route to Firehose")

    capture = Capture(away, share=1.0, flush_s=0.0)
    request = InferRequest({"image": held_out[:1]}, ("label",))
    capture(model.manifest, request, model.infer(request))
    records: list[bytes] = []
    capture = Capture(records.append, share=1.0, flush_s=0.0)
    for odd in (np.full((1, 64), np.nan, np.float32), np.zeros((1, 63), np.float32), np.array([["a"]], "O")):
        response = InferResponse("digits", "v1", {"label": np.array([1])})
        capture(model.manifest, InferRequest({"image": odd}, ("label",)), response)
    assert [json.loads(record)["inputs"] for record in records] == [{}, {}, {}]


def test_statistics_are_those_of_the_literature() -> None:
    """Against scipy, on samples whose bins are their values."""
    drawn = np.random.default_rng(7)
    one, two = drawn.integers(0, 12, 5_000), drawn.integers(0, 11, 800)
    p, q = np.bincount(one, minlength=12), np.bincount(two, minlength=12)
    distance, p_value = drift.kolmogorov_smirnov(p.astype(float), q.astype(float))
    expected = stats.ks_2samp(one, two, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    scaled = distance * np.sqrt(5_000 * 800 / 5_800)
    assert p_value == pytest.approx(stats.kstwobign.sf(scaled), rel=1e-9)
    for freedom in (2, 9, 15):
        quantile = drift.chance(freedom + 1, 100, 100) * 50
        exact = stats.chi2.isf(1e-5, freedom)
        assert 0.99 * exact < quantile < 1.08 * exact
    assert drift.psi(np.array([50.0, 50.0]), np.array([60.0, 40.0])) == pytest.approx(
        0.1 * np.log(1.2) - 0.1 * np.log(0.8)
    )


def test_the_report_shows_what_moved_and_hides_nothing(model: Model, held_out: Array, tmp_path: Path) -> None:
    found = compared(model, 16 - held_out)
    page = drift_report.render(found, THRESHOLD, "24 hours until noon")
    assert "drifted: the largest index is" in page
    assert page.count("<svg") == 12
    assert page.count("<tr>") == 1 + len(found.shifts) == 1 + 64 + 1
    assert "<script>" not in drift_report.render(
        drift.Drift("<script>", "v1", 0, (), "<script>"), 0.2, "<script>"
    )
