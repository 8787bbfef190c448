"""Load AudioX: from one checkpoint ComfyUI's own MODEL, VAE and CLIP, and the video encoders."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import folder_paths
import torch
from comfy_api.latest import io

from ..audiox_core.checkpoint import Checkpoint, open_checkpoint
from ..audiox_core.errors import AudioXError
from ..audiox_core.memory import Dtypes, ModelFootprint, Workload, detect, largest_need, plan_memory
from ..audiox_core.memory.report import plan_report
from ..audiox_core.progress import Progress, no_progress
from ..audiox_core.release.files import MODELS_FOLDER, RELEASES, T5_FILES, gigabytes
from ..audiox_core.release.variants import VARIANTS
from ..audiox_core.sampling.presets import resolve_settings
from .adapters.network import AudioXConfig
from .adapters.progress import node_progress
from .adapters.text_encoder import load_text_encoder, load_text_encoder_file
from .adapters.vae import AudioXVAE
from .adapters.video_encoder import VideoEncoder
from .folders import checkpoint_names, checkpoint_path, copy_of_synchformer, missing
from .messages import show_on_node

VideoEncoderType = io.Custom("AUDIOX_VIDEO_ENCODER")

WEIGHT_DTYPES = {
    "default": None,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
FROM_CHECKPOINT = "from checkpoint"

CLIP_OUTPUT, VIDEO_ENCODER_OUTPUT = 2, 3
"""Numbers of the outputs that may be empty."""

_TURBO = RELEASES["turbo"]
GET_THEM = (
    "To get AudioX-Turbo, run `python -m audiox_core download turbo` in the pack's folder: "
    f"{gigabytes(_TURBO.size)} from {_TURBO.model.repository.page} and {T5_FILES[0].repository.page} go into "
    f"{MODELS_FOLDER}/{_TURBO.folder}."
)


def load_model(path: str, options: dict[str, Any], disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """The MODEL of a checkpoint. options: `variant` (or None) and `dtype` (or None for ComfyUI's choice)."""
    return patcher_from(open_checkpoint(path, variant=options["variant"]), path, options, disable_dynamic)


def patcher_from(
    checkpoint: Checkpoint,
    path: str,
    options: dict[str, Any],
    disable_dynamic: bool = False,
    progress: Progress = no_progress,
) -> comfy.model_patcher.ModelPatcher:
    """Follows core's load_diffusion_model_state_dict, for a model family that core does not list.

    The model is built on the meta device and takes the tensors as they come from the file, each in its final type:
    there are never two copies of the weights.
    """
    management = comfy.model_management
    config = AudioXConfig(checkpoint.sizes["network"], checkpoint.variant, checkpoint.guidance)
    supported = config.supported_inference_dtypes
    load_device = management.get_torch_device()
    dtype = options["dtype"] or chosen_dtype(checkpoint, load_device, supported)
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, load_device, supported))
    model = config.get_model({}, device="meta")
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    offload_device = management.unet_offload_device()
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    model.load_model_weights(checkpoint.state_dict("network", dtype, progress), assign=True)
    model.to(offload_device)
    model.device = offload_device
    patcher.cached_patcher_init = (load_model, (path, options))
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        log_plan(checkpoint, dtype, load_device, by_hand=options["dtype"] is not None)
    return patcher


def chosen_dtype(checkpoint: Checkpoint, device: torch.device, supported: list[torch.dtype]) -> torch.dtype:
    """ComfyUI's choice for the network, except on a CPU whose memory is too small for it.

    ComfyUI computes in float32 there and widens a converted file to it, which doubles its size. Where that doesn't fit,
    the weights stay as stored and each is widened when its turn comes: the same numbers, half the memory, some time.
    """
    management = comfy.model_management
    stored = checkpoint.stored_dtype("network")
    dtype = management.unet_dtype(
        model_params=checkpoint.numbers("network"), supported_dtypes=supported, weight_dtype=stored
    )
    widens = device.type == "cpu" and stored in supported and stored.itemsize < dtype.itemsize
    if not widens or management.args.fp32_unet or management.args.fp64_unet:
        return dtype
    return stored if needed(checkpoint, dtype, device) > management.get_free_memory(device) else dtype


def log_plan(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device, by_hand: bool) -> None:
    """Log what the command line would plan on this machine; here ComfyUI's own manager decides."""
    try:
        found = plan_memory(
            ModelFootprint.of(checkpoint), Workload(video=True), detect(device), None, dtypes_of(dtype, device)
        )
        report = plan_report(found, by_hand=by_hand)
    except AudioXError as error:
        report = str(error)
    logging.debug("The command line would plan memory like this; ComfyUI manages it by itself.\n%s", report)


def dtypes_of(dtype: torch.dtype, device: torch.device) -> Dtypes:
    """The types in which ComfyUI runs a model's components."""
    return Dtypes(dtype, comfy.model_management.text_encoder_dtype(device), torch.float32)


class Load(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXLoad",
            display_name="Load AudioX",
            category="audio/AudioX",
            description=(
                "Loads AudioX-Turbo, its teacher AudioX-Base, AudioX, AudioX-MAF or AudioX-MAF-MMDiT, as released or "
                "converted: MODEL, VAE, text encoder and video encoders. To try graphs without a download, choose the "
                f"demo, a tiny model of our own that comes with the pack. {GET_THEM} The released weights are licensed "
                "CC-BY-NC 4.0 (no commercial use); sound from Turbo and Base is watermarked."
            ),
            search_aliases=["audiox", "text to audio", "video to audio", "foley", "sound effects", "music"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=checkpoint_names(),
                    tooltip="A model file in models/audiox or models/diffusion_models. Its VAE and Synchformer are "
                    "found beside it, in the released folder layout, or inside a converted file. Only the demo here? "
                    "See this node's description.",
                ),
                io.Combo.Input(
                    "variant",
                    optional=True,
                    options=["auto", *VARIANTS],
                    tooltip="auto recognises AudioX-MAF and v1 (the first AudioX) by their tensors; Turbo, its teacher "
                    "Base and AudioX-MAF-MMDiT by the file's metadata, its name or its config.json, and says if it "
                    "cannot tell.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    optional=True,
                    options=list(WEIGHT_DTYPES),
                    advanced=True,
                    tooltip="Precision of the transformer's weights; default lets ComfyUI choose for this device.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    optional=True,
                    options=[FROM_CHECKPOINT, *folder_paths.get_filename_list("text_encoders")],
                    tooltip="T5-base. from checkpoint: in a converted file, or in a t5-base folder beside the model. "
                    "Or choose a T5-base file from models/text_encoders. A CLIPLoader of type stable_audio works too.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The transformer with its prompt fusion, for AudioX Sample or KSampler."),
                io.Vae.Output(tooltip="The audio VAE, for decoding and for audio prompts."),
                io.Clip.Output(tooltip="The T5 text encoder; empty if there is none."),
                VideoEncoderType.Output(
                    display_name="video_encoder",
                    tooltip="CLIP tower and Synchformer, for AudioX Encode Video Prompt; empty if a file is missing.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None) -> bool | str:
        """Replaces ComfyUI's "value not in list" with download instructions. None: the input is linked."""
        return checkpoint is None or checkpoint in checkpoint_names() or missing(str(checkpoint))

    @classmethod
    def execute(
        cls,
        checkpoint: str,
        variant: str = "auto",
        weight_dtype: str = "default",
        text_encoder: str = FROM_CHECKPOINT,
    ) -> io.NodeOutput:
        path = checkpoint_path(checkpoint)
        options: dict[str, Any] = {
            "variant": None if variant == "auto" else variant,
            "dtype": WEIGHT_DTYPES[weight_dtype],
        }
        opened = open_checkpoint(path, variant=options["variant"])
        for part in needed_parts(opened, cls.hidden.prompt or {}, str(cls.hidden.unique_id), text_encoder):
            require(opened, part)
        parts = ["network", "vae", *(["t5"] if text_encoder == FROM_CHECKPOINT else [])]
        progress = node_progress(sum(map(opened.stored_bytes, parts)))
        model = patcher_from(opened, path, options, progress=progress)
        vae = vae_of(opened, progress)
        clip = text_encoder_of(opened, path, text_encoder, progress)
        show_on_node(cls.hidden.unique_id, "\n".join([words_of(model, opened), *opened.notices]))
        return io.NodeOutput(model, vae, clip, video_encoder_of(opened))


def needed_parts(checkpoint: Checkpoint, prompt: dict[str, Any], node_id: str, text_encoder: str) -> tuple[str, ...]:
    """The components that a graph takes from a Load AudioX node, so that a missing one is known before all is read."""
    text = ("t5",) if text_encoder == FROM_CHECKPOINT and is_linked(prompt, node_id, CLIP_OUTPUT) else ()
    video = checkpoint.video_encoders() if is_linked(prompt, node_id, VIDEO_ENCODER_OUTPUT) else ()
    return ("vae", *text, *video)


def require(checkpoint: Checkpoint, part: str) -> None:
    """AudioXError if a component is missing: where to put which file, and whether another pack has it."""
    try:
        checkpoint.require(part)
    except AudioXError as error:
        elsewhere = copy_of_synchformer() if part == "synchformer" else ""
        raise AudioXError(f"{error}{elsewhere}") from error


def is_linked(prompt: dict[str, Any], node_id: str, output: int) -> bool:
    """Does any node of a prompt take an output of a node?"""
    values = (value for node in prompt.values() for value in node.get("inputs", {}).values())
    return any(isinstance(value, list) and value == [node_id, output] for value in values)


def vae_of(checkpoint: Checkpoint, progress: Progress | None = None) -> AudioXVAE:
    """The VAE of a checkpoint, with a second encoder for audio prompts where the official code uses another one."""
    prompt = checkpoint.prompt_vae_state_dict(torch.float32) if checkpoint.prompt_encoder else None
    return AudioXVAE(
        checkpoint.sizes["vae"],
        checkpoint.state_dict("vae", torch.float32, progress),
        checkpoint.sizes["network"].audio,
        prompt_state_dict=prompt,
    )


def words_of(patcher: comfy.model_patcher.ModelPatcher, checkpoint: Checkpoint) -> str:
    """A MODEL in a few words: variant, precision, size of the weights, and memory of a run without streaming."""
    dtype = patcher.model.get_dtype()
    precision = next((name for name, known in WEIGHT_DTYPES.items() if known == dtype), str(dtype))
    need = needed(checkpoint, dtype, patcher.load_device)
    size = gigabytes(patcher.model_size())
    return f"{checkpoint.variant}, {precision}, {size}, needs about {gigabytes(need)}"


def needed(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> int:
    """Device memory in bytes for 10 s of sound to a video, with the model's own guidance."""
    settings = resolve_settings(checkpoint.variant, guidance=checkpoint.guidance)
    job = Workload(video=True, rows=settings.evaluations)
    return largest_need(ModelFootprint.of(checkpoint), job, dtypes_of(dtype, device), device)


def load_t5(path: str, variant: str, disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """The text encoder of a checkpoint once more, as conditioning hooks and device choosers request it."""
    return t5_of(open_checkpoint(path, variant=variant), disable_dynamic).patcher


def t5_of(checkpoint: Checkpoint, disable_dynamic: bool = False, progress: Progress = no_progress) -> comfy.sd.CLIP:
    state_dict = checkpoint.state_dict("t5", None, progress)
    tokenizer = checkpoint.tokenizer_json() if "tokenizer" in checkpoint.parts else None
    return load_text_encoder(checkpoint.sizes["t5"], state_dict, tokenizer, disable_dynamic)


def text_encoder_of(
    checkpoint: Checkpoint, path: str, choice: str, progress: Progress = no_progress
) -> comfy.sd.CLIP | None:
    """CLIP of a checkpoint or of a chosen file; None if there is none, which Encode Text Prompt explains."""
    if choice != FROM_CHECKPOINT:
        return load_text_encoder_file(folder_paths.get_full_path_or_raise("text_encoders", choice))
    if "t5" not in checkpoint.parts:
        return None
    clip = t5_of(checkpoint, progress=progress)
    clip.patcher.cached_patcher_init = (load_t5, (path, checkpoint.variant))
    return clip


def video_encoder_of(checkpoint: Checkpoint) -> VideoEncoder | None:
    """Video encoders of a checkpoint; None if a file of theirs is missing, which Encode Video Prompt explains."""
    if not set(checkpoint.video_encoders()) <= set(checkpoint.parts):
        return None
    return VideoEncoder(checkpoint)
