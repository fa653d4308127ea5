"""A BERT sentence encoder as ONNX, node by node: token ids in, one vector of length 1 for each text out.

Operators of the ONNX standard only, so that every execution provider can run it. Tensor names of the weights
are those of the published checkpoints. Architecture: https://arxiv.org/abs/1810.04805; mean pooling over the
tokens and normalisation: https://arxiv.org/abs/1908.10084.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.tensors import Array

# 17 brought LayerNormalization; 20, Gelu.
OPSET = 20
IR_VERSION = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a BERT encoder, by the names of its configuration file."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    layer_norm_eps: float


class _Graph:
    """Nodes and weights in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Array) -> str:
        """A weight or a constant, once for each name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(f"ints_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value}", np.array(value, np.float32))

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one output, and that output's name."""
        output = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def sentence_encoder(weights: Mapping[str, Array], shape: Shape, metadata: Mapping[str, str]) -> bytes:
    """The model's bytes: `input_ids` and `attention_mask`, INT64 [texts, tokens], to `embedding` FP32.

    Args:
        weights: of the checkpoint, by name.
        shape: of the encoder.
        metadata: for the model's table of metadata.
    """
    graph = _Graph()
    hidden = _embeddings(graph, weights, shape)
    # 0 where there is a token and far below any score where there is padding.
    padding = graph.add("Sub", graph.scalar(1.0), _floats(graph, "attention_mask"))
    mask = graph.add("Mul", padding, graph.scalar(-1e9))
    mask = graph.add("Unsqueeze", mask, graph.ints(1, 2))
    for layer in range(shape.num_hidden_layers):
        hidden = _layer(graph, weights, shape, f"encoder.layer.{layer}", hidden, mask)
    _pool(graph, hidden)
    sizes = ["texts", "tokens"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "sentence_encoder",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, sizes)
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", shape.hidden_size])],
            list(graph.weights.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString(deterministic=True))


def _embeddings(graph: _Graph, weights: Mapping[str, Array], shape: Shape) -> str:
    """Words plus positions. All tokens are of the first type, so its vector is added to every position's."""
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    positions = weights["embeddings.position_embeddings.weight"]
    positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
    count = graph.add("Shape", "input_ids", start=1, end=2)
    first = graph.add("Slice", graph.constant("positions", positions), graph.ints(0), count, graph.ints(0))
    summed = graph.add("Add", graph.add("Gather", words, "input_ids"), first)
    return _norm(graph, weights, shape, "embeddings.LayerNorm", summed)


def _layer(
    graph: _Graph, weights: Mapping[str, Array], shape: Shape, name: str, hidden: str, mask: str
) -> str:
    attended = _attention(graph, weights, shape, f"{name}.attention", hidden, mask)
    attended = _dense(graph, weights, f"{name}.attention.output.dense", attended)
    attended = graph.add("Add", attended, hidden)
    attended = _norm(graph, weights, shape, f"{name}.attention.output.LayerNorm", attended)
    wide = graph.add("Gelu", _dense(graph, weights, f"{name}.intermediate.dense", attended))
    narrow = graph.add("Add", _dense(graph, weights, f"{name}.output.dense", wide), attended)
    return _norm(graph, weights, shape, f"{name}.output.LayerNorm", narrow)


def _attention(
    graph: _Graph, weights: Mapping[str, Array], shape: Shape, name: str, hidden: str, mask: str
) -> str:
    """Scaled dot-product attention. One product gives queries, keys and values; queries come scaled."""
    heads, width = shape.num_attention_heads, shape.hidden_size // shape.num_attention_heads
    parts = [f"{name}.self.{part}" for part in ("query", "key", "value")]
    scales = [1 / np.sqrt(width), 1.0, 1.0]
    kernel = np.concatenate(
        [weights[f"{part}.weight"].T * scale for part, scale in zip(parts, scales, strict=True)], axis=1
    )
    bias = np.concatenate(
        [weights[f"{part}.bias"] * scale for part, scale in zip(parts, scales, strict=True)]
    )
    kernel_name = graph.constant(f"{name}.self.weight", kernel.astype(np.float32))
    bias_name = graph.constant(f"{name}.self.bias", bias.astype(np.float32))
    joined = graph.add("Add", graph.add("MatMul", hidden, kernel_name), bias_name)
    split = [f"{part}.split" for part in parts]
    graph.nodes.append(helper.make_node("Split", [joined], split, axis=-1, num_outputs=3))
    # [texts, tokens, hidden] -> [texts, heads, tokens, width]; keys with the last two exchanged.
    query, key, value = (
        graph.add("Transpose", graph.add("Reshape", part, graph.ints(0, 0, heads, width)), perm=order)
        for part, order in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = graph.add("Add", graph.add("MatMul", query, key), mask)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    back = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
    return graph.add("Reshape", back, graph.ints(0, 0, shape.hidden_size))


def _pool(graph: _Graph, hidden: str) -> None:
    """The mean over a text's tokens, brought to length 1."""
    kept = graph.add("Unsqueeze", _floats(graph, "attention_mask"), graph.ints(2))
    total = graph.add("ReduceSum", graph.add("Mul", hidden, kept), graph.ints(1), keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", kept, graph.ints(1), keepdims=0))
    length = graph.add("ReduceL2", mean, graph.ints(1), keepdims=1)
    graph.add("Div", mean, graph.add("Max", length, graph.scalar(1e-12)), name="embedding")


def _floats(graph: _Graph, name: str) -> str:
    return graph.add("Cast", name, to=TensorProto.FLOAT)


def _dense(graph: _Graph, weights: Mapping[str, Array], name: str, given: str) -> str:
    kernel = graph.constant(f"{name}.weight", weights[f"{name}.weight"].T)
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("Add", graph.add("MatMul", given, kernel), bias)


def _norm(graph: _Graph, weights: Mapping[str, Array], shape: Shape, name: str, given: str) -> str:
    gain, bias = (graph.constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.add("LayerNormalization", given, gain, bias, axis=-1, epsilon=shape.layer_norm_eps)
