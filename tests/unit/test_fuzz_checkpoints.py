"""A small share of `devtools.fuzz_checkpoints`: damaged and hostile files open, or are refused in our own words."""

import io
import pickle

import pytest
import torch

from audiox_core.checkpoint.reader import TensorFile
from audiox_core.errors import AudioXError
from devtools.damaged_checkpoints import KINDS, Planted, content_of, make_bases, payloads
from devtools.fuzz_checkpoints import run_case

CASES = 4 * len(KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def bases(folder):
    return make_bases(folder)


@pytest.mark.parametrize("first", range(len(KINDS)), ids=lambda first: f"{KINDS[first].__name__}{first}")
def test_nothing_but_our_own_errors(bases, folder, first):
    for number in range(first, CASES, len(KINDS)):
        kind, outcome = run_case(number, bases, folder)
        assert outcome in ("loads", "refused"), f"case {number} ({kind}): {outcome}"


def test_every_planted_program_stays_asleep(bases, folder):
    """All of them, in each of torch.save's formats."""
    calls = payloads(f"open({str(bases.witness)!r}, 'w').close()", bases.witness)
    assert len(calls) >= 22
    for call in calls:
        for zipped in (True, False):
            stream = io.BytesIO()
            content = {"state_dict": {"a": torch.arange(3.0)}, "planted": Planted(call)}
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            path = folder / "planted.ckpt"
            path.write_bytes(stream.getvalue())
            file = TensorFile(path)
            assert file.open().read("a").tolist() == [0, 1, 2], call
            assert file.left_out, call
            path.write_bytes(b"\x80\x02" + pickle.dumps(Planted(call), 2)[2:])
            with pytest.raises(AudioXError):
                TensorFile(path)
            assert not bases.witness.exists(), call


def test_a_case_follows_from_its_number(bases):
    for number in (0, 5, 8):
        assert content_of(number, bases) == content_of(number, bases)
