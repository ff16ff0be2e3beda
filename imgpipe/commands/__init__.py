"""Commands beside those of cli.py, one module each; `imgpipe.cli` adds them to the application."""
