"""Runs a synthesised imgpipe environment on this machine: emulated AWS, the deployed definition, real containers."""
