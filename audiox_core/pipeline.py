"""AudioX without ComfyUI: prompts in, sound out, one stage after the other.

In use:

    model = AudioX(open_checkpoint("models/audiox/AudioX-Turbo/audiox_turbo"))
    prompt = Prompt(text=model.encode_text("Typing on a keyboard")[0])
    latent = model.sample(prompt, run_settings(model.variant), seeds=[0])
    sound = model.decode(latent, seconds=10.0)  # (1, 2, 441000)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import lengths, sampling
from .checkpoint import Checkpoint
from .errors import AudioXError
from .media.frames import FrameRequest, encoder_requests
from .media.levels import finish
from .model import encoders
from .model.network import AudioXNetwork
from .model.synchformer import Synchformer
from .model.synchformer import encode as encode_sync
from .model.vae import OobleckVAE
from .offload.placing import Placing
from .offload.plan import Plan
from .presets import OBJECTIVES, RunSettings
from .prompts import encode_prompt

Progress = Callable[[str, int, int], None]
"""progress(stage, done, total); may raise to stop."""


@dataclass(frozen=True)
class Prompt:
    """Encoder outputs of one prompt, on the CPU in float32; None for what is absent.

    text (1, 128, W); clip_tokens (1, 2500, W) with sync_features (1, 240, W), the latter None for the first AudioX;
    audio (1, 64, 215), a VAE latent, or (1, 256, 1723), a log mel spectrogram, for AudioX-MAF.
    """

    text: Tensor | None = None
    clip_tokens: Tensor | None = None
    sync_features: Tensor | None = None
    audio: Tensor | None = None


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
        plan: Plan | None = None,
    ) -> None:
        """dtype is the network's and the encoders'; the VAE runs in float32 by default, as upstream decodes.

        plan: of `offload.plan`, says which parts stay, stream or are dropped; its types should be these.
        """
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.dtype, self.vae_dtype = dtype, vae_dtype
        self.plan = plan
        self._placing = Placing(plan, self.device)
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
        """The autoencoder, working in pieces as large as the plan says."""
        vae = self.load("vae", OobleckVAE, self.vae_dtype)
        vae.set_piece(None if self.plan is None else self.plan.piece)
        return vae

    @contextlib.contextmanager
    def on_device(self, name: str, model: nn.Module) -> Iterator[None]:
        """A part on the device inside the block; after it where the plan wants it, or else on the CPU."""
        try:
            with self._placing.on_device(name, model):
                yield
        finally:
            if self._placing.goes(name):
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

        def statistics(sound: Tensor) -> tuple[Tensor, Tensor]:
            vae = self.vae()
            with self.on_device("vae", vae), torch.inference_mode():
                mean, std = vae.encode_statistics(sound.to(self.device, self.vae_dtype))
                return mean.float().cpu(), std.float().cpu()

        return encode_prompt(
            self.checkpoint.sizes["network"].audio,
            prompt[None],
            statistics,
            torch.Generator().manual_seed(seed),
            use_mean=use_mean,
            random_mask=random_mask,
        )

    def sample(
        self,
        prompt: Prompt,
        settings: RunSettings,
        seeds: Sequence[int] = (0,),
        negative: Prompt | None = None,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Latents (len(seeds), 64, 236); item i is what a run with seeds[i] alone gives.

        negative counts only with guidance (settings.cfg other than 1); None steers away from no prompt at all.
        """
        network = self.load("network", AudioXNetwork, self.dtype)
        sizes, objective = network.sizes.transformer, OBJECTIVES[self.variant]
        sigmas, noise = objective.sigmas(settings.steps, 1.0), sampling.SeededNoise(seeds)
        with self.on_device("network", network), torch.inference_mode():
            context = self._context(network, prompt)
            if settings.cfg != 1:
                against = network.null_context(1, context) if negative is None else self._context(network, negative)
                context = torch.cat((context, against))
            velocity = guided(network, network.prepare(context), settings.cfg, settings.rescale)
            start = noise(torch.empty(len(seeds), sizes.latent_channels, sizes.latent_length, device=self.device))
            out = objective.samplers[settings.sampler](
                objective.denoiser(velocity),
                start * sigmas[0],
                sigmas,
                objective.step_noise(noise, sigmas),
                lambda step, steps, _: progress("sample", step + 1, steps),
            )
            return out.float().cpu()

    def _context(self, network: AudioXNetwork, prompt: Prompt) -> Tensor:
        place = {"device": self.device, "dtype": self.dtype}
        encoded = (prompt.clip_tokens, prompt.sync_features, prompt.audio)
        text = prompt.text
        if text is None:
            text = torch.zeros(1, 1, network.sizes.transformer.context_width)
        return network.context(text.to(**place), *(None if x is None else x.to(**place) for x in encoded))

    def decode(self, latent: Tensor, *, seconds: float = lengths.CLIP_SECONDS, normalize: bool = False) -> Tensor:
        """Sound (B, 2, samples) at 44.1 kHz, trimmed to `seconds`, on the CPU in float32."""
        if not 0 < seconds <= lengths.CLIP_SECONDS:
            raise AudioXError(
                f"A length of {seconds:g} s was asked for, expected more than 0 and at most "
                f"{lengths.CLIP_SECONDS:g} s: this model makes no longer sound."
            )
        vae = self.vae()
        with self.on_device("vae", vae), torch.inference_mode():
            together = len(latent) if self.plan is None else self.plan.decode_sounds
            latents = latent.to(self.device, self.vae_dtype).split(together)
            sound = torch.cat([vae.decode(part).float().cpu() for part in latents])
            return finish(sound, seconds=seconds, normalize=normalize)


def guided(network: AudioXNetwork, prepared: Tensor, scale: float, rescale: float = 0.0) -> sampling.Velocity:
    """The network's output for a batch. With guidance, `prepared` ends with the rows to steer away from.

    rescale: see `sampling.rescale_guidance`.
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        x = x.to(prepared)
        if scale == 1:
            return network(x, t, prepared).float()
        towards, away = network(torch.cat((x, x)), torch.cat((t, t)), prepared).float().chunk(2)
        out = away + scale * (towards - away)
        return sampling.rescale_guidance(out, towards, rescale) if rescale else out

    return velocity
