"""AudioX without ComfyUI: prompts in, sound out, one stage after the other.

In use:

    model = AudioX(open_checkpoint("models/audiox/AudioX-Turbo/audiox_turbo"))
    prompt = Prompt(text=model.encode_text("Typing on a keyboard")[0])
    latent = model.sample(prompt, run_settings(model.variant), seeds=[0])
    sound = model.decode(latent, seconds=10.0)  # (1, 2, 441000)
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from . import lengths
from .checkpoint import Checkpoint
from .errors import AudioXError
from .media.decoding import decode_loop, decode_part
from .media.frames import FrameRequest, encoder_requests
from .media.levels import limit_peak
from .memory.placement import Placement
from .memory.plan import MemoryPlan
from .models import encoders
from .models.cuda_graph import RecordedNetwork, can_record
from .models.network import AudioXNetwork
from .models.synchformer import Synchformer
from .models.synchformer import encode as encode_sync
from .models.vae import OobleckVAE
from .prompts import Prompt, encode_prompt
from .sampling import windows
from .sampling.presets import OBJECTIVES, RunSettings
from .sampling.run import Known, guided, run_sampler, windowed

Progress = Callable[[str, int, int], None]
"""progress(stage, done, total); may raise to stop."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


class AudioX:
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
        """dtype is the network's and the encoders'; the VAE runs in float32 by default, as upstream decodes.

        plan: of `offload.plan`, says which parts stay, stream or are dropped; its types should be these.
        cuda_graphs: see `graphs`; for many evaluations of the network. Without a plan it then stays on the device.
        """
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.dtype, self.vae_dtype = dtype, vae_dtype
        self.plan = plan
        self._records = cuda_graphs and can_record(self.device, plan is not None and plan.streaming.prompt_layers)
        self._recorded: RecordedNetwork | None = None
        self._placing = Placement(plan, self.device, frozenset({"network"} if self._records else ()))
        self._parts: dict[str, nn.Module] = {}

    @property
    def variant(self) -> str:
        """Which model it is: a key of `variants.VARIANTS`."""
        return self.checkpoint.variant

    def part(self, name: str, build: Callable[[], nn.Module]) -> nn.Module:
        """A part on the CPU, built once."""
        if name not in self._parts:
            self._parts[name] = build().eval().requires_grad_(False)
        return self._parts[name]

    def load(self, name: str, model_class: type[nn.Module], dtype: torch.dtype) -> nn.Module:
        """A part made of our own classes: built without memory, then filled from the file."""

        def build() -> nn.Module:
            model = model_class(self.checkpoint.sizes[name], device="meta")
            model.load_state_dict(self.checkpoint.state_dict(name, dtype), assign=True)
            return model

        self.checkpoint.require(name)
        return self.part(name, build)

    def vae(self) -> OobleckVAE:
        """The autoencoder, with tiles as large as the plan says."""
        vae = self.load("vae", OobleckVAE, self.vae_dtype)
        vae.set_tile_size(None if self.plan is None else self.plan.decoding.tile_size)
        return vae

    @contextlib.contextmanager
    def on_device(self, name: str, model: nn.Module) -> Iterator[None]:
        """A part on the device inside the block; after it where the plan wants it, or else on the CPU."""
        try:
            with self._placing.on_device(name, model):
                yield
        finally:
            if name == "network" and name not in self._placing.resident:
                self._recorded = None
            if self._placing.drops(name):
                self._parts.pop(name, None)

    def encode_text(self, text: str) -> tuple[Tensor, str]:
        """T5's tokens (1, 128, W) of a text, and what of it was cut off for being too long."""
        state_dict = self.checkpoint.state_dict
        self.checkpoint.require("tokenizer")
        ids, mask, dropped = encoders.tokenize(self.checkpoint.tokenizer_json(), text)
        model = self.part("t5", lambda: encoders.build_t5(self.checkpoint.sizes["t5"], state_dict("t5", self.dtype)))
        with self.on_device("t5", model), torch.inference_mode():
            out = encoders.encode_text(model, ids.to(self.device), mask.to(self.device))
            return out.float().cpu(), dropped

    def frame_requests(self) -> tuple[FrameRequest, ...]:
        """How CLIP and, where the model has it, Synchformer want a video read; see `media.frames.read_clip`."""
        sizes, names = self.checkpoint.sizes, self.checkpoint.video_encoders()
        for name in names:
            self.checkpoint.require(name)
        return encoder_requests(*(sizes[name].image_size for name in names))

    def encode_video(
        self, clip_frames: Tensor, sync_frames: Tensor | None = None, progress: Progress = no_progress
    ) -> tuple[Tensor | None, Tensor | None]:
        """CLIP tokens and Synchformer features of uint8 frames (N, 3, size, size) as `frame_requests` asks.

        Both None for an all-black video, which the weights know as no video; features None without sync_frames.
        """
        if not clip_frames.any():
            return None, None
        clip = self.part(
            "clip_vision",
            lambda: encoders.build_clip(
                self.checkpoint.sizes["clip_vision"], self.checkpoint.state_dict("clip_vision", self.dtype)
            ),
        )
        with self.on_device("clip_vision", clip), torch.inference_mode():
            tokens = encoders.encode_clip(clip, clip_frames.to(self.device)).float().cpu()
        if sync_frames is None:
            return tokens, None
        del clip  # where the plan drops parts, this is the last of it
        sync = self.load("synchformer", Synchformer, self.dtype)
        with self.on_device("synchformer", sync), torch.inference_mode():
            features = encode_sync(
                sync, sync_frames.to(self.device), progress=lambda done, total: progress("video", done, total)
            )
            return tokens, features.float().cpu()

    def encode_audio(
        self, prompt: Tensor, *, seed: int = 0, use_mean: bool = False, random_mask: bool = False
    ) -> Tensor:
        """What the network takes of an audio prompt (2, 441000) at 44.1 kHz; see `media.audio.prepare_prompt`.

        A VAE latent (1, 64, 215), drawn or with use_mean its mean; for AudioX-MAF a log mel spectrogram
        (1, 256, 1723). random_mask masks it as upstream does, except in the first AudioX, where it is an error.
        """

        return encode_prompt(
            self.checkpoint.sizes["network"].audio,
            prompt[None],
            self.encode_statistics,
            torch.Generator().manual_seed(seed),
            use_mean=use_mean,
            random_mask=random_mask,
        )

    def encode_statistics(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """The VAE's mean and deviation, each (B, 64, frames), of sound (B, 2, samples) at 44.1 kHz."""
        vae = self.vae()
        with self.on_device("vae", vae), torch.inference_mode():
            mean, std = vae.encode_statistics(sound.to(self.device, self.vae_dtype))
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
        known: Known | None = None,
        network: AudioXNetwork | None = None,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Latents (len(seeds), 64, frames); item i is what a run with seeds[i] and its prompts alone gives.

        prompt, negative: one for all seeds or one for each. frames: 236, or as many as `seconds` need, see `lengths`;
        those of `known` where it is given. negative counts only with guidance (settings.cfg other than 1); None steers
        away from no prompt at all. loop: the end meets the beginning. network: another one in place of the model's.

        Raises:
            AudioXError: a prompt that does not cover the sound, a length that cannot be made, a loop to a video, or
                prompts that are not as many as the seeds.
        """
        prompts = one_or_each(prompt, len(seeds))
        negatives = None if negative is None else one_or_each(negative, len(seeds))
        network = network or self.load("network", AudioXNetwork, self.dtype)
        known, windows = self._known_and_windows(network, known, seconds, loop)
        with self.on_device("network", network), torch.inference_mode():
            contexts = self._contexts(network, prompts, negatives, settings, windows, loop)
            out = run_sampler(
                guided(windowed(self._evaluated(network), contexts, windows), settings),
                OBJECTIVES[self.variant],
                settings,
                seeds,
                known,
                lambda done, steps: progress("sample", done, steps),
            )
            return out.float().cpu()

    def _evaluated(self, network: AudioXNetwork) -> AudioXNetwork | RecordedNetwork:
        """What computes the steps of a run: the network on the device, or the one that records it."""
        if not self._records:
            return network
        if self._recorded is None or self._recorded.network is not network:
            self._recorded = RecordedNetwork(network, None if self.plan is None else self.plan.free_vram)
        self._recorded.begin()
        return self._recorded

    def _known_and_windows(
        self, network: AudioXNetwork, known: Known | None, seconds: float, loop: bool
    ) -> tuple[Known, Sequence[windows.Window]]:
        """What the run starts from, on the device, and the windows it is made of."""
        if known is None:
            lengths.check_length(seconds)
            channels = network.sizes.transformer.latent_channels
            frames = lengths.latent_frames(seconds, loop=loop)
            known = Known(torch.zeros(1, channels, frames))
        if not loop:
            known = known.padded(lengths.whole_frames(known.latent.shape[-1]))
        frames = known.latent.shape[-1]
        known = replace(known, latent=known.latent.to(self.device))
        return known, windows.circle(frames) if loop else windows.line(frames)

    def _contexts(
        self,
        network: AudioXNetwork,
        prompts: Sequence[Prompt],
        negatives: Sequence[Prompt] | None,
        settings: RunSettings,
        sound: Sequence[windows.Window],
        loop: bool,
    ) -> list[Tensor]:
        """Fused prompts as `windowed` and `guided` take them: one for each window, or one for all."""
        rows = max(len(prompts), len(negatives or ()))
        steering = [prompts]
        if settings.guided_apart:
            steering.append([replace(each, text=None) for each in prompts])
        if settings.cfg != 1 and negatives is not None:
            steering.append(negatives)
        for each in itertools.chain(*steering):
            each.check_fits(len(sound), loop, network.sizes)

        def fused(prompts: Sequence[Prompt], window: int) -> Tensor:
            made = torch.cat([self._context(network, each.at(window, network.sizes)) for each in prompts])
            return made.expand(rows, -1, -1)

        def context(window: int) -> Tensor:
            made = [fused(each, window) for each in steering]
            if settings.cfg != 1 and negatives is None:
                made.append(network.null_context(rows, made[0]))
            return torch.cat(made)

        held = max(each.windows(network.sizes) for each in itertools.chain(*steering))
        return [context(i) for i in range(min(held, len(sound)))]

    def _context(self, network: AudioXNetwork, prompt: Prompt) -> Tensor:
        place = {"device": self.device, "dtype": self.dtype}
        encoded = (prompt.clip_tokens, prompt.sync_features, prompt.audio)
        text = prompt.text
        if text is None:
            text = torch.zeros(1, 1, network.sizes.transformer.context_width)
        return network.context(text.to(**place), *(None if x is None else x.to(**place) for x in encoded))

    def decode(
        self, latent: Tensor, *, seconds: float = lengths.CLIP_SECONDS, normalize: bool = False, loop: bool = False
    ) -> Tensor:
        """Sound (B, 2, samples) at 44.1 kHz, trimmed to `seconds`, on the CPU in float32.

        loop: the latent is one whose end meets its beginning, and so does the sound's.
        """
        lengths.check_length(seconds)
        samples = lengths.samples_from_seconds(seconds)
        vae = self.vae()
        with self.on_device("vae", vae), torch.inference_mode():

            def decoded(latent: Tensor) -> Tensor:
                together = len(latent) if self.plan is None else self.plan.decoding.batch
                parts = latent.to(self.device, self.vae_dtype).split(together)
                return torch.cat([vae.decode(part).float().cpu() for part in parts])

            sound = decode_loop(decoded, latent, samples) if loop else decode_part(decoded, latent, samples)
            return limit_peak(sound, normalize=normalize)


def one_or_each(prompts: Prompt | Sequence[Prompt], count: int) -> Sequence[Prompt]:
    """A prompt that serves all of a number of sounds, or one for each; AudioXError for another number of them."""
    if isinstance(prompts, Prompt):
        return [prompts]
    if len(prompts) != count:
        raise AudioXError(f"There are {len(prompts)} prompts for {count} seeds, expected one for each, or one for all.")
    return prompts
