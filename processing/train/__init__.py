"""Trainer container: ResNet image classification with the contract of SageMaker's built-in algorithm."""
