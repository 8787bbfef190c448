"""Shared fixtures: real ComfyUI servers and a small model in the released format."""

import os
from pathlib import Path

import pytest

from devtools.paths import LAB_NODES, ROOT

# Before torch is imported: the models of the tests are so small that threads wait for each other longer than they work.
# The servers and programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class PlainRoot:
    """Collect the repository as a folder: its `__init__.py` is ComfyUI's entry point and imports only there."""

    @staticmethod
    def pytest_collect_directory(path, parent):
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_addoption(parser):
    parser.addoption("--all-looks", action="store_true", help="browser tests: every look of ComfyUI's page")
    parser.addoption("--strict-skips", action="store_true", help="fail when a test is skipped for an unknown reason")


def pytest_configure(config):
    config.pluginmanager.register(PlainRoot())
    if config.getoption("--strict-skips"):
        config.pluginmanager.register(StrictSkips())


ALLOWED_SKIPS = (
    "needs a CUDA device",
    "tools/dev.py matrix runs it",
    "this PyTorch has no oneDNN",
    "no bfloat16 instructions",
    "Windows has no such signals",
)
"""Words of the reasons for which a test may be skipped where everything is tested."""


class StrictSkips:
    """Fail the run when a test was skipped for another reason: what is skipped unseen is not tested."""

    def __init__(self):
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self.note(report)

    def pytest_collectreport(self, report):
        if report.skipped:
            self.note(report)

    def note(self, report) -> None:
        reason = report.longrepr[2]
        if not any(words in reason for words in ALLOWED_SKIPS):
            self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session):
        if self.unexpected:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.unexpected:
            terminalreporter.section("skipped, which --strict-skips does not allow")
            terminalreporter.write("\n".join([*self.unexpected, ""]))


LIVE_FIXTURES = {"comfy", "comfy_0163", "each_comfy", "lab"}
"""Fixtures that start a ComfyUI; what uses one is a live test, wherever it stands."""


def pytest_collection_modifyitems(items):
    """Mark tests by their folder and by the servers they need, so that `-m "not live"` is the fast third."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in ("live", "browser") or LIVE_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.live)
        if folder == "browser":
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def small_model_dir(tmp_path_factory) -> Path:
    """A folder in the official layout with scaled-down sizes and generated weights."""
    from devtools.small_model import make_small_model

    folder = tmp_path_factory.mktemp("models") / "AudioX-Turbo"
    make_small_model(folder)
    return folder


def start(version: str, model: Path):
    """A ComfyUI release that shows the pack and the small model."""
    from devtools.comfy_server import ComfyServer
    from tools.development import comfyui_tree

    with ComfyServer(comfyui_tree(version), pack=ROOT) as server:
        server.place_model(model)
        yield server


@pytest.fixture(scope="session")
def comfy(small_model_dir):
    """ComfyUI 0.30.0 (or COMFYUI_PATH) with the pack; the model is models/audiox/AudioX-Turbo."""
    from tools.development import COMFYUI

    yield from start(COMFYUI, small_model_dir)


@pytest.fixture(scope="session")
def comfy_0163(small_model_dir):
    """ComfyUI 0.16.3, the oldest supported one, with the pack and the same model."""
    from tools.development import OLDEST_COMFYUI

    yield from start(OLDEST_COMFYUI, small_model_dir)


@pytest.fixture(params=["lab", "comfy_0163"])
def each_comfy(request):
    """The newest and the oldest ComfyUI in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def released_dir(tmp_path_factory) -> Path:
    """Turbo and Base, small, in the released layout under the released name; T5 included."""
    from devtools.small_model import make_small_model

    return make_small_model(tmp_path_factory.mktemp("released") / "AudioX-Turbo", both=True)


@pytest.fixture(scope="session")
def example_video(tmp_path_factory) -> Path:
    """The video that the shipped workflows name: with sound, and 1 s short, because a CPU needs long for 10."""
    from devtools.media_maker import make_demo_video

    return make_demo_video(tmp_path_factory.mktemp("video") / "example.mp4", seconds=1.0)


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> list[Path]:
    """The sound (5 s) and the picture that the shipped workflows name."""
    from audiox_core.media.audio import write_audio
    from devtools.media_maker import corner_picture, make_image, tone

    folder = tmp_path_factory.mktemp("examples")
    write_audio(folder / "example.wav", tone(5.0), 44100)
    return [folder / "example.wav", make_image(folder / "example.png", corner_picture())]


@pytest.fixture(scope="session")
def family_dirs(tmp_path_factory) -> list[Path]:
    """AudioX, AudioX-MAF and AudioX-MAF-MMDiT, small, in the released layout under the released names."""
    from devtools.small_family import FOLDERS, make_family_model

    root = tmp_path_factory.mktemp("family")
    return [make_family_model(root / name, variant) for variant, name in FOLDERS.items()]


@pytest.fixture(scope="session")
def lab(tmp_path_factory, released_dir, family_dirs, example_video, examples):
    """ComfyUI 0.30.0 (or COMFYUI_PATH) as a user has it: the files that the shipped workflows name are there.

    Beside our pack it has tests/lab_nodes, which give values that no other node gives.
    """
    from devtools.comfy_server import ComfyServer, link_or_copy
    from tools.development import COMFYUI, comfyui_tree

    base = tmp_path_factory.mktemp("lab")
    link_or_copy(LAB_NODES, base / "custom_nodes" / "lab_nodes")
    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT, base=base) as server:
        for path in (released_dir, *family_dirs):
            server.place_model(path)
        for path in (example_video, *examples):
            server.place_input(path)
        yield server
