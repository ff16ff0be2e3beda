"""What each stack's deployment publishes: its own files and images, so that deploying one builds no other's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.environments import load_environment
from local.assembly import read_assembly

IMAGES = {
    "dataset": set(),
    "training": {"imaging", "mxnet", "serve"},
    "serving": {"serve"},
    "classification": set(),
    "monitoring": {"imaging"},
}


@pytest.mark.parametrize("stack", IMAGES)
def test_a_stack_publishes_its_own_assets_alone(assembly, environment, stack):
    outdir, name = assembly(environment), f"{load_environment(environment).prefix}-{stack}"
    manifest = json.loads((outdir / f"{name}.assets.json").read_text())
    template = (outdir / f"{name}.template.json").read_text()
    others = [
        asset["source"]["path"]
        for key, asset in manifest["files"].items()
        if key not in template and asset["source"]["path"] != f"{name}.template.json"
    ]
    assert others == []
    built = {Path(asset["source"]["dockerFile"]).parent.name for asset in manifest.get("dockerImages", {}).values()}
    assert built == IMAGES[stack]


def test_the_local_run_finds_the_assets_of_all_stacks(assembly, environment):
    found = read_assembly(assembly(environment))
    assert {image.name for image in found.images} == {"imaging", "mxnet", "serve"}
    templates = json.dumps([stack.template for stack in found.stacks])
    functions = templates.count('"S3Key"')
    assert functions
    assert sum(templates.count(f'"S3Key": "{asset.key}"') for asset in found.files) == functions
