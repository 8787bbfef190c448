"""The stages of a run, one after the other: encoders, sampler, decoder. `pipeline.AudioX` is the way in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from . import lengths
from .checkpoint import Checkpoint
from .errors import AudioXError
from .media.decoding import decode_loop, decode_part
from .media.frames import FrameRequest, encoder_requests
from .media.peak_limit import limit_peak
from .memory.placement import Placement
from .memory.plan import MemoryPlan
from .models import encoders
from .models.cuda_graph import RecordedNetwork, can_record
from .models.network import AudioXNetwork
from .models.synchformer import Synchformer
from .models.synchformer import encode as encode_sync
from .models.vae import OobleckVAE
from .progress import Counter, Progress, no_progress
from .prompts import Prompt, encode_prompt, fuse, one_or_each
from .release.components import CLIP_VISION, NETWORK, PROMPT_ENCODER, SYNCHFORMER, T5, TOKENIZER, VAE
from .sampling.objectives import OBJECTIVES
from .sampling.presets import RunSettings, resolve_settings
from .sampling.run import Network, guided, run_sampler, windowed
from .sampling.windows import layout_windows, pad_to_windows

M = TypeVar("M", bound=nn.Module)


class Stages:
    """A checkpoint on a device. A part is read when its stage first runs and leaves the device after each stage."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        vae_dtype: torch.dtype = torch.float32,
        plan: MemoryPlan | None = None,
        cuda_graphs: bool = False,
    ) -> None:
        """dtype is the network's and the encoders'; the VAE runs in float32 by default, as in the official code.

        plan: from `memory.plan_memory`, says which parts stay, stream or are dropped; its types should be these.
        cuda_graphs: see `models.cuda_graph`; for many evaluations of the network. Without a plan the network then
        stays on the device.
        """
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.dtype, self.vae_dtype = dtype, vae_dtype
        self.plan = plan
        self._records = cuda_graphs and can_record(self.device, plan is not None and plan.streaming.prompt_layers)
        self._recorded: RecordedNetwork | None = None
        self._placement = Placement(plan, self.device, frozenset({NETWORK} if self._records else ()))
        self._parts: dict[str, nn.Module] = {}

    @property
    def variant(self) -> str:
        """Which model it is: a key of `release.variants.VARIANTS`."""
        return self.checkpoint.variant

    def settings(
        self,
        *,
        steps: int = 0,
        cfg: float = 0.0,
        sampler: str = "auto",
        cfg_rescale: float = 0.0,
        video_cfg: float = 0.0,
    ) -> RunSettings:
        """Settings of a run; 0 and "auto" take the model's default. See `sampling.presets.resolve_settings`."""
        return resolve_settings(
            self.variant,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            rescale=cfg_rescale,
            video_cfg=video_cfg,
            guidance=self.checkpoint.guidance,
        )

    def part(self, name: str, build: Callable[[], M]) -> M:
        """A part on the CPU, built once."""
        if name not in self._parts:
            self._parts[name] = build().eval().requires_grad_(False)
        return cast(M, self._parts[name])

    def load(self, name: str, model_class: type[M], dtype: torch.dtype, progress: Progress = no_progress) -> M:
        """A component that is a class of ours; see `Checkpoint.load_model`."""
        return self.part(name, lambda: self.checkpoint.load_model(name, model_class, dtype, progress))

    def network(self, progress: Progress = no_progress) -> AudioXNetwork:
        """The trained network."""
        return self.load(NETWORK, AudioXNetwork, self.dtype, progress)

    def vae(self, progress: Progress = no_progress) -> OobleckVAE:
        """The autoencoder, working in tiles as large as the plan says."""
        vae = self.load(VAE, OobleckVAE, self.vae_dtype, progress)
        vae.set_tile_size(None if self.plan is None else self.plan.decoding.tile_size)
        return vae

    @contextlib.contextmanager
    def on_device(self, name: str, model: nn.Module) -> Iterator[None]:
        """A part on the device inside the block; afterwards where the plan wants it, or else on the CPU."""
        try:
            with self._placement.on_device(name, model):
                yield
        finally:
            if name == NETWORK and name not in self._placement.resident:
                self._recorded = None
            if self._placement.drops(name):
                self._parts.pop(name, None)

    def encode_text(self, text: str, progress: Progress = no_progress) -> tuple[Tensor, str]:
        """T5's tokens (1, 128, W) of a text, and the words that were cut off because it is too long."""
        sizes, state_dict = self.checkpoint.sizes, self.checkpoint.state_dict
        self.checkpoint.require(TOKENIZER)
        ids, mask, cut_off = encoders.tokenize(self.checkpoint.tokenizer_json(), text)
        model = self.part(T5, lambda: encoders.build_t5(sizes[T5], state_dict(T5, self.dtype, progress)))
        progress("text", 0, 1)
        with self.on_device(T5, model), torch.inference_mode():
            out = encoders.encode_text(model, ids.to(self.device), mask.to(self.device)).float().cpu()
        progress("text", 1, 1)
        return out, cut_off

    def frame_requests(self) -> tuple[FrameRequest, ...]:
        """The frames that CLIP and, where the model has it, Synchformer need; see `media.frames.read_clip`."""
        sizes, names = self.checkpoint.sizes, self.checkpoint.video_encoders()
        for name in names:
            self.checkpoint.require(name)
        return encoder_requests(*(sizes[name].image_size for name in names))

    def encode_video(
        self, clip_frames: Tensor, sync_frames: Tensor | None = None, progress: Progress = no_progress
    ) -> tuple[Tensor | None, Tensor | None]:
        """CLIP tokens and Synchformer features of uint8 frames (N, 3, size, size) as `frame_requests` describes them.

        Both None for all-black frames, which count as no video (so they did in training); features None without
        sync_frames.
        """
        if not clip_frames.any():
            return None, None
        frames = len(clip_frames) + (0 if sync_frames is None else len(sync_frames))
        tokens = self._encode_clip(clip_frames, frames, progress)
        if sync_frames is None:
            return tokens, None
        return tokens, self._encode_sync(sync_frames, frames, progress)

    def _encode_clip(self, frames: Tensor, total: int, progress: Progress) -> Tensor:
        """total: frames of all encoders, of which these are the first."""
        sizes, state_dict = self.checkpoint.sizes[CLIP_VISION], self.checkpoint.state_dict
        clip = self.part(CLIP_VISION, lambda: encoders.build_clip(sizes, state_dict(CLIP_VISION, self.dtype, progress)))
        progress("video", 0, total)
        with self.on_device(CLIP_VISION, clip), torch.inference_mode():
            tokens = encoders.encode_clip(
                clip, frames.to(self.device), progress=lambda done, _: progress("video", done, total)
            )
            return tokens.float().cpu()

    def _encode_sync(self, frames: Tensor, total: int, progress: Progress) -> Tensor:
        """total: frames of all encoders, of which these are the last."""
        first = total - len(frames)

        def report(segments: int, all_segments: int) -> None:
            progress("video", first + len(frames) * segments // all_segments, total)

        sync = self.load(SYNCHFORMER, Synchformer, self.dtype, progress)
        progress("video", first, total)
        with self.on_device(SYNCHFORMER, sync), torch.inference_mode():
            return encode_sync(sync, frames.to(self.device), progress=report).float().cpu()

    def encode_audio(
        self,
        prompt: Tensor,
        *,
        seed: int = 0,
        use_mean: bool = False,
        random_mask: bool = False,
        progress: Progress = no_progress,
    ) -> Tensor:
        """The network's input for an audio prompt (2, 441000) at 44.1 kHz; see `media.audio.prepare_prompt`.

        A VAE latent (1, 64, 215), drawn or with use_mean its mean; for AudioX-MAF a log mel spectrogram
        (1, 256, 1723). random_mask masks it as the official code does, except in the first AudioX, where it is an
        error.
        """
        return encode_prompt(
            self.checkpoint.sizes[NETWORK].audio,
            prompt[None],
            lambda sound: self.encode_prompt_statistics(sound, progress),
            torch.Generator().manual_seed(seed),
            use_mean=use_mean,
            random_mask=random_mask,
        )

    def encode_statistics(self, sound: Tensor, progress: Progress = no_progress) -> tuple[Tensor, Tensor]:
        """The VAE's mean and standard deviation, each (B, 64, frames), of sound (B, 2, samples) at 44.1 kHz."""
        return self._statistics(self.vae(progress), sound, progress)

    def encode_prompt_statistics(self, sound: Tensor, progress: Progress = no_progress) -> tuple[Tensor, Tensor]:
        """The same for an audio prompt: with the encoder that the official code uses for it."""
        vae = self.vae(progress)
        if self.checkpoint.prompt_encoder:
            tile_size = vae.encoder.tile_size
            vae = self.part(PROMPT_ENCODER, lambda: self.checkpoint.load_prompt_vae(self.vae_dtype))
            vae.set_tile_size(tile_size)
        return self._statistics(vae, sound, progress)

    def _statistics(self, vae: OobleckVAE, sound: Tensor, progress: Progress) -> tuple[Tensor, Tensor]:
        counter = Counter(progress, "audio", len(sound) * (sound.shape[-1] // lengths.SAMPLES_PER_LATENT))
        with self.on_device(VAE, vae), torch.inference_mode():
            mean, std = vae.encode_statistics(sound.to(self.device, self.vae_dtype), counter)
            return mean.float().cpu(), std.float().cpu()

    def sample(
        self,
        prompt: Prompt | Sequence[Prompt],
        settings: RunSettings,
        seeds: Sequence[int] = (0,),
        negative: Prompt | Sequence[Prompt] | None = None,
        *,
        seconds: float = lengths.CLIP_SECONDS,
        loop: bool = False,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        denoise: float = 1.0,
        network: AudioXNetwork | None = None,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Latents (len(seeds), 64, frames); item i is what a run with seeds[i] and its prompts alone gives.

        Args:
            prompt, negative: one for all seeds or one for each. negative counts only with guidance (settings.cfg other
                than 1); None takes those that the prompts carry, and steers away from no prompt at all where they
                carry none.
            seconds: length; frames are 236, or as many as it needs, see `lengths`. A source decides it instead.
            loop: the end meets the beginning.
            source, mask, denoise: latent (1, 64, frames) to start from; see `sampling.run.run_sampler`.
            network: another one in place of the model's.

        Raises:
            AudioXError: a prompt that does not cover the sound, a length that cannot be generated, a loop with a
                video, or prompts that are not as many as the seeds.
        """
        prompts = one_or_each(prompt, len(seeds), Prompt)
        negatives = negatives_of(prompts) if negative is None else one_or_each(negative, len(seeds), Prompt)
        network = network or self.network(progress)
        if source is None:
            lengths.check_length(seconds)
            channels = network.sizes.transformer.latent_channels
            source = torch.zeros(1, channels, lengths.latent_frames(seconds, loop=loop))
        if not loop:
            source, mask = pad_to_windows(source, mask)
        windows = [window.to(self.device) for window in layout_windows(source.shape[-1], loop=loop)]
        progress("sample", 0, settings.steps)
        with self.on_device(NETWORK, network), torch.inference_mode():
            contexts = self._contexts(network, prompts, negatives, settings, len(windows), loop)
            latents = run_sampler(
                guided(windowed(self._evaluated(network), contexts, windows), settings),
                OBJECTIVES[self.variant],
                settings,
                seeds,
                source.to(self.device),
                mask=mask,
                denoise=denoise,
                report=lambda done, steps: progress("sample", done, steps),
            )
            return latents.float().cpu()

    def _evaluated(self, network: AudioXNetwork) -> Network:
        """What computes the steps of a run: the network on the device, or the one that records it."""
        if not self._records:
            return network
        if self._recorded is None or self._recorded.network is not network:
            self._recorded = RecordedNetwork(network, None if self.plan is None else self.plan.free_vram)
        self._recorded.begin()
        return self._recorded

    def _contexts(
        self,
        network: AudioXNetwork,
        prompts: Sequence[Prompt],
        negatives: Sequence[Prompt] | None,
        settings: RunSettings,
        windows: int,
        loop: bool,
    ) -> list[Tensor]:
        """Fused prompts as `windowed` and `guided` take them: one for each window, or one for all."""
        rows = max(len(prompts), len(negatives or ()))
        groups = [prompts]
        if settings.scales_separately:
            groups.append([replace(each, text=None) for each in prompts])
        if settings.cfg != 1 and negatives is not None:
            groups.append(negatives)

        def fused(group: Sequence[Prompt]) -> list[Tensor]:
            each = [fuse(network, prompt, windows, loop=loop, device=self.device, dtype=self.dtype) for prompt in group]
            return [context.expand(rows, -1, -1) for context in joined(each)]

        contexts = [fused(group) for group in groups]
        if settings.cfg != 1 and negatives is None:
            contexts.append([network.null_context(rows, contexts[0][0])])
        return joined(contexts)

    def decode(
        self,
        latent: Tensor,
        *,
        seconds: float = lengths.CLIP_SECONDS,
        normalize: bool = False,
        loop: bool = False,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Sound (B, 2, samples) at 44.1 kHz, trimmed to `seconds`, on the CPU in float32.

        loop: the latent is one whose end meets its beginning, and so will the sound's.
        """
        lengths.check_length(seconds)
        samples = lengths.samples_from_seconds(seconds)
        vae = self.vae(progress)
        with self.on_device(VAE, vae), torch.inference_mode():

            def decoded(latent: Tensor) -> Tensor:
                batch = len(latent) if self.plan is None else self.plan.decoding.batch
                parts = latent.to(self.device, self.vae_dtype).split(batch)
                counter = Counter(progress, "decode", len(latent) * latent.shape[-1])
                return torch.cat([vae.decode(part, counter).float().cpu() for part in parts])

            sound = decode_loop(decoded, latent, samples) if loop else decode_part(decoded, latent, samples)
            return limit_peak(sound, normalize=normalize)


def joined(contexts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Contexts of several prompts concatenated along the batch, window by window; one that serves all is repeated."""
    count = max(map(len, contexts))
    return [torch.cat([each[i if len(each) > 1 else 0] for each in contexts]) for i in range(count)]


def negatives_of(prompts: Sequence[Prompt]) -> list[Prompt] | None:
    """The negative prompts that prompts carry; None where none carries one.

    Raises:
        AudioXError: only some of them carry one.
    """
    negatives = [each.negative for each in prompts if each.negative is not None]
    if negatives and len(negatives) != len(prompts):
        raise AudioXError(
            f"{len(negatives)} of {len(prompts)} prompts have a negative prompt: give one to each, or to none."
        )
    return negatives or None
