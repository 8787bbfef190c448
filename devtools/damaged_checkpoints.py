"""Damaged and hostile checkpoints, each of which follows from a number."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from devtools import small_model


@dataclass(frozen=True)
class Bases:
    """Good files to damage."""

    released: bytes
    native: bytes
    zipped: bytes
    legacy: bytes
    witness: Path


def make_bases(folder: Path) -> Bases:
    """The files of a very small model: released names in safetensors and torch.save's two formats, and our names."""
    sizes = small_model.ModelSizes(depth=1, maf_depth=1, clip_depth=1)
    tensors = small_model.weights(small_model.model_shapes(sizes))
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": tensors, "step": 3}, zipped)
    vae = {name: tensor for name, tensor in tensors.items() if "pretransform" in name}
    torch.save(vae, legacy, _use_new_zipfile_serialization=False)
    t5 = small_model.weights(small_model.t5_shapes(sizes))
    native = save({f"text_encoders.t5base.transformer.{name}": tensor for name, tensor in t5.items()})
    return Bases(save(tensors), native, zipped.getvalue(), legacy.getvalue(), folder / "witness")


# One kind of damage each: (random numbers, good files) -> a file's content.


def flipped(rng: random.Random, bases: Bases) -> bytes:
    content = bytearray(any_base(rng, bases))
    for _ in range(rng.choice((1, 4, 40))):
        place = rng.randrange(min(len(content), rng.choice((64, 4096, len(content)))))
        content[place] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: random.Random, bases: Bases) -> bytes:
    content = any_base(rng, bases)
    return content[
        : rng.choice((rng.randrange(16), rng.randrange(4096), rng.randrange(len(content)), len(content) - 1))
    ]


def spliced(rng: random.Random, bases: Bases) -> bytes:
    one, other = any_base(rng, bases), any_base(rng, bases)
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


def words(rng: random.Random, bases: Bases) -> bytes:
    """A number overwritten by an extreme one."""
    content = bytearray(any_base(rng, bases))
    place = rng.randrange(min(len(content) - 8, 8192))
    number = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 100_000_000))
    content[place : place + 8] = struct.pack("<Q", number)
    return bytes(content)


ODD = (
    None,
    -1,
    0,
    2**31,
    2**63,
    1.5,
    True,
    "F32",
    "",
    [],
    {},
    [[]],
    ["x"],
    {"a": 1},
    "\ud800",
    "\0",
    "x\ny",
    [1, 2**40],
)
"""Values that no header has."""


def odd_header(rng: random.Random, bases: Bases) -> bytes:
    content = rng.choice((bases.released, bases.native))
    header, data = split_header(content)
    for _ in range(rng.choice((1, 1, 3))):
        name = rng.choice(list(header))
        kind = rng.randrange(6)
        if kind == 0:
            header[name] = rng.choice(ODD)
        elif kind == 1 and isinstance(header[name], dict) and header[name]:
            header[name][rng.choice(list(header[name]))] = rng.choice(ODD)
        elif kind == 2 and isinstance(header[name], dict) and header[name].get("shape"):
            header[name]["shape"] = reshaped(rng, header[name]["shape"])
        elif kind == 3:
            header["__metadata__"] = rng.choice((*ODD, {"audiox.cfg": rng.choice(ODD)}, {"audiox.variant": ["turbo"]}))
        elif kind == 4:
            header[rng.choice(NAMES)] = header.pop(name)
        else:
            header.pop(name)
    return join_header(header, data)


NAMES = (
    "", ".", "vae.", "model.diffusion_model.x", "model.model.transformer.layers.99999.attn.qkv.weight", "x" * 50_000,
    "a\nb", "\ud800", "conditioner.conditioners.video_prompt.visual_encoder_model.vision_model.encoder.layers.-1.x",
    "vfeat_extractor.blocks.0.x", "encoder.layers.0.weight_g", "\u202e", "diffusion_ema.ema_model.model.x",
)  # fmt: skip
"""Names that no checkpoint has."""


def reshaped(rng: random.Random, shape: list[int]) -> list[int]:
    """Another shape of as many numbers."""
    count = 1
    for side in shape:
        count *= side
    return rng.choice(([count], [1, count], [count, 1, 1], [1] * 70 + [count], [*reversed(shape)], [0, *shape]))


def many_names(rng: random.Random, bases: Bases) -> bytes:
    count = rng.choice((3000, 19_000, 200_000))
    stem = rng.choice(("a.b.", "model.model.transformer.layers.", "diffusion.model."))
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return join_header({f"{stem}{index}.x": entry for index in range(count)}, b"")


def deep_header(rng: random.Random, bases: Bases) -> bytes:
    text = rng.choice((b"[", b'{"a":')) * rng.choice((500, 200_000))
    text = b'{"a":' + text
    return struct.pack("<Q", len(text)) + text


def odd_pickle(rng: random.Random, bases: Bases) -> bytes:
    """The zip file with another list of tensors in it."""
    with zipfile.ZipFile(io.BytesIO(bases.zipped)) as archive:
        pickled = bytearray(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))
    for _ in range(rng.choice((1, 3, 30))):
        place, kind = rng.randrange(len(pickled)), rng.randrange(3)
        if kind == 0:
            pickled[place] = rng.randrange(256)
        elif kind == 1:
            pickled[place:place] = rng.choice(OPCODES)
        else:
            del pickled[place : place + rng.randrange(1, 9)]
    return rezipped(bases.zipped, bytes(pickled), rng)


OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]


def opcodes(rng: random.Random, bases: Bases) -> bytes:
    """A random program for the unpickler."""
    program = b"\x80\x02" + b"".join(
        rng.choice(OPCODES) + rng.choice((b"", b"", b"\x01", b"os\nsystem\n", b"\xff\xff\xff\x7f", b"(", b"U\x03abc"))
        for _ in range(rng.randrange(2, 60))
    )
    return rezipped(bases.zipped, program + b".", rng) if rng.randrange(2) else program + b"."


def claims(rng: random.Random, bases: Bases) -> bytes:
    """Tensors, lists and texts that are said to be enormous."""
    big = rng.choice((2**31, 2**40, 2**62, -1))
    claim = rng.choice(
        (
            b"\x96" + struct.pack("<Q", big % 2**64),
            b"B" + struct.pack("<I", big % 2**32),
            b"}r" + struct.pack("<I", big % 2**32) + b"0",
            b"\x8a\x09" + struct.pack("<q", big) + b"\x00",
            b"\x95" + struct.pack("<Q", big % 2**64),
        )
    )
    if rng.randrange(2):
        return rezipped(bases.zipped, b"\x80\x04" + claim + b"}.", rng)
    storage = torch.zeros(4)
    odd = torch.as_strided(storage, rng.choice(((2**20, 2**20), (2**31, 4))), (0, 0))
    content = io.BytesIO()
    torch.save({"shared.weight": odd, "model.model.transformer.layers.0.attn.qkv.weight": odd}, content)
    return content.getvalue()


def planted(rng: random.Random, bases: Bases) -> bytes:
    """Programs that would leave a witness if any of their code ran."""
    touch = f"open({str(bases.witness)!r}, 'w').close()"
    payload = rng.choice(payloads(touch, bases.witness))
    protocol = rng.randrange(2, 6)
    content = {"state_dict": {"model.model.x": torch.zeros(2)}, "hyper_parameters": Planted(payload)}
    shape = rng.randrange(3)
    if shape == 0:
        return b"\x80\x04" + pickle.dumps(Planted(payload), protocol)[2:]
    stream = io.BytesIO()
    torch.save(content, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=shape == 1)
    return stream.getvalue()


class Planted:
    """An object whose pickle is a call."""

    def __init__(self, call: tuple) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call


def payloads(touch: str, witness: Path) -> list[tuple]:
    """Calls of everything that can run code, directly or by way of an object."""
    import builtins
    import functools
    import importlib
    import operator
    import runpy
    import subprocess

    command = f"touch {witness}"
    return [
        (os.system, (command,)),
        (os.popen, (command,)),
        (eval, (touch,)),
        (exec, (touch,)),
        (subprocess.call, (command,), {"shell": True}),
        (subprocess.Popen, (["touch", str(witness)],)),
        (builtins.__import__, ("os",)),
        (importlib.import_module, ("this",)),
        (runpy.run_path, (str(witness),)),
        (Path.touch, (witness,)),
        (open, (str(witness), "w")),
        (operator.methodcaller, ("touch",)),
        (functools.partial, (os.system, command)),
        (Planted(("x",)).__class__, (1,)),
        (getattr, (Planted, "call")),
        (torch.load, (str(witness),)),
        (torch.hub.load, ("a/b", "c")),
        (io.FileIO, (str(witness), "w")),
        (os.mkdir, (str(witness),)),
        (os.symlink, ("/", str(witness))),
        (compile, (touch, "x", "exec")),
        (type, ("T", (), {})),
    ]


def bomb(rng: random.Random, bases: Bases) -> bytes:
    """A compressed archive that is far larger inside."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        with zipfile.ZipFile(io.BytesIO(bases.zipped)) as good:
            for name in good.namelist():
                archive.writestr(zipfile.ZipInfo(name), good.read(name), zipfile.ZIP_DEFLATED)
        with archive.open("archive/data/bomb", "w") as piece:
            for _ in range(rng.choice((4, 60))):
                piece.write(bytes(1 << 20))
    return content.getvalue()


KINDS: tuple[Callable[[random.Random, Bases], bytes], ...] = (
    flipped, flipped, cut, spliced, words, odd_header, odd_header, odd_header, odd_pickle, odd_pickle, odd_pickle,
    opcodes, opcodes, claims, planted, planted, many_names, deep_header, bomb,
)  # fmt: skip


def any_base(rng: random.Random, bases: Bases) -> bytes:
    return rng.choice((bases.released, bases.native, bases.zipped, bases.legacy))


def split_header(content: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join_header(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def rezipped(content: bytes, pickled: bytes, rng: random.Random) -> bytes:
    """A torch zip file with another data.pkl, and sometimes another byte order or a program beside it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as good, zipfile.ZipFile(out, "w") as archive:
        for name in good.namelist():
            archive.writestr(zipfile.ZipInfo(name), pickled if name.endswith("data.pkl") else good.read(name))
        if rng.randrange(8) == 0:
            archive.writestr(zipfile.ZipInfo("archive/byteorder"), rng.choice((b"big", b"none", b"\xff")))
        if rng.randrange(16) == 0:
            archive.writestr(zipfile.ZipInfo("archive/constants.pkl"), b"\x80\x02).")
    return out.getvalue()


def content_of(number: int, bases: Bases) -> tuple[str, bytes]:
    """(kind, file content) of a case."""
    rng = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, kind(rng, bases)
