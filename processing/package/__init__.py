"""Gathers what a registered model version needs: python -m package."""
