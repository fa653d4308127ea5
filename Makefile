# `make up` and `make test` do all the set-up themselves. `make help` lists the rest.
ENV ?= local
PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv/bin
COMPILE := pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

# Of the SDKs alone, 4 s of source would be compiled again by every process that loads them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up down plan diagrams doctor verify export baseline audit cost status test lint format lock package bench bench-serving examples validate-cluster

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## Install the Python environment and the Pulumi CLI; nothing to do means milliseconds
	@$(PYTHON) toolchain/bootstrap.py

up: setup ## Provision ENV (default local) and ask it for a prediction
	@bin/inferctl up --env $(ENV)

down: ## Remove all that `make up` made
	@if [ -x $(VENV)/python ]; then bin/inferctl down --env $(ENV); else echo "nothing is set up; nothing to remove"; fi

plan: setup ## Show, judge and price what ENV would be made of, with no account
	@bin/inferctl plan --env $(ENV)

cost: setup ## Estimate what ENV costs in a month, with no account
	@bin/inferctl cost --env $(ENV)

export: setup ## Write the deployment of ENV to .local/export/ENV.json, with no account
	@bin/inferctl export --env $(ENV)

baseline: setup ## Write environments/baseline/*.txt anew, to be reviewed and committed
	@for env in local dev stage prod; do echo "$$env:"; bin/inferctl baseline --env $$env || exit 1; done

examples: setup ## Write docs/examples anew, to be reviewed and committed
	@REFRESH_EXAMPLES=1 $(VENV)/python -m pytest -q tests/integration/test_pull_request_report.py

audit: setup ## Show what checkov and two IAM linters say of every environment, with the answers
	@bin/inferctl audit

validate-cluster: setup ## Apply every manifest to a real Kubernetes API server, built from source the first time
	@bin/inferctl validate-cluster

diagrams: setup ## Write docs/diagrams anew and draw them (Node.js, Chromium)
	@for env in local dev stage prod; do bin/inferctl diagram --env $$env || exit 1; done

doctor: setup ## Check what ENV needs before `make up`
	@bin/inferctl doctor --env $(ENV)

verify: ## Compare what is deployed in ENV with what was asked for
	@bin/inferctl verify --env $(ENV)

status: ## List what is deployed in ENV
	@bin/inferctl status --env $(ENV)

test: setup ## Run every test
	@$(VENV)/python -m pytest --numprocesses auto --dist loadscope $(PYTEST_ARGS)

lint: setup ## Check style and types
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy .

format: setup ## Format the code
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .

lock: setup ## Resolve the dependencies anew: of this checkout, of the functions and of the container
	@$(VENV)/uv $(COMPILE) --universal --python-version 3.11 --all-extras pyproject.toml -o requirements.lock
	@for name in authorizer model-server image jobs jobs-files canary delivery; do \
		$(VENV)/uv $(COMPILE) --universal --python-version 3.11 --excludes serving/requirements-excluded.txt \
			-c requirements.lock serving/requirements-$$name.in -o serving/requirements-$$name.lock || exit 1; done
	@$(VENV)/uv $(COMPILE) --python-platform x86_64-manylinux_2_34 --python-version 3.13 \
		--excludes serving/requirements-excluded.txt -c requirements.lock \
		serving/requirements-image-gpu.in -o serving/requirements-image-gpu.lock

package: setup ## Build the functions' zips for AWS and the image's build context; says what is in them
	@$(VENV)/python -m serving.package .local/packages

bench: setup ## Measure `up`, `up` with nothing to do, and predictions; prints the README's table
	@$(VENV)/python -m benchmarks

bench-serving: setup ## Measure the model server beside its peers, the Lambda handler, cold starts, embeddings
	@$(VENV)/python -m benchmarks.serving
