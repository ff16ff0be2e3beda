"""An AWS account in this process: moto, with what it lacks for imgpipe's stacks added."""
