"""The SageMaker pipeline of imgpipe: typed settings in, definition JSON with ${Name} placeholders out."""
