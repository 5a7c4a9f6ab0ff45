"""An RTSP server of numbered video on 127.0.0.1: a process of /usr/bin/python3, which alone has Debian's PyGObject.

Usage: rtsp_server.py CAMERA EPOCH_NS FPS WIDTH HEIGHT PORT (0 for any) h264|h265. Prints the port, then the answer to
each line of standard input, at whose end it ends; the lines are those of mjpeg_server.py, without garbage, trickle and
first, and with

    last         answers the number of the newest picture that was sent to anyone
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.streams.numbered import Number, Schedule, luma  # noqa: E402 - the path comes first

# A picture's own slices go out at once: zerolatency. The parameter sets come with every key frame, so that another size
# is understood; a key frame a second, as cameras have it.
LAUNCH = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true ! videoconvert ! "
    "{encoder} tune=zerolatency speed-preset=ultrafast key-int-max={keys} bitrate=4000 {threads} ! "
    "rtp{codec}pay name=pay0 config-interval=-1 )"
)
ENCODERS = {
    "h264": {"encoder": "x264enc", "threads": "threads=1"},
    "h265": {"encoder": "x265enc", "threads": 'option-string="pools=1:frame-threads=1:log-level=none"'},
}


class Camera:
    """Pushes pictures into the pipelines that are playing."""

    def __init__(self, camera: int, schedule: Schedule, size: tuple[int, int]) -> None:
        self.camera, self.schedule, self.size = camera, schedule, size
        self.frozen = False
        self.last = -1
        self.sending = threading.Lock()
        self.skipped: list[int] = []
        self.pipelines: list[Any] = []

    def add(self, _factory: object, media: Any) -> None:
        """A client's pipeline begins."""
        source = media.get_element().get_by_name("pictures")
        source.set_property("max-bytes", 0)
        source.set_property("caps", self._caps())
        self.pipelines.append(source)
        media.connect("unprepared", lambda _: self.pipelines.remove(source))

    def make_pictures(self) -> None:
        """Make pictures for ever."""
        before = None
        size = self.size
        while True:
            number = self.schedule.wait()
            if before is not None:
                self.skipped += range(before + 1, number)
            before = number
            if size != self.size:
                size = self.size
                for pipeline in list(self.pipelines):
                    pipeline.set_property("caps", self._caps())
            width, height = size
            content = luma(Number(self.camera, number, time.monotonic_ns()), width, height)
            content += b"\x80" * (2 * (width // 2) * (height // 2))
            with self.sending:
                for pipeline in [] if self.frozen else list(self.pipelines):
                    # Before it plays, it has no time to stamp by, and a wrong stamp holds up all that follows.
                    if pipeline.get_state(0).state == Gst.State.PLAYING:
                        pipeline.emit("push-buffer", Gst.Buffer.new_wrapped(content))
                        self.last = number

    def _caps(self) -> Any:
        width, height = self.size
        rate = round(self.schedule.fps)
        return Gst.Caps.from_string(f"video/x-raw,format=I420,width={width},height={height},framerate={rate}/1")


def obey(camera: Camera, server: Any, line: str) -> str:
    """Do what a line of standard input says and return the answer."""
    word, *arguments = line.split()
    if word == "size":
        camera.size = (int(arguments[0]), int(arguments[1]))
    elif word in ("freeze", "go"):
        with camera.sending:
            camera.frozen = word == "freeze"
    elif word == "last":
        return str(camera.last)
    elif word == "hang":
        GLib.idle_add(
            lambda: server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE) and 0
        )
    elif word == "skipped":
        return " ".join(map(str, camera.skipped)) or "none"
    else:
        return f"unknown: {line}"
    return "ok"


def main() -> None:
    """Serve until standard input ends."""
    camera_id, epoch_ns, fps, width, height, port, codec = sys.argv[1:]
    Gst.init(None)
    camera = Camera(int(camera_id), Schedule(int(epoch_ns), float(fps)), (int(width), int(height)))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(keys=round(float(fps)), codec=codec, **ENCODERS[codec]))
    factory.set_shared(True)
    factory.connect("media-configure", camera.add)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    loop = GLib.MainLoop()

    def listen() -> None:
        for line in sys.stdin:
            print(obey(camera, server, line.strip()), flush=True)  # noqa: T201 - to the test that started it
        loop.quit()

    for work in (camera.make_pictures, listen):
        threading.Thread(target=work, daemon=True).start()
    print(server.get_bound_port(), flush=True)  # noqa: T201
    loop.run()


if __name__ == "__main__":
    main()
