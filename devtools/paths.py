"""Places in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "parity" / "golden"
"""Tensors of the official code."""

LAB_NODES = ROOT / "devtools" / "lab_nodes"
"""A small node pack of the tests: values that no other node gives."""
