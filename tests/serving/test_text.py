"""Models with a tokenizer inside: every text gets its own row, whatever the batch."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from serving import text
from serving.errors import ModelRefused, RequestError
from serving.oip import InferRequest, Signature
from serving.runtime import Model
from serving.tensors import TensorSpec

VOCABULARY = {"[PAD]": 9, "[UNK]": 1, "[CLS]": 2, "a": 10, "b": 100, "c": 1000}
TEXT, TOTAL = TensorSpec("text", "BYTES", (-1,)), TensorSpec("total", "INT64", (-1, 1))


def tokenizer() -> str:
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", 2)]
    )
    made.enable_padding(pad_id=9, length=20)
    made.enable_truncation(50)
    return str(made.to_str())


def summing(document: str, *more_inputs: str) -> bytes:
    """A graph that adds up a text's token ids, padding left out: its right answer is known."""
    sizes = ["texts", "tokens"]
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["total"], keepdims=1),
    ]
    names = ("input_ids", "attention_mask", *more_inputs)
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.INT64, sizes) for name in names],
        [helper.make_tensor_value_info("total", TensorProto.INT64, ["texts", 1])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    made: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    helper.set_model_props(made, {text.METADATA_KEY: document})
    return bytes(made.SerializeToString())


def load(scale_manifest: Any, data: bytes, *signature: TensorSpec) -> Model:
    given, out = signature or (TEXT, TOTAL)
    return Model(scale_manifest(data, signature=Signature.of([given], [out])), data)


def totals(model: Model, texts: list[Any]) -> tuple[list[int], int]:
    response = model.infer(InferRequest({"text": np.array(texts, object)}, ("total",)))
    return response.outputs["total"].ravel().tolist(), response.tokens


def test_answers_come_in_the_order_of_the_texts_and_tokens_are_counted(scale_manifest: Any) -> None:
    model = load(scale_manifest, summing(tokenizer()))
    assert totals(model, ["a b c", "c", b"a a", "", "b"]) == ([1112, 1002, 22, 2, 102], 12)


@pytest.mark.parametrize("most", [1, 7, 30, 8192])
def test_a_large_batch_is_run_in_parts_with_the_same_answers(
    scale_manifest: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(text, "MAX_TOKENS", most)
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["a", "b", "c"], size)) for size in rng.integers(0, 12, 60)]
    expected = [2 + sum(VOCABULARY[word] for word in each.split()) for each in texts]
    assert totals(load(scale_manifest, summing(tokenizer())), texts)[0] == expected


def test_a_run_holds_no_more_tokens_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_TOKENS", 40)
    nodes = ["input_ids", "token_type_ids"]
    taken = text.TextInput(tokenizer(), nodes, Signature.of([TEXT], [TOTAL]), "it")
    texts = np.array(["a " * size for size in (1, 30, 49, 3, 12, 2)], object)
    runs = list(taken.batches(texts))
    assert sorted(row for rows, _, _ in runs for row in rows) == list(range(6))
    for _, feed, _ in runs:
        assert list(feed) == nodes
        assert feed["input_ids"].size <= 40 or len(feed["input_ids"]) == 1


def test_a_text_that_is_too_long_is_cut(scale_manifest: Any) -> None:
    assert totals(load(scale_manifest, summing(tokenizer())), ["a " * 500]) == ([2 + 49 * 10], 50)


def test_bytes_that_are_no_text_are_the_clients_fault(scale_manifest: Any) -> None:
    with pytest.raises(RequestError, match="not UTF-8"):
        totals(load(scale_manifest, summing(tokenizer())), [b"\xff"])


@pytest.mark.parametrize(
    ("data", "signature", "reason"),
    [
        (summing("{}"), (), "has a tokenizer that cannot be read"),
        (summing(tokenizer(), "pixels"), (), r"gives nothing for \['pixels'\]"),
        (summing(tokenizer()), (TensorSpec("text", "BYTES", (-1, 1)), TOTAL), "one input, BYTES"),
        (summing(tokenizer()), (TensorSpec("text", "INT64", (-1,)), TOTAL), "one input, BYTES"),
        (summing(tokenizer()), (TEXT, TensorSpec("total", "INT64", (1, 1))), "one row for each text"),
        (summing(tokenizer()), (TEXT, TensorSpec("total", "FP32", (-1, 1))), "has output 'total' as INT64"),
    ],
)
def test_a_model_whose_parts_do_not_go_together_is_refused(
    scale_manifest: Any, data: bytes, signature: tuple[TensorSpec, ...], reason: str
) -> None:
    with pytest.raises(ModelRefused, match=reason):
        load(scale_manifest, data, *signature)
