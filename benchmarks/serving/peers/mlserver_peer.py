"""The same model behind MLServer, in its own process (no parallel workers), metrics off."""

import asyncio
import os

import onnxruntime as ort
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Digits(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        image = NumpyCodec.decode_input(payload.inputs[0])
        outputs = self.session.run(["label", "probabilities"], {"image": image})
        encoded = [
            NumpyCodec.encode_output(name, array)
            for name, array in zip(("label", "probabilities"), outputs, strict=True)
        ]
        return InferenceResponse(model_name=self.name, outputs=encoded)


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=int(os.environ["PORT"]),
        grpc_port=int(os.environ["GRPC_PORT"]),
        parallel_workers=0,
        metrics_endpoint=None,
        debug=False,
        logging_settings=None,
        use_structured_logging=False,
    )
    await MLServer(settings).start([ModelSettings(name="digits", implementation=Digits)])


asyncio.run(main())
