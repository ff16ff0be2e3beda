"""The functions' layer, built by scripts/build-function-layer at set-up, so that synth needs no network.

There are two of it. The one of sources needs packages of PyPI alone. The compiled one adds the byte code that Lambda's
Python would otherwise make anew at every cold start, and needs npm's Pyodide to make it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from infra.environments import ROOT
from infra.errors import InfraError

REQUIREMENTS = ROOT / "functions" / "requirements.txt"
BUILDER = ROOT / "scripts" / "build-function-layer"
# The program that compiles, and what runs it in Pyodide, whose release package.json pins.
COMPILER = (ROOT / "scripts" / "compile-modules", ROOT / "scripts" / "compile-modules.mjs")
_NPM_PACKAGES = ROOT / "package.json"


@dataclass(frozen=True, kw_only=True)
class LayerZip:
    """One of the two: `digest` is the hash of all that its bytes follow from, `target` makes it (a make target)."""

    digest: str
    compiled: bool
    target: str

    @property
    def path(self) -> Path:
        """Where the zip lies once it has been built."""
        return ROOT / ".make" / "layers" / f"{'compiled' if self.compiled else 'sources'}-{self.digest}.zip"

    def built(self) -> Path:
        """The zip; raises InfraError where it has not been built yet."""
        if not self.path.is_file():
            place = self.path.relative_to(ROOT)
            raise InfraError(f"{place}, the functions' layer, is missing: run `make {self.target}`")
        return self.path


def sources_layer() -> LayerZip:
    """The pinned packages with their hashes, put together for Lambda."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + BUILDER.read_bytes()).hexdigest()
    return LayerZip(digest=digest, compiled=False, target="setup")


def compiled_layer() -> LayerZip:
    """The same with byte code."""
    release = json.loads(_NPM_PACKAGES.read_text(encoding="utf-8"))["devDependencies"]["pyodide"]
    parts = [sources_layer().digest.encode(), release.encode(), *(path.read_bytes() for path in COMPILER)]
    return LayerZip(digest=hashlib.sha256(b"\0".join(parts)).hexdigest(), compiled=True, target="setup-cdk")


def wanted_layer() -> LayerZip:
    """The compiled layer for the CDK's command line, which deploys; for every other synth the one of sources.

    Not whichever has been built: the same call gives the same template on every machine, and a deployment never falls
    back to the slower one.
    """
    # The CDK's command line sets it for the app that it runs (aws-cdk-lib's cx-api names it CLI_VERSION_ENV).
    return compiled_layer() if "CDK_CLI_VERSION" in os.environ else sources_layer()
