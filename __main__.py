"""The platform: each part built once from the environment's settings, outputs passed on by hand."""

import pulumi

from composition import sdk

sdk.quick()  # before the imports: they are a third of the program's time

from composition.foundation import foundation
from composition.front import front
from composition.inference import inference
from composition.operations import costs, deliveries, observability, watched_models
from environments import loader

env = loader.from_engine(pulumi.get_stack())
base = foundation(env)
served = inference(base)
clients = front(base, served)
seen = watched_models(base, served)
versions = deliveries(base, served, seen)
observability(base, clients, seen)
costs(base, seen)

outputs = {
    "url": clients.url,
    "api_id": clients.gateway.api_id,
    "api_key_in_header": env.gateway.api_key_source == "header",
    "platform": base.names.platform,
    "environment": base.names.environment,
    "user_pool_id": base.identity.pool_id,
    "oauth_domain": base.identity.domain,
    "tenant_client_ids": dict(base.identity.tenant_client_ids),
    "alerts_topic": base.alerts.arn,
    "models_bucket": base.storage.models.bucket,
    "data_bucket": base.storage.data.bucket,
    "analytics": {"database": served.analytics.database_name, "workgroup": served.analytics.workgroup_name},
    "jobs_table": served.jobs.table_name,
    "jobs_config": served.jobs.config_key,
    "build_projects": list(base.images.build_projects),
    "repositories": dict(base.images.repository_urls),
    "model_functions": {model: function.function_name for model, function in served.models.functions.items()},
    "model_endpoints": {
        model: endpoint.update_request for model, endpoint in served.models.endpoints.items()
    },
    "job_queues": {model: queue.url for model, queue in served.models.jobs.items()},
    "load": env.load.model_dump(),
    "region": env.region,
    "delivery_machine": versions.delivery.machine_arn,
    "delivery_table": versions.delivery.table_name,
    "model_parameters": versions.delivery.parameters_path,
    "drift_function": versions.drift.function.function_name,
}
for name, value in outputs.items():
    pulumi.export(name, value)
pulumi.run(sdk.settled)
