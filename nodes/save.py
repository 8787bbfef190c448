"""Save audio together with a picture of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io

from ..audiox_core.disk import remove_leftovers
from ..audiox_core.media.audio import check_rate, write_audio
from ..audiox_core.media.drawing import write_png
from ..audiox_core.media.files import check_file_name
from ..audiox_core.media.sound_picture import sound_picture
from .audio_input import require_audio
from .keys import TOOK
from .provenance import find_provenance
from .video import interruptible


class SaveSound(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AudioXSaveSound",
            display_name="AudioX Save Sound",
            category="audio/AudioX",
            description=(
                "Saves and plays a sound, and shows its waveform and spectrogram with the prompt, seed and model "
                "behind it. The picture is a PNG file beside the sound. Both files carry the workflow."
            ),
            search_aliases=["save audio", "preview audio", "spectrogram", "waveform", "flac", "wav", "audiox"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound to save; each item of a batch gets its own files."),
                io.String.Input(
                    "filename_prefix",
                    default="audio/audiox",
                    tooltip="Subfolder of the output folder and beginning of the file names. Placeholders: %year%, "
                    "%month%, %day%, %hour%, %minute%, %second%, %batch_num%.",
                ),
                io.Combo.Input(
                    "format",
                    optional=True,
                    options=["flac", "wav"],
                    tooltip="flac: 24-bit; drop the file onto the canvas to get the workflow back. wav: 32-bit float, "
                    "never clips; drop its picture instead.",
                ),
                io.Boolean.Input(
                    "picture",
                    optional=True,
                    default=True,
                    tooltip="Also save the waveform and spectrogram, as a PNG of the same name.",
                ),
            ],
            outputs=[io.Audio.Output(tooltip="The same sound, for further nodes.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: dict, filename_prefix: str, format: str = "flac", picture: bool = True) -> io.NodeOutput:
        require_audio(audio)
        check_rate(audio["sample_rate"])
        check_file_name(filename_prefix)
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        remove_leftovers(Path(folder))
        metadata = workflow_of(cls.hidden)
        title, facts = words_of(cls.hidden, audio)
        rate, waveforms = audio["sample_rate"], audio["waveform"].float().cpu()
        shown: dict[str, list[dict]] = {"audio": [], "images": []}
        for i, waveform in enumerate(waveforms):
            stem = f"{name.replace('%batch_num%', str(i))}_{counter + i:05}_"
            path = os.path.join(folder, stem)
            write_audio(f"{path}.{format}", waveform, rate, in_format(metadata, format), progress=interruptible)
            shown["audio"].append({"filename": f"{stem}.{format}", "subfolder": subfolder, "type": "output"})
            if picture:
                item = [f"item {i + 1} of {len(waveforms)}"] * (len(waveforms) > 1)
                write_png(f"{path}.png", sound_picture(waveform, rate, title=title, facts=[*facts, *item]), metadata)
                shown["images"].append({"filename": f"{stem}.png", "subfolder": subfolder, "type": "output"})
        return io.NodeOutput(audio, ui={kind: items for kind, items in shown.items() if items})


def workflow_of(hidden: io.HiddenHolder) -> dict[str, str]:
    """The metadata that ComfyUI's own save nodes write: the prompt and, if there is one, the editor's graph."""
    if args.disable_metadata:
        return {}
    found = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
    names = {key: key.encode("utf-8", "backslashreplace").decode() for key in found}  # half a surrogate pair is no text
    return {names[key]: json.dumps(value) for key, value in found.items() if value is not None}


def in_format(metadata: dict[str, str], format: str) -> dict[str, str]:
    """A wav has no fields of these names, so its comment holds them all, as JSON."""
    if format == "wav" and metadata:
        return {"comment": json.dumps({key: json.loads(value) for key, value in metadata.items()})}
    return metadata


def words_of(hidden: io.HiddenHolder, audio: dict) -> tuple[str, list[str]]:
    """The picture's title (the prompt) and facts: model, seed, length and, where known, the time it took."""
    origin = find_provenance(hidden.prompt or {}, str(hidden.unique_id))
    facts = [os.path.basename(origin.model)] if origin.model else []
    facts += [] if origin.seed is None else [f"seed {origin.seed}"]
    facts.append(f"{audio['waveform'].shape[-1] / audio['sample_rate']:.4g} s at {audio['sample_rate']} Hz")
    facts += [f"generated in {audio[TOOK]:.1f} s"] if TOOK in audio else []
    return origin.text, facts
