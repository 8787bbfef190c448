"""Peak bytes of the tensors that each stage creates, without the weights: formulae derived from `audiox_core.models`.

The tests compare every formula with the lifetimes of real tensors: an estimate is never below what they take, and at
most a sixth and 1 MB above it. What libraries allocate inside an operator (cuDNN's buffers, MKL's packed weights) is
not counted here; the plan sets `plan.LIBRARY_BYTES` aside for it.

`size` is always the bytes of one number. Terms name the tensors that are alive at the peak.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..lengths import CLIP_FPS, CLIP_SECONDS, PROMPT_SAMPLES, SYNC_FPS
from ..models.conditioners import VideoSizes
from ..models.dit import DiTSizes
from ..models.encoders import CLIP_BATCH, TEXT_TOKENS, ClipSizes, T5Sizes
from ..models.maf import MAFSizes
from ..models.mmdit import MMDiTSizes
from ..models.network import NetworkSizes
from ..models.synchformer import SynchformerSizes
from ..models.tiling import tile_positions
from ..models.vae import UNIT_KERNEL, UNITS_REACH, VAESizes

FLOAT32 = 4
SMALL_TENSORS = 2**18
"""For tensors too small to name: masks, tables, times."""


def prepared(sizes: NetworkSizes, prompts: int, size: int) -> int:
    """Bytes of what `AudioXNetwork.prepare` returns: modulation (MMDiT), or keys and values (DiT)."""
    inner = sizes.transformer
    if isinstance(inner, DiTSizes):
        return prompts * inner.depth * 2 * inner.context_width * sizes.context_tokens * size
    return prompts * inner.depth * 6 * inner.positions * inner.width * size


def prepare(sizes: NetworkSizes, prompts: int, size: int) -> int:
    """Peak of `AudioXNetwork.prepare`, including its result."""
    inner = sizes.transformer
    if isinstance(inner, DiTSizes):  # the embedded prompt, one layer's keys and values
        more = 3 * inner.context_width * sizes.context_tokens
    else:  # the input of the modulation layers, one layer's modulation
        more = 7 * inner.positions * inner.width
    return prepared(sizes, prompts, size) + prompts * more * size


def context(sizes: NetworkSizes, prompts: int, size: int, video: bool) -> int:
    """Peak of `AudioXNetwork.context`: the temporal transformer over a video, or the fusion."""
    numbers = _fusion_numbers(sizes.maf, sizes.context_tokens, sizes.transformer.context_width)
    if video:
        numbers = max(numbers, _temporal_numbers(sizes.video))
    return prompts * size * numbers + SMALL_TENSORS


def _temporal_numbers(video: VideoSizes) -> int:
    """Six tensors of the tokens' size (input, stream, normed, ...), and the hidden layer before and after gelu."""
    wide = max(2 * video.ffn_width, 4 * video.attention_width)
    return video.frames * video.tokens_per_frame * (6 * video.width + wide)


def _fusion_numbers(maf: MAFSizes | None, tokens: int, width: int) -> int:
    if maf is None:
        return 2 * tokens * width  # the groups and their concatenation
    rows = maf.experts + tokens
    crossing = (2 * tokens + 4 * rows) * width  # groups, gated groups; experts with them, and their projections
    layer = 2 * tokens * width + maf.experts * (5 * width + 2 * max(maf.ffn_width, 2 * width))
    return max(crossing, layer)


def evaluation(sizes: NetworkSizes, prompts: int, sounds: int, frames: int, size: int) -> int:
    """Peak of one evaluation of the transformer on a batch, beyond `prepared`.

    sounds: rows of the batch, twice the sounds with guidance. prompts: rows of `prepared`; rows that serve several
    sounds are copied for them, one layer at a time.
    """
    inner, shared = sizes.transformer, sounds > prompts
    if isinstance(inner, DiTSizes):
        numbers = _dit_numbers(inner, 1 + frames, sizes.context_tokens, shared)
    else:
        numbers = _mmdit_numbers(inner, size, shared)
    states = 8 * inner.latent_channels * frames  # the latent, its noise, the output and guidance's parts
    return sounds * (numbers * size + states * FLOAT32) + SMALL_TENSORS


def _mmdit_numbers(inner: MMDiTSizes, size: int, shared: bool) -> int:
    feed_forward = 5 * inner.ffn_width + 7 * inner.width  # the gated product, padded, three times; taps of the input
    attention = (5 + 4 * FLOAT32 // size) * inner.width  # rotary positions are computed in float32
    copied = 6 * inner.width if shared else 0  # one layer's modulation
    return inner.positions * (max(feed_forward, attention) + copied)


def _dit_numbers(inner: DiTSizes, positions: int, tokens: int, shared: bool) -> int:
    feed_forward = positions * (4 * inner.ffn_width + 2 * inner.width)
    attention = positions * 9 * inner.width
    crossing = positions * 5 * inner.width + tokens * 2 * inner.width  # keys and values repeated for all heads
    copied = 2 * tokens * inner.context_width if shared else 0  # one layer's keys and values
    return max(feed_forward, attention, crossing) + copied


def scores(sizes: NetworkSizes, sounds: int, frames: int) -> int:
    """What an evaluation takes in addition where attention is not fused: scores twice, copied inputs, in float32."""
    inner, positions = sizes.transformer, 1 + frames
    seen = sizes.context_tokens if isinstance(inner, DiTSizes) else positions
    numbers = 2 * inner.heads * positions * max(positions, seen) + inner.width * (positions + 2 * seen)
    return sounds * numbers * FLOAT32


def text(sizes: T5Sizes, size: int) -> int:
    """Peak of `encoders.encode_text`."""
    scores = sizes.heads * TEXT_TOKENS**2
    positions = 6 * TEXT_TOKENS**2 * 8  # int64
    inner = sizes.heads * sizes.head_width
    layer = TEXT_TOKENS * (4 * sizes.width + max(2 * sizes.ffn_width, 4 * inner))
    return (scores + max(layer, TEXT_TOKENS * 5 * inner + 2 * scores)) * size + positions


def clip(sizes: ClipSizes, size: int) -> int:
    """Peak of `encoders.encode_clip` on a video's frames, which are on the device as bytes."""
    frames = int(CLIP_SECONDS * CLIP_FPS)
    pixels = 3 * sizes.image_size**2
    tokens = CLIP_BATCH * sizes.tokens_per_frame
    layer = tokens * (3 * sizes.width + max(3 * sizes.ffn_width, 5 * sizes.width)) * size
    call = max(2 * CLIP_BATCH * pixels * FLOAT32, CLIP_BATCH * pixels * size + layer)
    return frames * (pixels + sizes.tokens_per_frame * sizes.width * size) + call + SMALL_TENSORS


def synchformer(sizes: SynchformerSizes, size: int, segments: int) -> int:
    """Peak of `synchformer.encode` on a video's frames, with a number of segments a call."""
    frames = int(CLIP_SECONDS * SYNC_FPS)
    pixels = 3 * sizes.image_size**2
    segment = segments * sizes.segment_frames * pixels
    tokens = segments * (1 + sizes.times * sizes.positions)
    layer = tokens * (3 * sizes.width + max(2 * sizes.ffn_width, 8 * sizes.width)) * size
    converted = size if size < FLOAT32 else 0  # to the model's type
    normalising = segment * (1 + FLOAT32 + converted)  # bytes and float32
    return frames * pixels + max(normalising, segment * size + layer) + SMALL_TENSORS


def decode(sizes: VAESizes, sounds: int, frames: int, size: int, tile_size: int) -> int:
    """Peak of `OobleckVAE.decode`; tile_size: numbers in the widest tensor of a tile, see `tiling.tile_positions`.

    For each block: its input, its output so far, and three tensors of a tile.
    """
    peak, width, length = 0, sizes.widths[-1], frames
    outputs = (*sizes.widths[-2::-1], sizes.channels)
    for index, (output, stride) in enumerate(zip(outputs, sizes.strides[::-1], strict=True)):
        last = index == len(outputs) - 1
        run = TiledRun(
            length=length,
            positions=tile_positions(sounds, output * stride, tile_size),
            margin=UNITS_REACH // stride + 2 + (UNIT_KERNEL // 2 if last else 0),
            working=3 * output * stride,
            result=(sizes.audio_channels if last else output) * stride,
        )
        peak = max(peak, width * length + run.peak())
        width, length = output, length * stride
    return sounds * peak * size + SMALL_TENSORS


def encode(sizes: VAESizes, sounds: int, size: int, tile_size: int, samples: int = PROMPT_SAMPLES) -> int:
    """Peak of `OobleckVAE.encode_statistics`: as above, but a block's input outlives its first unit."""
    peak, length = 0, samples
    inputs = (sizes.channels, *sizes.widths[:-1])
    for index, (width, output, stride) in enumerate(zip(inputs, sizes.widths, sizes.strides, strict=True)):
        first = index == 0
        run = TiledRun(
            length=length,
            positions=tile_positions(sounds, width, tile_size),
            margin=UNITS_REACH + 3 * stride // 2 + (UNIT_KERNEL // 2 if first else 0),
            working=4 * width,
            result=-(-output // stride),
        )
        peak = max(peak, (0 if first else width * length) + run.peak(shared=not first))
        length //= stride
    return sounds * (sizes.audio_channels * samples + peak) * size + SMALL_TENSORS


@dataclass(frozen=True)
class TiledRun:
    """One call of `tiling.run_tiled`.

    length: of the input. positions, margin: of a tile. working, result: numbers at each position of the input in the
    tensors of a tile and in the output, for one sound.
    """

    length: int
    positions: int
    margin: int
    working: int
    result: int

    def peak(self, shared: bool = False) -> int:
        """Numbers alive at the peak, without the input. shared: a block that isn't tiled works on the input itself."""
        if self.length <= self.positions + self.margin:
            return self.length * (self.working * 3 // 4 if shared else self.working)
        later = min(self.positions + 2 * self.margin, self.length - self.positions + self.margin)
        return max(self.working * (self.positions + self.margin), self.result * self.length + self.working * later)
