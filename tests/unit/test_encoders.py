"""CLIP and T5 from transformers: both spellings of the names, strict loading, tokens."""

from pathlib import Path

import pytest
import torch

from audiox_core.errors import AudioXError
from audiox_core.models import encoders
from audiox_core.release.components import CLIP_VISION, T5
from devtools import small_model as small
from devtools.parity import golden_models as models

SMALL = small.ModelSizes(context=128)


def clip_tensors() -> dict[str, torch.Tensor]:
    shapes = small.under(small.VIDEO + "visual_encoder_model.", small.clip_shapes(SMALL))
    return models.native(shapes, CLIP_VISION)


def build_clip(tensors):
    return encoders.build_clip(encoders.ClipSizes.from_shapes(models.shapes_of(tensors)), tensors)


def t5_tensors() -> dict[str, torch.Tensor]:
    return models.native(small.t5_shapes(SMALL), T5)


def build_t5(tensors):
    return encoders.build_t5(encoders.T5Sizes.from_shapes(models.shapes_of(tensors)), tensors)


def bare(tensors):
    """The spelling of transformers 5."""
    return {name.removeprefix(encoders.TOWER): tensor for name, tensor in tensors.items()}


def with_dead_parts(tensors):
    """What CLIPVisionModelWithProjection's tower of transformers 4 holds besides."""
    extra = {"post_layernorm.weight": torch.ones(128), "embeddings.position_ids": torch.arange(50)[None]}
    return tensors | {encoders.TOWER + name: tensor for name, tensor in extra.items()}


def clip_frames() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_clip_sizes():
    expected = encoders.ClipSizes(width=128, depth=SMALL.clip_depth, ffn_width=SMALL.hidden)
    for spelling in (clip_tensors(), bare(clip_tensors())):
        assert encoders.ClipSizes.from_shapes(models.shapes_of(spelling)) == expected
    assert expected.tokens_per_frame == 50


def test_clip_is_the_same_in_every_spelling():
    frames = clip_frames()
    out = [encoders.encode_clip(build_clip(change(clip_tensors())), frames) for change in (dict, bare, with_dead_parts)]
    assert out[0].shape == (1, 5 * 50, 128)
    assert torch.equal(out[0], out[1]) and torch.equal(out[0], out[2])


def test_clip_holds_the_given_tensors_themselves():
    tensors = clip_tensors()
    given = {tensor.data_ptr() for tensor in tensors.values()}
    held = list(build_clip(tensors).parameters())
    assert len(held) == len(given) and {p.data_ptr() for p in held} == given


def test_clip_batches_equal_singles():
    frames, model, calls = clip_frames(), build_clip(clip_tensors()), []
    whole = encoders.encode_clip(model, frames, frames_per_call=2, progress=lambda *n: calls.append(n))
    assert calls == [(2, 5), (4, 5), (5, 5)]
    singles = torch.cat([encoders.encode_clip(model, frame[None]) for frame in frames], dim=1)
    torch.testing.assert_close(whole, singles, atol=1e-5, rtol=0)


def test_clip_pixels():
    pixels = encoders.normalise_clip(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1))
    for i, (mean, std) in enumerate(zip(encoders.CLIP_MEAN, encoders.CLIP_STD, strict=True)):
        assert pixels[:, i].flatten().tolist() == pytest.approx([-mean / std, (1 - mean) / std])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("vision_model.pre_layrnorm.bias"), "pre_layrnorm.bias is missing"),
        (lambda w: w.update(wing=torch.zeros(1)), "wing is unknown"),
        (lambda w: w.update({"vision_model.pre_layrnorm.bias": torch.zeros(7)}), r"\[7\], not \[128\]"),
    ],
)
def test_wrong_clip_weights_are_refused(change, message):
    tensors = clip_tensors()
    change(tensors)
    with pytest.raises(AudioXError, match=message):
        build_clip(tensors)


def test_t5_sizes():
    assert encoders.T5Sizes.from_shapes(models.shapes_of(t5_tensors())) == encoders.T5Sizes(
        width=128, depth=SMALL.t5_depth, heads=4, head_width=16, ffn_width=SMALL.hidden, vocabulary=256
    )


def test_t5_takes_the_tied_embedding_under_either_name():
    ids = torch.tensor([[5, 9, 7, 1] + [0] * 12])
    tensors = t5_tensors()
    tied = dict(tensors)
    tied["encoder.embed_tokens.weight"] = tied["shared.weight"]
    out = [encoders.encode_text(build_t5(w), ids, (ids != 0).long()) for w in (tensors, tied)]
    assert torch.equal(*out)
    assert not out[0][0, 4:].any() and out[0][0, :4].abs().min() > 0


def test_padding_changes_nothing():
    model, ids = build_t5(t5_tensors()), torch.tensor([[5, 9, 7, 1]])
    padded = torch.nn.functional.pad(ids, (0, 12))
    short = encoders.encode_text(model, ids, torch.ones_like(ids))
    long = encoders.encode_text(model, padded, (padded != 0).long())
    torch.testing.assert_close(long[:, :4], short, atol=1e-5, rtol=0)


def test_wrong_t5_weights_are_refused():
    tensors = t5_tensors()
    tensors.pop("encoder.final_layer_norm.weight")
    with pytest.raises(AudioXError, match=r"T5 encoder do not fit: encoder\.final_layer_norm\.weight is missing"):
        build_t5(tensors)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> bytes:
    path: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    small.write_tokenizer(path)
    return path.read_bytes()


def test_an_empty_prompt_is_the_end_token(tokenizer):
    ids, mask, dropped = encoders.tokenize(tokenizer, "")
    assert ids.tolist() == [[1] + [0] * 127] and mask.sum() == 1 and dropped == ""


def test_ids_are_closed_and_padded(tokenizer):
    ids, mask, dropped = encoders.tokenize(tokenizer, "rain and thunder", length=8)
    assert ids.shape == mask.shape == (1, 8) and ids.dtype == mask.dtype == torch.int64
    assert ids[0, 3] == 1 and not ids[0, 4:].any() and dropped == ""
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]


def test_a_prompt_of_just_the_length_is_not_cut(tokenizer):
    ids, _, dropped = encoders.tokenize(tokenizer, "rain and thunder", length=4)
    assert ids[0, -1] == 1 and dropped == ""


def test_what_is_cut_is_told(tokenizer):
    ids, mask, dropped = encoders.tokenize(tokenizer, "rain and thunder on the sea", length=4)
    assert ids[0, -1] == 1 and mask.all()
    assert dropped == "on the sea"


def test_a_tokenizer_of_something_else_is_refused():
    from tokenizers import Tokenizer
    from tokenizers import models as kinds

    other = Tokenizer(kinds.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).to_str().encode()
    with pytest.raises(AudioXError, match="no token </s>"):
        encoders.tokenize(other, "a")
