"""A short video becomes a few upright pictures, spread over its length."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from face_server.errors import BadPicture, PictureTooLarge
from face_server.request import checkpoint
from face_server.vision.portrait import jpeg

FRAMES = 8
MOST_SECONDS = 60.0
MOST_DECODED = 1800  # frames: a minute at 30 a second
MOST_PIXELS = 1920 * 1080 * 2
# FFmpeg also knows playlists that name files and addresses: only containers may be opened, and nothing beside them.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv"
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "pipe"}


def pictures(video: bytes) -> list[bytes]:
    """JPEGs of up to FRAMES moments. Raises BadPicture for what is no video, or not one of a reasonable size."""
    try:
        with av.open(io.BytesIO(video), mode="r", options=OPTIONS) as container:
            return [_picture(frame) for frame in _chosen(container)]
    except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
        raise BadPicture(f"not a video that can be decoded: {error}") from None


def _chosen(container: InputContainer) -> list[VideoFrame]:
    if not container.streams.video:
        raise BadPicture("no picture in the video")
    stream = container.streams.video[0]
    if stream.width * stream.height > MOST_PIXELS:
        raise PictureTooLarge(f"video of {stream.width}x{stream.height}")
    if container.duration is not None and container.duration / av.time_base > MOST_SECONDS:
        raise BadPicture(f"longer than {MOST_SECONDS:g} s")
    frames = _frames(container, stream, key_only=True)
    if len(frames) < FRAMES:
        # One group of pictures may span all of a short video: then every frame has to be decoded.
        container.seek(0)
        frames = _frames(container, stream, key_only=False)
    if not frames:
        raise BadPicture("no frame of the video can be decoded")
    return frames


def _frames(container: InputContainer, stream: VideoStream, key_only: bool) -> list[VideoFrame]:
    """Evenly spread frames: whenever too many are held, every second one is let go and the step doubles."""
    stream.codec_context.skip_frame = "NONKEY" if key_only else "DEFAULT"
    held: list[VideoFrame] = []
    step = 1
    for index, frame in enumerate(_decoded(container, stream)):
        if index >= MOST_DECODED:
            raise BadPicture(f"more than {MOST_DECODED} frames")
        if frame.width * frame.height > MOST_PIXELS:
            raise PictureTooLarge(f"video of {frame.width}x{frame.height}")
        if index % step == 0:
            held.append(frame)
        if len(held) == 2 * FRAMES:
            held, step = held[::2], step * 2
    places = np.linspace(0, len(held) - 1, min(len(held), FRAMES)).round().astype(int)
    return [held[place] for place in places]


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames until the end, or until the video is damaged: what came before is still good."""
    frames = container.decode(stream)
    while True:
        checkpoint()
        try:
            yield next(frames)
        except (StopIteration, av.FFmpegError):
            return


def _picture(frame: VideoFrame) -> bytes:
    """Phones store portrait videos lying on their side and say so beside the frame."""
    pixels = frame.to_ndarray(format="rgb24")
    return jpeg(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90))))
