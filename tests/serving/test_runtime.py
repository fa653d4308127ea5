"""The ONNX runtime: right answers from real models, and models that lie are refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

from serving import golden
from serving.errors import InferenceFailed, ModelRefused, ModelUnavailable, RequestError
from serving.manifest import FILE_NAME, Manifest
from serving.oip import InferRequest, Signature
from serving.providers import CPU
from serving.recipes import digits as recipe
from serving.runtime import Model
from serving.tensors import DATATYPES, TensorSpec


@pytest.fixture(scope="session")
def digits_model(digits: Path) -> Model:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    return Model(manifest, (digits / manifest.file).read_bytes())


def graph(inputs: dict[str, Any], outputs: dict[str, Any], *nodes: onnx.NodeProto) -> bytes:
    """A serialized model; tensors are name -> (element type, shape)."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *tensor) for name, tensor in inputs.items()],
        [helper.make_tensor_value_info(name, *tensor) for name, tensor in outputs.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def model(data: bytes, inputs: list[TensorSpec], outputs: list[TensorSpec], make: Any) -> Model:
    return Model(make(data, signature=Signature.of(inputs, outputs)), data)


class TestDigits:
    def test_it_is_as_accurate_as_its_manifest_says(self, digits_model: Model) -> None:
        images, labels = load_digits(return_X_y=True)
        request = InferRequest({"image": images.astype(np.float32)}, ("label", "probabilities"))
        outputs = digits_model.infer(request).outputs
        assert float(np.mean(outputs["label"] == labels)) > 0.98
        assert digits_model.manifest.metrics["accuracy"] > 0.96
        np.testing.assert_array_equal(outputs["probabilities"].argmax(axis=1), outputs["label"])
        np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, rtol=1e-5)

    def test_its_golden_requests_pass(self, digits_model: Model) -> None:
        report = golden.run(digits_model.manifest, digits_model.infer)
        assert (report.passed, report.failed) == (len(digits_model.manifest.golden), ())
        assert report.passed == 6

    def test_building_it_again_gives_the_same_bytes(self, digits: Path, tmp_path: Path) -> None:
        recipe.build(tmp_path)
        for name in ("model.onnx", FILE_NAME):
            assert (tmp_path / name).read_bytes() == (digits / name).read_bytes()

    def test_its_baseline_counts_every_training_row_for_every_pixel(self, digits_model: Model) -> None:
        baseline = digits_model.manifest.baseline
        pixels = baseline["inputs"]["image"]
        assert len(pixels) == 64
        for pixel in pixels:
            assert len(pixel["counts"]) == len(pixel["cuts"]) + 1
            assert sum(pixel["counts"]) == baseline["rows"]
        assert sum(baseline["outputs"]["label"]) == baseline["rows"]


class TestLoading:
    @pytest.mark.parametrize(
        "data", [b"", b"not a model", pickle.dumps({"weights": [1.0]}), b"\x08\x08\x12\x00"], ids=repr
    )
    def test_bytes_that_are_no_onnx_are_refused(self, data: bytes, scale_manifest: Any) -> None:
        with pytest.raises(ModelRefused, match="the model of scale v1 is no ONNX that can run here"):
            Model(scale_manifest(data), data)

    def test_a_truncated_model_is_refused(self, scale_model: Any, scale_manifest: Any) -> None:
        data = scale_model()[:-20]
        with pytest.raises(ModelRefused, match="is no ONNX"):
            Model(scale_manifest(data), data)

    @pytest.mark.parametrize("location", ["/etc/hostname", "../../../etc/hostname", "weights.bin"])
    def test_a_model_that_reads_other_files_is_refused(
        self, location: str, scale_manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "weights.bin").write_bytes(b"12345678")
        monkeypatch.chdir(tmp_path)
        loaded = onnx.load_from_string(
            graph(
                {"x": (TensorProto.FLOAT, ["n", 2])},
                {"y": (TensorProto.FLOAT, ["n", 2])},
                helper.make_node("Mul", ["x", "w"], ["y"]),
            )
        )
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "8")):
            weight.external_data.add(key=key, value=value)
        loaded.graph.initializer.append(weight)
        data = loaded.SerializeToString()
        with pytest.raises(ModelRefused, match="is no ONNX that can run here"):
            Model(scale_manifest(data), data)

    @pytest.mark.parametrize(
        ("inputs", "outputs", "reason"),
        [
            ([("x", "FP64", (-1, 2))], [("y", "FP32", (-1, 2))], "has input 'x' as FP32"),
            ([("x", "FP32", (-1, 3))], [("y", "FP32", (-1, 2))], "has input 'x' as FP32"),
            ([("x", "FP32", (-1,))], [("y", "FP32", (-1, 2))], "has input 'x' as FP32"),
            ([("x", "FP32", (-1, -1))], [("y", "FP32", (-1, 2))], "has input 'x' as FP32"),
            ([("z", "FP32", (-1, 2))], [("y", "FP32", (-1, 2))], "has the inputs"),
            ([("x", "FP32", (-1, 2))], [("y", "INT64", (-1, 2))], "has output 'y' as FP32"),
            (
                [("x", "FP32", (-1, 2))],
                [("y", "FP32", (-1, 2)), ("z", "FP32", (-1,))],
                "has the outputs",
            ),
        ],
    )
    def test_a_signature_that_lies_is_refused(
        self, inputs: Any, outputs: Any, reason: str, scale_model: Any, scale_manifest: Any
    ) -> None:
        with pytest.raises(ModelRefused, match=reason):
            model(
                scale_model(),
                [TensorSpec(*tensor) for tensor in inputs],
                [TensorSpec(*tensor) for tensor in outputs],
                scale_manifest,
            )

    def test_a_provider_that_does_not_work_is_not_replaced_silently(
        self, scale_model: Any, scale_manifest: Any
    ) -> None:
        data = scale_model()
        with pytest.raises(ModelUnavailable, match="would run on CPUExecutionProvider, not on CUDA"):
            Model(scale_manifest(data), data, (("CUDAExecutionProvider", {}), *CPU))

    def test_a_manifest_may_fix_a_size_that_the_graph_leaves_open(
        self, scale_model: Any, scale_manifest: Any
    ) -> None:
        one_row = [TensorSpec("x", "FP32", (1, 2))]
        model(scale_model(), one_row, [TensorSpec("y", "FP32", (1, 2))], scale_manifest)


class TestInferring:
    @pytest.mark.parametrize("datatype", DATATYPES)
    def test_every_datatype_goes_in_and_comes_out_unchanged(self, datatype: str, scale_manifest: Any) -> None:
        dtype = DATATYPES[datatype]
        element = TensorProto.STRING if datatype == "BYTES" else helper.np_dtype_to_tensor_dtype(dtype)
        data = graph(
            {"x": (element, ["n"])}, {"y": (element, ["n"])}, helper.make_node("Identity", ["x"], ["y"])
        )
        loaded = model(
            data, [TensorSpec("x", datatype, (-1,))], [TensorSpec("y", datatype, (-1,))], scale_manifest
        )
        values = [b"a", "é\0".encode()] if datatype == "BYTES" else [0, 1]
        got = loaded.infer(InferRequest({"x": np.array(values, dtype)}, ("y",))).outputs["y"]
        assert got.tolist() == (["a", "é\0"] if datatype == "BYTES" else [0, 1])
        assert got.dtype == dtype

    def test_bytes_that_are_not_text_are_the_clients_fault(self, scale_manifest: Any) -> None:
        string = {"x": (TensorProto.STRING, ["n"])}, {"y": (TensorProto.STRING, ["n"])}
        data = graph(*string, helper.make_node("Identity", ["x"], ["y"]))
        loaded = model(
            data, [TensorSpec("x", "BYTES", (-1,))], [TensorSpec("y", "BYTES", (-1,))], scale_manifest
        )
        with pytest.raises(RequestError, match="not UTF-8"):
            loaded.infer(InferRequest({"x": np.array([b"\xff"], object)}, ("y",)))

    def test_only_the_outputs_asked_for_are_given_in_that_order(self, digits_model: Model) -> None:
        image = np.zeros((1, 64), np.float32)
        for outputs in (("label",), ("probabilities", "label")):
            assert tuple(digits_model.infer(InferRequest({"image": image}, outputs)).outputs) == outputs

    @pytest.mark.parametrize("operator", ["Add", "Gather"])
    def test_inputs_that_do_not_fit_each_other_are_the_clients_fault(
        self,
        operator: str,
        scale_manifest: Any,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        element = TensorProto.INT64
        data = graph(
            {"a": (element, ["n"]), "b": (element, ["m"])},
            {"y": (element, ["k"])},
            helper.make_node(operator, ["a", "b"], ["y"]),
        )
        loaded = model(
            data,
            [TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "INT64", (-1,))],
            [TensorSpec("y", "INT64", (-1,))],
            scale_manifest,
        )
        with pytest.raises(RequestError, match="do not fit together or hold a value out of range") as refused:
            loaded.infer(InferRequest({"a": np.array([1, 2]), "b": np.array([7, 424_242, 9])}, ("y",)))
        assert refused.value.status == 400
        # The runtime's native log goes to the process' own standard error.
        assert "424242" not in str(refused.value) + caplog.text
        assert capfd.readouterr() == ("", "")

    def test_a_machine_out_of_memory_is_no_fault_of_the_request(self, scale_manifest: Any) -> None:
        data = graph(
            {"a": (TensorProto.INT64, ["n"])},
            {"y": (TensorProto.INT64, ["k"])},
            helper.make_node("ConstantOfShape", ["a"], ["y"], value=numpy_helper.from_array(np.array([1]))),
        )
        inputs, outputs = [TensorSpec("a", "INT64", (-1,))], [TensorSpec("y", "INT64", (-1,))]
        loaded = model(data, inputs, outputs, scale_manifest)
        with pytest.raises(InferenceFailed, match="out of memory"):
            loaded.infer(InferRequest({"a": np.array([2**44])}, ("y",)))


class TestGolden:
    def test_another_answer_fails_with_the_output_and_the_distance(
        self, scale_model: Callable[..., bytes], scale_manifest: Callable[..., Manifest]
    ) -> None:
        data = scale_model(2.5)
        manifest = scale_manifest(data, expected=2.0)
        report = golden.run(manifest, Model(manifest, data).infer)
        assert report.passed == 0
        assert report.failed == (
            {"golden": "one", "reason": "output 'y' is off by up to 1.5, beyond the tolerance"},
        )

    def test_a_request_that_does_not_fit_the_signature_fails_with_the_reason(
        self, scale_model: Callable[..., bytes], scale_manifest: Callable[..., Manifest]
    ) -> None:
        data = scale_model()
        manifest = scale_manifest(data)
        manifest.golden[0].request["inputs"][0]["shape"] = [1, 3]
        report = golden.run(manifest, Model(manifest, data).infer)
        assert report.failed[0]["reason"].startswith("input 'x': shape [1, 3] does not fit")
