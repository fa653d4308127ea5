"""The same model behind KServe's Python SDK, over its Open Inference Protocol v2 routes."""

import os
from typing import Any

import kserve
import onnxruntime as ort
from kserve import InferOutput, InferResponse


class Digits(kserve.Model):
    def __init__(self) -> None:
        super().__init__("digits")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> InferResponse:
        image = payload.inputs[0].as_numpy()
        label, probabilities = self.session.run(["label", "probabilities"], {"image": image})
        outputs = []
        for name, datatype, array in (("label", "INT64", label), ("probabilities", "FP32", probabilities)):
            output = InferOutput(name=name, shape=list(array.shape), datatype=datatype)
            output.set_data_from_numpy(array, binary_data=False)
            outputs.append(output)
        return InferResponse(response_id=payload.id, model_name="digits", infer_outputs=outputs)


if __name__ == "__main__":
    server = kserve.ModelServer(
        http_port=int(os.environ["PORT"]), workers=1, enable_grpc=False, access_log_format=None
    )
    server.start([Digits()])
