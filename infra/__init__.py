"""The AWS infrastructure of imgpipe: settings per environment, stacks and constructs."""
