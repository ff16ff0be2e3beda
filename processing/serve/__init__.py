"""Answers HTTP requests with a packaged model, under SageMaker's contract: python -m serve serve."""
