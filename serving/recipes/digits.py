"""Handwritten digits of 8x8 pixels: scikit-learn's bundled data set and MLP, as ONNX.

    python -m serving.recipes.digits OUTDIR [--version v1]

writes model.onnx and manifest.json into OUTDIR. Input `image`: FP32 [-1, 64], row-major pixels, 0 (paper)
to 16 (ink). Outputs `label`: INT64 [-1] and `probabilities`: FP32 [-1, 10]. One machine gives the same bytes
every time.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from serving.manifest import FILE_NAME, Golden, Manifest
from serving.oip import Signature
from serving.tensors import Array, TensorSpec

SEED = 20_250_101
# 12, the newest opset of ONNX 1.7, is all that an MLP needs.
OPSET = 12
GOLDEN_SAMPLES = 5
SIGNATURE = Signature.of(
    inputs=[TensorSpec("image", "FP32", (-1, 64))],
    outputs=[TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 10))],
)


def build(folder: Path, version: str = "v1") -> Manifest:
    """Train, measure, convert, and write model.onnx and manifest.json into `folder`."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    pipeline = _train(train_x, train_y)
    data = _convert(pipeline)
    manifest = Manifest(
        name="digits",
        version=version,
        file="model.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        signature=SIGNATURE,
        golden=tuple(_golden(pipeline, test_x, test_y)),
        metrics={"accuracy": round(float(pipeline.score(test_x, test_y)), 4), "held_out_rows": len(test_x)},
        baseline={
            "rows": len(train_x),
            "inputs": {"image": [_distribution(column) for column in train_x.T]},
            "outputs": {"label": np.bincount(pipeline.predict(train_x), minlength=10).tolist()},
        },
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / manifest.file).write_bytes(data)
    (folder / FILE_NAME).write_bytes(manifest.encode())
    return manifest


def _train(images: Array, labels: Array) -> Pipeline:
    pipeline = make_pipeline(
        MinMaxScaler(),
        MLPClassifier((64,), batch_size=128, learning_rate_init=0.005, tol=1e-3, random_state=SEED),
    )
    # Matrices this small gain nothing from threads, which on a busy machine make it 30 times slower; and the
    # order of additions, with it the last bit of a weight, depends on their number.
    with threadpool_limits(1):
        return pipeline.fit(images, labels)


def _convert(pipeline: Pipeline) -> bytes:
    """The pipeline as ONNX with plain tensors: without ZipMap, which makes a list of maps of the output."""
    model = to_onnx(
        pipeline,
        initial_types=[("image", FloatTensorType([None, 64]))],
        target_opset=OPSET,
        options={"zipmap": False, "output_class_labels": False},
    )
    rename = {"output_label": "label", "output_probability": "probabilities"}
    for node in model.graph.node:
        node.output[:] = [rename.get(name, name) for name in node.output]
        node.input[:] = [rename.get(name, name) for name in node.input]
    for output in model.graph.output:
        output.name = rename.get(output.name, output.name)
    return bytes(model.SerializeToString(deterministic=True))


def _golden(pipeline: Pipeline, images: Array, labels: Array) -> list[Golden]:
    """Held-out samples that the pipeline gets right: one each of some digits, and these in one batch."""
    right = np.flatnonzero(pipeline.predict(images) == labels)
    first = [right[labels[right] == digit][0] for digit in range(GOLDEN_SAMPLES)]
    batches = {f"digit-{digit}": [row] for digit, row in enumerate(first)} | {"batch": first}
    return [_expected(name, images[rows], pipeline) for name, rows in batches.items()]


def _expected(name: str, images: Array, pipeline: Pipeline) -> Golden:
    """What scikit-learn itself answers, so that the golden request also judges the conversion to ONNX."""
    rows = len(images)
    label, probabilities = pipeline.predict(images), pipeline.predict_proba(images)
    return Golden(
        name=name,
        request={
            "inputs": [
                {"name": "image", "datatype": "FP32", "shape": [rows, 64], "data": images.ravel().tolist()}
            ]
        },
        outputs=(
            {"name": "label", "datatype": "INT64", "shape": [rows], "data": label.tolist()},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [rows, 10],
                "data": probabilities.ravel().tolist(),
            },
        ),
        absolute=1e-4,
        relative=1e-3,
    )


def _distribution(values: Array) -> dict[str, Any]:
    """Mean, deviation and histogram of a feature.

    `counts` has one more entry than `cuts`: values up to the first cut, between cuts, above the last. Cuts
    are deciles, fewer where they coincide; the open outer bins catch what leaves the training range.
    """
    cuts = np.unique(np.quantile(values, np.linspace(0, 1, 11)))
    counts = np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)
    return {
        "mean": round(float(values.mean()), 6),
        "std": round(float(values.std()), 6),
        "cuts": cuts.tolist(),
        "counts": counts.tolist(),
    }


def main() -> None:
    """Command line of this recipe."""
    parser = argparse.ArgumentParser(description="Train the digits model and write it with its manifest.")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--version", default="v1", help="version to write into the manifest (default: v1)")
    arguments = parser.parse_args()
    manifest = build(arguments.outdir, arguments.version)
    print(
        f"digits {manifest.version}: accuracy {manifest.metrics['accuracy']}, {manifest.size} bytes, "
        f"sha256 {manifest.sha256}, in {arguments.outdir}"
    )


if __name__ == "__main__":
    main()
