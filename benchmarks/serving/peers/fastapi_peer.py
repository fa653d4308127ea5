"""The same model behind FastAPI, as one writes it: pydantic models, one worker, uvloop, httptools."""

import os
from typing import Any

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(BaseModel):
    inputs: list[Tensor]


@app.post("/v2/models/digits/infer")
def infer(request: Request) -> dict[str, Any]:
    given = request.inputs[0]
    image = np.array(given.data, np.float32).reshape(given.shape)
    label, probabilities = session.run(["label", "probabilities"], {"image": image})
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": list(label.shape), "data": label.tolist()},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": list(probabilities.shape),
            "data": probabilities.ravel().tolist(),
        },
    ]
    return {"model_name": "digits", "model_version": "v1", "outputs": outputs}


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
