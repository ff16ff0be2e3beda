"""The local endpoint: a process of its own that answers as sagemaker-runtime does, in front of serve containers."""
