"""A model that moves from backend to backend: what it takes, and what may change beside it."""

# Everything that a model on each backend needs, so that one word moves it.
MOVING = {
    "version": "v1",
    "accelerator": "g6.xlarge",
    "mode": "real-time",
    "instance": "ml.m5.xlarge",
    "scale": {"min": 1, "max": 2},
}
# What knows all models of its kind by design, and is updated in place.
REGISTERS = {
    "router-deployment",  # its routes
    "router-network-policy",  # ports of models
    "cluster-pools-gpu",  # GPUs that the models need
    "gateway-api",  # routes
    "gateway-deployment",  # follows the document
    # Which models take jobs, and whom their functions and the deliveries' worker may call.
    "jobs-config",
    *(f"jobs-{role}-{what}" for role in ("api", "control", "worker") for what in ("function", "role-policy")),
    "model-delivery-eks-role-policy",
    "model-delivery-machine-role-policy",
    "model-delivery-sagemaker-role-policy",
    # What is parked when it idles, and at night.
    *(f"costs-idle-{what}" for what in ("machine", "machine-role-policy", "rung")),
    "costs-parking-role-policy",
    "parking-function-function",
    "parking-patch-scalers",
}
# The first model on SageMaker brings the images for its instances, and who delivers there.
FIRSTS = ("images-model-server", "model-delivery-sagemaker")


def belongs(name: str, model: str) -> bool:
    """Whether a resource of that name is the model's own, on whichever backend.

    Lambda's requests alone are captured and watched for drift, and its queue has a worker of jobs.
    """
    parts = ("model", "model-delivery", "capture", "drift", "jobs", "costs-park-model", "costs-wake-model")
    return any(name == f"{part}-{model}" or name.startswith(f"{part}-{model}-") for part in parts)
