"""Maps names in the released AudioX files to native names, those of the models here.

Released files: the model (`model.model.`, `maf_block.`, `conditioner.`, `pretransform.`), the VAE alone (no
prefix), Synchformer (`vfeat_extractor.`) and Hugging Face's T5 encoder. Names that the official code never uses at
inference are listed as dead, so a name outside the tables is one that no released file has. The two transformers give
different things the same names, so each has a separate table beside the common one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..release.components import CLIP_VISION, NETWORK, SYNCHFORMER, T5, VAE
from .transforms import AS_TABLE, EVEN_ROWS, FOLD, JOIN_TAPS, KEEP, SPLIT_QKV, Transform

_TRANSFORMER = r"model\.model\.transformer\."
_LAYER = _TRANSFORMER + r"layers\.(\d+)\."
_MAF = r"maf_block\."
_FUSION = _MAF + r"fusion_transformer\.layers\.(\d+)\."
_VIDEO = r"conditioner\.conditioners\.video_prompt\."
_TEMPORAL = _VIDEO + r"Temp_transformer\."
_AUDIO = r"conditioner\.conditioners\.audio_prompt\."
_AUTOENCODER = r"(?:autoencoder\.|pretransform\.model\.|" + _AUDIO + r"pretransform\.model\.)?"
_SYNC = r"vfeat_extractor\."
_CLIP = _VIDEO + r"visual_encoder_model\."

_WB = r"(weight|bias)"

COMMON_RULES = (
    # around the transformer's layers
    (r"model\.model\.timestep_features\.weight", NETWORK, r"transformer.time_features.weight", KEEP),
    (r"model\.model\.to_timestep_embed\.([02])\." + _WB, NETWORK, r"transformer.time_embed.\1.\2", KEEP),
    (r"model\.model\.(pre|post)process_conv\.weight", NETWORK, r"transformer.\1process_conv.weight", KEEP),
    (_TRANSFORMER + r"project_(in|out)\.weight", NETWORK, r"transformer.project_\1.weight", KEEP),
    # fusion: the parameters named after the video act on the text, and vice versa
    (_MAF + r"unified_experts", NETWORK, r"maf.experts.weight", AS_TABLE),
    (_MAF + r"bypass_gate_v", NETWORK, r"maf.bypass_gate_text.weight", AS_TABLE),
    (_MAF + r"bypass_gate_t", NETWORK, r"maf.bypass_gate_video.weight", AS_TABLE),
    (_MAF + r"bypass_gate_a", NETWORK, r"maf.bypass_gate_audio.weight", AS_TABLE),
    (_MAF + r"norm_v2\." + _WB, NETWORK, r"maf.norm_text.\1", KEEP),
    (_MAF + r"norm_t2\." + _WB, NETWORK, r"maf.norm_video.\1", KEEP),
    (_MAF + r"norm_a2\." + _WB, NETWORK, r"maf.norm_audio.\1", KEEP),
    (_MAF + r"(norm1|gating_network\.[02]|cross_attn\.out_proj)\." + _WB, NETWORK, r"maf.\1.\2", KEEP),
    (_MAF + r"cross_attn\.in_proj_" + _WB, NETWORK, r"maf.cross_attn.in_proj.\1", KEEP),
    (_FUSION + r"self_attn\.in_proj_" + _WB, NETWORK, r"maf.layers.\1.self_attn.in_proj.\2", KEEP),
    (_FUSION + r"(self_attn\.out_proj|linear[12]|norm[12])\." + _WB, NETWORK, r"maf.layers.\1.\2.\3", KEEP),
    # video and audio prompts
    (_VIDEO + r"empty_visual_feat", NETWORK, r"video.empty_tokens.weight", AS_TABLE),
    (_VIDEO + r"sync_weight", NETWORK, r"video.sync_weight.weight", AS_TABLE),
    (_VIDEO + r"Temp_pos_embedding", NETWORK, r"video.position_embedding.weight", AS_TABLE),
    (_VIDEO + r"(proj|proj_sync)\." + _WB, NETWORK, r"video.\1.\2", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.0\.norm\." + _WB, NETWORK, r"video.layers.\1.attn_norm.\2", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.0\.fn\.to_qkv\.weight", NETWORK, r"video.layers.\1.to_qkv.weight", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.0\.fn\.to_out\.0\." + _WB, NETWORK, r"video.layers.\1.to_out.\2", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.1\.norm\." + _WB, NETWORK, r"video.layers.\1.ffn_norm.\2", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.1\.fn\.net\.0\." + _WB, NETWORK, r"video.layers.\1.ffn_in.\2", KEEP),
    (_TEMPORAL + r"layers\.(\d+)\.1\.fn\.net\.3\." + _WB, NETWORK, r"video.layers.\1.ffn_out.\2", KEEP),
    (_TEMPORAL + r"norm\." + _WB, NETWORK, r"video.norm.\1", KEEP),
    (_AUDIO + r"proj_out\." + _WB, NETWORK, r"audio.proj_out.\1", KEEP),
    (_AUDIO + r"proj_features_128\." + _WB, NETWORK, r"audio.proj_time.\1", KEEP),
    (_AUDIO + r"proj_features\." + _WB, NETWORK, r"audio.proj_mel.\1", KEEP),
    (_AUDIO + r"empty_audio_feat", NETWORK, r"audio.empty_tokens.weight", AS_TABLE),
    # the encoders and the VAE, of which the model file has two copies
    (_CLIP + r"(?:vision_model\.)?((?:embeddings|pre_layrnorm|encoder)\..+)", CLIP_VISION, r"vision_model.\1", KEEP),
    (_AUTOENCODER + r"((?:encoder|decoder)\.layers\..+)", VAE, r"\1", KEEP),
    (
        _SYNC + r"spatial_attn_agg\.self_attn\.in_proj_" + _WB,
        SYNCHFORMER,
        r"spatial_attn_agg.self_attn.in_proj.\1",
        KEEP,
    ),
    (_SYNC + r"((?!patch_embed\.).+)", SYNCHFORMER, r"\1", KEEP),
    (r"(shared\.weight|encoder\.(?:block|final_layer_norm)\..+)", T5, r"\1", KEEP),
    (r"encoder\.embed_tokens\.weight", T5, r"shared.weight", KEEP),
)

MMDIT_RULES = (
    (_TRANSFORMER + r"proj_mm_tokens\." + _WB, NETWORK, r"transformer.context_proj.\1", KEEP),
    (_TRANSFORMER + r"proj_mm_seq_len\." + _WB, NETWORK, r"transformer.context_to_positions.\1", KEEP),
    (_LAYER + r"attn\.qkv\." + _WB, NETWORK, r"transformer.layers.\1.qkv.\2", SPLIT_QKV),
    (_LAYER + r"linear1\.weight", NETWORK, r"transformer.layers.\1.attn_out.weight", JOIN_TAPS),
    (_LAYER + r"linear1\.bias", NETWORK, r"transformer.layers.\1.attn_out.bias", KEEP),
    (_LAYER + r"cross_attn\.to_kv\.weight", NETWORK, r"transformer.layers.\1.time_key.weight", EVEN_ROWS),
    (_LAYER + r"ffn\.(w[123])\.weight", NETWORK, r"transformer.layers.\1.ffn.\2.weight", JOIN_TAPS),
    (_LAYER + r"adaLN_modulation\.1\." + _WB, NETWORK, r"transformer.layers.\1.modulation.\2", KEEP),
)

DIT_RULES = (
    (r"model\.model\.to_cond_embed\.([02])\.weight", NETWORK, r"transformer.context_embed.\1.weight", KEEP),
    *(
        (_LAYER + theirs + ending, NETWORK, rf"transformer.layers.\1.{ours}.{kind}", KEEP)
        for theirs, ours in (("pre_norm", "attn_norm"), ("cross_attend_norm", "cross_norm"), ("ff_norm", "ffn_norm"))
        for ending, kind in ((r"\.gamma", "weight"), (r"\.beta", "bias"))
    ),
    (_LAYER + r"self_attn\.to_qkv\.weight", NETWORK, r"transformer.layers.\1.qkv.weight", KEEP),
    (_LAYER + r"self_attn\.to_out\.weight", NETWORK, r"transformer.layers.\1.attn_out.weight", KEEP),
    (_LAYER + r"cross_attn\.to_(q|kv|out)\.weight", NETWORK, r"transformer.layers.\1.cross_\2.weight", KEEP),
    (_LAYER + r"ff\.ff\.0\.proj\." + _WB, NETWORK, r"transformer.layers.\1.ffn_in.\2", KEEP),
    (_LAYER + r"ff\.ff\.2\." + _WB, NETWORK, r"transformer.layers.\1.ffn_out.\2", KEEP),
)

_DEAD = (  # asked before the rules, some of which would take these names too
    r"model\.model\.to_global_embed\..+",
    r"model\.model\.transformer\.latent_rot",
    r"model\.model\.transformer\.rotary_pos_emb\.inv_freq",  # a constant
    _CLIP + r"(?:vision_model\.)?(?:post_layernorm\..+|embeddings\.position_ids)",
    _CLIP + r"visual_projection\.weight",
    _SYNC + r"patch_embed\..+",
)
_DEAD_ELSEWHERE = (
    # other branches in the file that Synchformer's authors published, and the decoder of a complete T5
    r"(?:afeat_extractor|vproj|aproj|transformer)\..+",
    r"decoder\.(?:block|embed_tokens|final_layer_norm)\..+|lm_head\.weight",
)
_DEAD_IN_MMDIT = (r"model\.model\.to_cond_embed\..+", _LAYER + r"cross_attn\.to_q\.weight")

_DIT_NAME = re.compile(_LAYER + r"(?:self_attn\.to_qkv|pre_norm|cross_attend_norm|ff_norm|ff)\..+")
"""Names that only the cross-attending transformer has."""


Rule = tuple[str, str, str, Transform]
"""(pattern of a released name, component, template of the native name, transform)."""


@dataclass(frozen=True)
class _Table:
    """The compiled rules of one of the two kinds of model files."""

    rules: tuple[tuple[re.Pattern[str], str, str, Transform], ...]
    dead: re.Pattern[str]

    @classmethod
    def compiled(cls, rules: Iterable[Rule], dead: Iterable[str]) -> _Table:
        patterns = ((re.compile(pattern), part, name, transform) for pattern, part, name, transform in rules)
        return cls(tuple(patterns), re.compile("|".join(f"(?:{pattern})" for pattern in dead)))


_MMDIT_TABLE = _Table.compiled(COMMON_RULES + MMDIT_RULES, _DEAD + _DEAD_ELSEWHERE + _DEAD_IN_MMDIT)
_DIT_TABLE = _Table.compiled(COMMON_RULES + DIT_RULES, _DEAD + _DEAD_ELSEWHERE)

_UNMISTAKABLE = re.compile(
    "|".join([*(f"(?:{rule[0]})" for rule in COMMON_RULES + MMDIT_RULES + DIT_RULES), *_DEAD]),
)
"""Any released name but the dead ones with common beginnings, so that names are told apart quickly."""

_ELSEWHERE = re.compile("|".join(_DEAD_ELSEWHERE))

_WEIGHT_NORM = re.compile(r"(.+\.)(?:weight_([gv])|parametrizations\.weight\.original([01]))")


@dataclass(frozen=True)
class Recipe:
    """How to get one native tensor: its component and name, the released tensors and their transform."""

    part: str
    name: str
    sources: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True)
class KeyMap:
    """What a set of released names maps to.

    recipes: one for each native tensor and copy (the VAE is in the model file twice: two recipes, one name).
    dead: names in released files that have no effect.
    unknown: names that no released file has, or half of a weight-norm pair.
    """

    recipes: tuple[Recipe, ...]
    dead: tuple[str, ...]
    unknown: tuple[str, ...]


def has_dit(official_names: Iterable[str]) -> bool:
    """Are the names those of AudioX's and AudioX-MAF's cross-attending transformer, not the modulated one?"""
    return any(_DIT_NAME.search(name) for name in official_names)


def is_released(name: str) -> bool:
    """Is a name in some released file, dead or not?"""
    return is_unmistakable(name) or _ELSEWHERE.fullmatch(name) is not None


def is_unmistakable(name: str) -> bool:
    """Is it a released name that would be recognised behind any prefix? Not so `transformer.…`, which is dead."""
    return _UNMISTAKABLE.fullmatch(_stem(name)) is not None


def _stem(name: str) -> str:
    """A name with both halves of a weight-norm pair under the name of the folded `weight`."""
    weight_norm = _WEIGHT_NORM.fullmatch(name)
    return f"{weight_norm[1]}weight" if weight_norm else name


def native_name(official_name: str, dit: bool = False) -> tuple[str, str, Transform | None] | None:
    """(component, native name, transform) of a released name, None for a dead one.

    dit: see `has_dit`. The transform is None if the tensor is used as it is. Both halves of a weight-norm pair have
    the name of the folded `weight`, with the transform that takes the gain and the direction in this order; see
    `map_keys`.

    Raises:
        KeyError: the name is in no released file of this kind.
    """
    table = _DIT_TABLE if dit else _MMDIT_TABLE
    weight_norm = _WEIGHT_NORM.fullmatch(official_name)
    stem = _stem(official_name)
    if table.dead.fullmatch(official_name):
        return None
    for pattern, part, name, transform in table.rules:
        if match := pattern.fullmatch(stem):
            if weight_norm:
                transform = FOLD
            return part, match.expand(name), None if transform is KEEP else transform
    raise KeyError(official_name)


def map_keys(official_names: Iterable[str], dit: bool | None = None) -> KeyMap:
    """Group released names into recipes; reads no tensor. dit: see `has_dit`, None to decide by the names."""
    official_names = list(official_names)
    if dit is None:
        dit = has_dit(official_names)
    grouped: dict[tuple[str, str, str], dict[int, str]] = {}
    transforms: dict[tuple[str, str, str], Transform] = {}
    dead, unknown = [], []
    for official in official_names:
        try:
            target = native_name(official, dit)
        except KeyError:
            unknown.append(official)
            continue
        if target is None:
            dead.append(official)
            continue
        part, name, transform = target
        match = _WEIGHT_NORM.fullmatch(official)
        key = part, name, match[1] if match else official
        is_direction = match is not None and (match[2] == "v" or match[3] == "1")
        grouped.setdefault(key, {})[int(is_direction)] = official
        transforms[key] = transform or KEEP
    recipes = []
    for key, sources in grouped.items():
        expected = 2 if transforms[key] is FOLD else 1
        if len(sources) != expected:
            unknown.extend(sources.values())
            continue
        ordered = tuple(sources[i] for i in sorted(sources))
        recipes.append(Recipe(key[0], key[1], ordered, transforms[key]))
    return KeyMap(tuple(recipes), tuple(dead), tuple(unknown))
