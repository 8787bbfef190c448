"""Our models give the numbers of the official ones; see `run.py`."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from devtools.parity import compare as parity
from devtools.parity import golden_family
from devtools.parity.golden_file import Golden, NotUnderstood
from devtools.paths import GOLDEN

PATHS = sorted(GOLDEN.glob("*.safetensors"))


NAMES = {
    "audio_conditioner",
    "dit",
    "dmd_4step",
    "end_to_end",
    "flow_euler",
    "maf",
    "synchformer",
    "text_conditioner",
    "vae",
    "video_conditioner",
    "video_preprocess",
    *golden_family.FILES,
}


def test_the_golden_files_are_there():
    assert {path.stem for path in PATHS} >= NAMES


@pytest.fixture
def every_core():
    """Models in their released size are faster with more than the one thread that the other tests take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.live
@pytest.mark.usefixtures("every_core")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_equals_the_official_model(path):
    rows = parity.check_file(path)
    assert rows
    assert [row for row in rows if not row.ok] == []


def altered(folder: Path, change) -> Path:
    """A copy of the fusion's golden file with something changed."""
    golden = Golden.read(GOLDEN / "maf.safetensors")
    change(golden)
    path = folder / "altered.safetensors"
    save_file(golden.tensors, path, metadata=golden.metadata)
    return path


def test_a_difference_over_the_limit_is_seen(tmp_path, capsys):
    altered(tmp_path, lambda golden: golden.tensors["shift"][1, 7].add_(2e-4))
    assert parity.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("OVER") == 1 and "altered: shift" in printed


def test_nan_is_over_the_limit(tmp_path):
    path = altered(tmp_path, lambda golden: golden.tensors["shift"][0].fill_(torch.nan))
    assert [row.name for row in parity.check_file(path) if not row.ok] == ["shift"]


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden.metadata.update(part="wings"),
        lambda golden: golden.metadata.pop("part"),
        lambda golden: golden.metadata.update(inputs="{}"),
        lambda golden: golden.metadata.update(inputs="not json"),
        lambda golden: golden.tensors.update(surprise=torch.zeros(1)),
        lambda golden: golden.tensors.update(context=torch.zeros(1, 3)),
    ],
)
def test_a_file_that_is_not_understood_fails(tmp_path, capsys, change):
    path = altered(tmp_path, change)
    with pytest.raises(NotUnderstood):
        parity.check_file(path)
    assert parity.main([str(tmp_path)]) == 1
    assert "altered.safetensors: not understood" in capsys.readouterr().out


def test_no_file_and_no_safetensors_fail(tmp_path):
    assert parity.main([str(tmp_path)]) == 1
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    assert parity.main([str(tmp_path)]) == 1


def test_other_seeds_are_computed(tmp_path):
    """Another seed gives another result: the metadata is what is computed, not a constant."""
    path = altered(
        tmp_path,
        lambda golden: golden.metadata.update(inputs=golden.metadata["inputs"].replace('"seed": 0', '"seed": 1')),
    )
    assert not any(row.ok for row in parity.check_file(path) if row.name == "context")
