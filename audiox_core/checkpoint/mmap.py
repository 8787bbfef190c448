"""Reads the pages of mapped files when it is time to, and frees those that are not needed again."""

import ctypes
import functools
import mmap
import os
from collections.abc import Callable

import torch


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The C library's madvise, None on systems without it (Windows drops clean pages by itself)."""
    if os.name != "posix" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def release_pages(tensor: torch.Tensor) -> None:
    """Unmap the whole pages inside a contiguous, file-mapped tensor that nobody has written to.

    The next access reads them from the file again. Pages shared with a neighbour in the file are left alone. This is
    only advice: conversions are right without it too, but the pages of their sources then count as used memory until
    the system reclaims them.
    """
    advise = _madvise()
    if advise is None or not tensor.is_contiguous():
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.numel() * tensor.element_size()) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        advise(start, end - start, mmap.MADV_DONTNEED)


def touch_pages(tensor: torch.Tensor) -> None:
    """Read every page of a contiguous tensor: mapped from a file, it comes from the disk now and not at its first use.

    Memory that is short later gives these pages back first, so this costs time only where the file doesn't fit.
    """
    if tensor.is_contiguous() and tensor.numel():
        tensor.view(-1).view(torch.uint8)[:: mmap.PAGESIZE].max()
