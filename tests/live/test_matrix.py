"""The pack with other ComfyUI releases and other packages: `python3 tools/dev.py matrix` says which, and runs this.

The other tests cover the oldest and the newest release with the installed packages.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys

import pytest

from devtools.comfy_server import ComfyServer
from devtools.demo_checks import FILM, check_answer, check_words
from devtools.paths import ROOT
from devtools.promises import PROMISED
from tools.development import comfyui_tree
from tools.development.matrix import packages_folder
from training.evaluation.cases import write_film

CELLS = json.loads(os.environ.get("AUDIOX_MATRIX", "[]"))
if not CELLS:
    pytest.skip("python3 tools/dev.py matrix runs it", allow_module_level=True)

PACKAGES = ("torch", "transformers", "av", "numpy")
CHECKS = ("nodes", "text to audio", "video to audio")


def versions(environment: dict[str, str]) -> dict[str, str]:
    """The packages that a Python with this environment finds."""
    code = "import sys, importlib.metadata as found; print(*map(found.version, sys.argv[1:]))"
    told = subprocess.run(
        [sys.executable, "-c", code, *PACKAGES],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(zip(PACKAGES, (version.split("+")[0] for version in told.split()), strict=True))


def line(cells) -> str:
    return f"| {' | '.join(cells)} |"


@pytest.fixture(scope="module")
def rows(pytestconfig):
    """The table's rows; it is printed at the end."""
    rows: list[dict[str, str]] = []
    yield rows
    head = ["ComfyUI", *PACKAGES, *CHECKS]
    table = [line(head), line(["---"] * len(head)), *(line(row.values()) for row in rows)]
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        python = ".".join(map(str, sys.version_info[:2]))
        print(f"\n\n{datetime.date.today()}, Python {python}, {sys.platform}\n", *table, sep="\n")


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(filter(None, cell)))
def cell(request, rows):
    """A server of this cell, and its row of the table; the row says that everything fails until it does not."""
    version, packages = request.param
    environment = {"PYTHONPATH": str(packages_folder(packages))} if packages else {}
    found = versions(environment)
    row = {"ComfyUI": version, **found, **dict.fromkeys(CHECKS, "fails")}
    rows.append(row)
    asked = dict(pin.split("==") for pin in packages.split(",") if pin)
    assert found == {**found, **{name: asked[name] for name in PACKAGES if name in asked}}
    with ComfyServer(comfyui_tree(version), pack=ROOT, environment=environment) as server:
        told = server.get("/system_stats")["system"]
        assert told["comfyui_version"] == version
        assert told["pytorch_version"].split("+")[0] == found["torch"]
        yield server, row


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "flashes.mp4"
    write_film(path, FILM)
    return path


def test_all_nodes_are_there(cell):
    server, row = cell
    ours = {name for name, info in server.object_info().items() if info["python_module"].endswith("audiox-native")}
    assert ours == PROMISED
    row["nodes"] = "all"


def test_words_become_the_right_sound(cell):
    server, row = cell
    check_words(server, "t2a_turbo", "slow ticking", "slow ticking")
    row["text to audio"] = "works"


def test_a_video_is_answered(cell, film):
    server, row = cell
    check_answer(server, "v2a_turbo", film)
    row["video to audio"] = "works"
