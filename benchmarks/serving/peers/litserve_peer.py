"""The same model behind LitServe: one worker, no batching."""

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime as ort


class Digits(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        given = request["inputs"][0]
        return np.array(given["data"], np.float32).reshape(given["shape"])

    def predict(self, image: Any) -> Any:
        return self.session.run(["label", "probabilities"], {"image": image})

    def encode_response(self, outputs: Any) -> dict[str, Any]:
        label, probabilities = outputs
        return {
            "model_name": "digits",
            "outputs": [
                {"name": "label", "datatype": "INT64", "shape": list(label.shape), "data": label.tolist()},
                {
                    "name": "probabilities",
                    "datatype": "FP32",
                    "shape": list(probabilities.shape),
                    "data": probabilities.ravel().tolist(),
                },
            ],
        }


if __name__ == "__main__":
    server = litserve.LitServer(Digits(api_path="/v2/models/digits/infer"), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
