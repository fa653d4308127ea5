"""Models that take text: the tokenizer travels in the model's own file.

An ONNX file has a table of metadata; under `tokenizer` it may hold a document of the `tokenizers` library (a
tokenizer.json). Such a model is asked with one BYTES input of texts, and its graph gets what the tokenizer
makes of them. One file, one digest: graph and vocabulary cannot be of different versions.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from serving.errors import ModelRefused
from serving.oip import Signature
from serving.tensors import Array

METADATA_KEY = "tokenizer"
# Tokens of one run, padding included. Attention takes memory with the square of a text's length: 8,192 tokens
# in texts of 256 are 100 MB of scores in a model of 12 heads (32 x 12 x 256 x 256 numbers of 4 bytes).
MAX_TOKENS = 8192
_FEEDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class TextInput:
    """Turns texts into what a graph takes. Several threads may use it at once."""

    def __init__(self, document: str, nodes: Collection[str], signature: Signature, what: str) -> None:
        """Read the tokenizer of the model `what`, whose graph has the inputs `nodes`.

        Raises ModelRefused when it is none, or the graph or the manifest does not go with it.
        """
        if unknown := set(nodes) - _FEEDS.keys():
            raise ModelRefused(f"{what} has a tokenizer, which gives nothing for {sorted(unknown)}")
        inputs, outputs = list(signature.inputs.values()), signature.outputs.values()
        if len(inputs) != 1 or inputs[0].datatype != "BYTES" or inputs[0].shape != (-1,):
            raise ModelRefused(f"{what} has a tokenizer: its manifest must have one input, BYTES [-1]")
        if any(not spec.shape or spec.shape[0] != -1 for spec in outputs):
            raise ModelRefused(f"{what} has a tokenizer: its outputs must have one row for each text")
        # Imported here: models without text start 0.1 s sooner, and need no such library.
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_str(document)
        except Exception as error:  # the library raises bare Exceptions
            raise ModelRefused(f"{what} has a tokenizer that cannot be read") from error
        padding = self._tokenizer.padding or {}
        self._pads = {"ids": padding.get("pad_id", 0), "type_ids": padding.get("pad_type_id", 0)}
        self._tokenizer.no_padding()  # each run is padded to its own longest text
        self._feeds = {node: _FEEDS[node] for node in nodes}

    def batches(self, texts: Array) -> Iterator[tuple[list[int], dict[str, Array], int]]:
        """Runs for these texts: which rows each is for, its inputs, and its tokens without padding.

        Texts of like length go together. One that is longer than the model takes is cut, as the tokenizer
        says.
        """
        encodings = self._tokenizer.encode_batch(texts.tolist())
        order = sorted(range(len(encodings)), key=lambda row: len(encodings[row].ids))
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and len(encodings[order[end]].ids) * (end + 1 - start) <= MAX_TOKENS:
                end += 1
            rows = order[start:end]
            chosen = [encodings[row] for row in rows]
            yield rows, self._feed(chosen), sum(len(encoding.ids) for encoding in chosen)
            start = end

    def _feed(self, encodings: list[Any]) -> dict[str, Array]:
        shape = len(encodings), len(encodings[-1].ids)
        feed = {}
        for node, attribute in self._feeds.items():
            feed[node] = np.full(shape, self._pads.get(attribute, 0), np.int64)
            for row, encoding in enumerate(encodings):
                values = getattr(encoding, attribute)
                feed[node][row, : len(values)] = values
        return feed
