"""The parts of the deployment machine; infra.workflows.deploy puts them together."""
