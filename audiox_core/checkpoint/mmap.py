"""Giving back the memory of file pages that were read once and are not needed again."""

import ctypes
import functools
import mmap
import os

import torch


@functools.cache
def _madvise():
    """The C library's madvise, or None where there is none (Windows drops clean pages by itself)."""
    if os.name != "posix" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def release_pages(tensor: torch.Tensor) -> None:
    """Unmap the whole pages inside a contiguous, file-mapped tensor that nobody has written to.

    The next access reads them from the file again. Pages shared with a neighbour in the file are left alone.
    Advice only: without it a conversion is as right, but the pages of its source count as used memory until
    the system wants them back.
    """
    advise = _madvise()
    if advise is None or not tensor.is_contiguous():
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.numel() * tensor.element_size()) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        advise(start, end - start, mmap.MADV_DONTNEED)
