"""Packets of a video on their way into another file, with timestamps that start again at 0."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from .files import packets

StampedPacket = tuple[Packet, int, int]
"""A packet with its presentation and decoding timestamps, both in its own time base."""


def shifted_packets(
    source: InputContainer, streams: Sequence[Stream], origin: Fraction, length: Fraction
) -> Iterator[Packet]:
    """Packets of the streams, with timestamps moved so that `origin` becomes 0, up to `length` seconds.

    A picture after the end is kept only where an earlier picture, stored behind it, refers to it.
    """
    late: list[Packet] = []
    for packet, pts, dts in _stamped(packets(source, *streams), streams[0]):
        shift, end = round(origin / packet.time_base), round(length / packet.time_base)
        pts, dts = pts - shift, dts - shift
        packet.pts, packet.dts = pts, dts
        if packet.stream.type == "subtitle":
            if _limit_subtitle(packet, pts, end):
                yield packet
        elif dts >= end:
            return
        elif pts >= end:
            late.append(packet)
        else:
            yield from late
            late.clear()
            yield packet


def _limit_subtitle(packet: Packet, pts: int, end: int) -> bool:
    """Cut a subtitle to what lies between 0 and the end; False where nothing does."""
    first, last = max(pts, 0), min(pts + (packet.duration or 0), end)
    if packet.duration and first < last:
        pts = first
        packet.pts = packet.dts = first
        packet.duration = last - first
    return 0 <= pts < end


def _stamped(found: Iterable[Packet], video: Stream) -> Iterator[StampedPacket]:
    """Fill in the decoding times that Matroska leaves out until its first key frame is through."""
    waiting: list[tuple[Packet, int]] = []
    for packet in found:
        if packet.pts is None or packet.size == 0:  # the end marker
            continue
        is_video = packet.stream.index == video.index
        if is_video and packet.dts is None:
            waiting.append((packet, packet.pts))
            continue
        if waiting and is_video:
            yield from _with_decoding_times(waiting, packet.dts)
            waiting.clear()
        yield packet, packet.pts, packet.pts if packet.dts is None else packet.dts
    yield from _with_decoding_times(waiting, None)


def _with_decoding_times(waiting: Sequence[tuple[Packet, int]], next_dts: int | None) -> Iterator[StampedPacket]:
    """Packets with their presentation times, decoded one after the other up to `next_dts`."""
    for index, (packet, pts) in enumerate(waiting):
        if next_dts is None:
            yield packet, pts, pts
        else:
            step = packet.duration or 1
            yield packet, pts, min(next_dts - (len(waiting) - index) * step, pts)
