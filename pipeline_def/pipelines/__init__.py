"""The pipelines of an environment: which steps each has, out of the builders in `pipeline_def.steps`."""
