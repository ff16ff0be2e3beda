"""One module for each step of the pipeline; every builder takes the context and the steps that it consumes."""
