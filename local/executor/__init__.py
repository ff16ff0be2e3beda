"""Carries out a pipeline definition as SageMaker Pipelines does: expressions, conditions, steps, execution."""
