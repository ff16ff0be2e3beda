"""Runs one container as SageMaker would: its directories, its environment, its exit code."""
