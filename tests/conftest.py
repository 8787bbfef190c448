"""Shared fixtures: real ComfyUI servers and a small model in the released format."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class PlainRoot:
    """Collect the repository as a folder: its `__init__.py` is ComfyUI's entry point and imports only there."""

    @staticmethod
    def pytest_collect_directory(path, parent):
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config):
    config.pluginmanager.register(PlainRoot())


@pytest.fixture(scope="session")
def small_model_dir(tmp_path_factory) -> Path:
    """A folder in the official layout with scaled-down sizes and generated weights."""
    from small_model import make_small_model

    folder = tmp_path_factory.mktemp("models") / "AudioX-Turbo-small"
    make_small_model(folder)
    return folder


def start(version: str, model: Path):
    """A ComfyUI release that shows the pack and the small model."""
    from comfy_server import ComfyServer
    from dev import comfyui_tree

    with ComfyServer(comfyui_tree(version), pack=ROOT) as server:
        server.place_model(model)
        yield server


@pytest.fixture(scope="session")
def comfy(small_model_dir):
    """ComfyUI 0.30.0 (or COMFYUI_PATH) with the pack; the model is models/audiox/AudioX-Turbo-small."""
    from dev import COMFYUI

    yield from start(COMFYUI, small_model_dir)


@pytest.fixture(scope="session")
def comfy_0163(small_model_dir):
    """ComfyUI 0.16.3, the oldest supported one, with the pack and the same model."""
    from dev import OLDEST_COMFYUI

    yield from start(OLDEST_COMFYUI, small_model_dir)
