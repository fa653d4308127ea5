"""The same encoder in numpy, for one text at a time: what a graph's answers are judged by.

It is written from the architecture's formulas and shares nothing with the graph: no padding, no mask, no
joined or scaled weights.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from serving.recipes.bert_graph import Shape
from serving.tensors import Array

_erf = np.vectorize(math.erf)


def encode(weights: Mapping[str, Array], shape: Shape, ids: Sequence[int]) -> Array:
    """The vector of the text whose tokens, special ones included, are `ids`, in double precision."""

    def weight(name: str) -> Array:
        return np.asarray(weights[name], np.float64)

    def dense(name: str, given: Array) -> Array:
        return np.asarray(given @ weight(f"{name}.weight").T + weight(f"{name}.bias"))

    def norm(name: str, given: Array) -> Array:
        centred = given - given.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + shape.layer_norm_eps)
        return np.asarray(scaled * weight(f"{name}.weight") + weight(f"{name}.bias"))

    hidden = weight("embeddings.word_embeddings.weight")[list(ids)]
    hidden = hidden + weight("embeddings.position_embeddings.weight")[: len(ids)]
    hidden = norm("embeddings.LayerNorm", hidden + weight("embeddings.token_type_embeddings.weight")[0])
    width = shape.hidden_size // shape.num_attention_heads
    for layer in range(shape.num_hidden_layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            dense(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value")
        )
        heads = []
        for head in range(shape.num_attention_heads):
            own = slice(head * width, (head + 1) * width)
            heads.append(_softmax(query[:, own] @ key[:, own].T / np.sqrt(width)) @ value[:, own])
        attended = dense(f"{name}.attention.output.dense", np.concatenate(heads, axis=-1))
        hidden = norm(f"{name}.attention.output.LayerNorm", hidden + attended)
        wide = dense(f"{name}.intermediate.dense", hidden)
        wide = wide * 0.5 * (1 + _erf(wide / np.sqrt(2)))
        hidden = norm(f"{name}.output.LayerNorm", hidden + dense(f"{name}.output.dense", wide))
    mean: Array = hidden.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
