"""Packets of a video on their way into another file, with timestamps that start anew."""

from collections.abc import Iterator
from fractions import Fraction

import av

from ..errors import AudioXError
from .files import Source, open_media, second_view, source_name, time_origin, video_stream


def video_length(source: Source) -> Fraction:
    """Seconds from the first picture to the end of the last, from the header or else from all packets."""
    with open_media(second_view(source)) as container:
        stream = video_stream(container, source)
        if stream.duration:
            return stream.duration * stream.time_base
        step = 1 / (stream.average_rate or stream.guessed_rate or 25)
        ends = (
            packet.pts * packet.time_base + max((packet.duration or 0) * packet.time_base, step)
            for packet in container.demux(stream)
            if packet.pts is not None
        )
        end = max(ends, default=None)
        if end is None:
            raise AudioXError(f"{source_name(source)} holds no pictures; give another video.")
        return round(end / stream.time_base) * stream.time_base - time_origin(stream)


def shifted_packets(source, streams: list, origin: Fraction, length: Fraction) -> Iterator["av.Packet"]:
    """Packets of the streams, timestamps moved so that `origin` becomes 0, without those after the end.

    A picture after the end is kept only when an earlier picture, stored behind it, needs it.
    """
    late = []
    for packet in _with_decoding_times(source.demux(streams), streams[0]):
        shift = round(origin / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        end = round(length / packet.time_base)
        if packet.stream.type == "subtitle":
            if _limit_subtitle(packet, end):
                yield packet
        elif packet.dts >= end:
            return
        elif packet.pts >= end:
            late.append(packet)
        else:
            yield from late
            late.clear()
            yield packet


def _limit_subtitle(packet: "av.Packet", end: int) -> bool:
    """Keep what of a subtitle lies between 0 and the end; False when nothing does."""
    first, last = max(packet.pts, 0), min(packet.pts + (packet.duration or 0), end)
    if packet.duration and first < last:
        packet.pts = packet.dts = first
        packet.duration = last - first
    return 0 <= packet.pts < end


def _with_decoding_times(packets, video) -> Iterator["av.Packet"]:
    """Fill in the decoding times that Matroska leaves out before the first key frame is through."""
    waiting = []
    for packet in packets:
        if packet.pts is None or packet.size == 0:  # the end marker
            continue
        if packet.stream.index == video.index and packet.dts is None:
            waiting.append(packet)
            continue
        if waiting and packet.stream.index == video.index:
            yield from _filled(waiting, packet.dts)
            waiting.clear()
        if packet.dts is None:
            packet.dts = packet.pts
        yield packet
    yield from _filled(waiting, None)


def _filled(waiting: list, next_dts: int | None) -> Iterator["av.Packet"]:
    for index, packet in enumerate(waiting):
        if next_dts is None:
            packet.dts = packet.pts
        else:
            step = packet.duration or 1
            packet.dts = min(next_dts - (len(waiting) - index) * step, packet.pts)
        yield packet
