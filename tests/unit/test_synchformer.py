"""Synchformer's parts: segments, attention in groups, repeated segments."""

import pytest
import torch
import torch.nn.functional as F

from audiox_core.errors import AudioXError
from audiox_core.models.synchformer import Synchformer, SynchformerSizes, encode, normalise, segments
from audiox_core.release.components import SYNCHFORMER
from devtools import small_model as small
from devtools.parity import golden_models as models

SMALL = small.ModelSizes(context=128, sync_depth=2)


@pytest.fixture(scope="module")
def model() -> Synchformer:
    return models.filled(Synchformer, SynchformerSizes, models.native(small.synchformer_shapes(SMALL), SYNCHFORMER))


def clip(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_sizes_come_from_the_shapes(model):
    assert model.sizes == SynchformerSizes(width=128, depth=2, ffn_width=SMALL.hidden)
    assert (model.sizes.heads, model.sizes.segment_frames, model.sizes.image_size) == (2, 16, 224)


def test_segments_overlap_by_half():
    frames = torch.arange(250, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    cut = segments(frames)
    assert cut.shape == (30, 16, 3, 4, 4)
    for i in (0, 1, 29):
        assert torch.equal(cut[i], frames[8 * i : 8 * i + 16])


def test_pixels_span_minus_one_to_one():
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


@pytest.mark.parametrize("over_time", [True, False])
@torch.no_grad()
def test_divided_attention_is_masked_attention(model, over_time):
    """A token sees the class token and its own place, or its own time; the class token sees everything."""
    block = model.blocks[0].timeattn if over_time else model.blocks[0].attn
    x = torch.randn(2, 1 + 8 * 4, 128, generator=torch.Generator().manual_seed(0))
    time, place = torch.arange(32) // 4, torch.arange(32) % 4
    own = place if over_time else time
    mask = torch.ones(33, 33, dtype=torch.bool)
    mask[1:, 1:] = own[:, None] == own[None]
    q, k, v = (part.unflatten(-1, (2, 64)).transpose(1, 2) for part in block.qkv(x).chunk(3, -1))
    expected = block.proj(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
    torch.testing.assert_close(block(x, model.attention), expected, atol=2e-6, rtol=0)


@torch.no_grad()
def test_encoding_is_segment_by_segment(model):
    frames = clip(40)
    each = [model(normalise(frames[start : start + 16][None])) for start in (0, 8, 16, 24)]
    expected = torch.cat(each).flatten(0, 1)[None]
    assert expected.shape == (1, 32, 128)
    for count in (1, 3, 30):
        torch.testing.assert_close(encode(model, frames, segments_per_call=count), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_still_segments_are_computed_once(model):
    moving, calls = clip(16), []
    frames = torch.cat((moving, moving[-1:].expand(48, -1, -1, -1)))  # 64 frames: 7 segments, the last 5 alike
    features = encode(model, frames, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert features.shape == (1, 56, 128)
    still = features[0].unflatten(0, (7, 8))
    assert torch.equal(still[2], still[6]) and not torch.equal(still[1], still[2])
    last = model(normalise(frames[48:64][None]))
    torch.testing.assert_close(still[6], last[0], atol=1e-6, rtol=0)


def test_progress_may_stop_it(model):
    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        encode(model, clip(16), progress=stop)


@pytest.mark.parametrize("shape", [(15, 3, 224, 224), (3, 224, 224), (16, 3, 112, 112)])
def test_wrong_frames_are_refused(model, shape):
    with pytest.raises(AudioXError, match=str(shape[-1])):
        encode(model, torch.zeros(shape, dtype=torch.uint8))
