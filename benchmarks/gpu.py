"""What a GPU brings: `python -m benchmarks.gpu MODEL_DIR` on a machine with one, for the model in a folder.

Asks the model server's runtime for the same texts on the CPU and by CUDA, in turns within one run, and prints
a table. Only `serving` and an ONNX Runtime built for CUDA are needed. A text model is expected, such as
`python -m serving.recipes.minilm MODEL_DIR` writes. Exits with 1 when the answers differ.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from serving import golden, providers
from serving.oip import InferRequest
from serving.runtime import Model
from serving.store import read_folder
from serving.tensors import Array

# Texts in one request, and words in each of them: one short query up to a page of documents.
SIZES = ((1, 16), (1, 200), (8, 200), (64, 200), (256, 200))
ROUNDS = 15
# Of vectors of length 1; CUDA may multiply with 10 bits of mantissa (TF32).
TOLERANCE = 1e-3


def main() -> None:
    manifest, _, data = read_folder(Path(sys.argv[1]))
    threads = len(os.sched_getaffinity(0))
    models = {
        word: Model(manifest, data, providers.choose(word, Path(tempfile.gettempdir())), threads)
        for word in ("cpu", "cuda")
    }
    for word, model in models.items():
        if failed := golden.run(manifest, model.infer).failed:
            sys.exit(f"{word}: golden requests of {manifest.name} fail: {failed[0]['reason']}")
    print(f"| {manifest.name} | CPU, {threads} threads | CUDA | CPU / CUDA | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for texts, words in SIZES:
        request = InferRequest(
            {"text": np.array([_text(words, row) for row in range(texts)], object)}, ("embedding",)
        )
        taken: dict[str, list[float]] = {word: [] for word in models}
        answers: dict[str, Array] = {}
        for _ in range(ROUNDS):
            for word, model in models.items():
                started = time.perf_counter()
                answers[word] = model.infer(request).outputs["embedding"]
                taken[word].append((time.perf_counter() - started) * 1000)
        off = float(np.abs(answers["cpu"] - answers["cuda"]).max())
        cpu, cuda = (statistics.median(taken[word]) for word in ("cpu", "cuda"))
        print(
            f"| {texts} x {words} words | {cpu:.1f} ms | {cuda:.1f} ms | {cpu / cuda:.1f} | {off:.1e} |",
            flush=True,
        )
        if off > TOLERANCE:
            sys.exit(f"the answers differ by {off:.1e}, more than {TOLERANCE:.0e}")


def _text(words: int, row: int) -> str:
    """Text of so many common words, another one for each row."""
    vocabulary = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world")
    return " ".join(vocabulary[(row + index * (row + 1)) % len(vocabulary)] for index in range(words))


if __name__ == "__main__":
    main()
