"""An RTSP server on 127.0.0.1 for the tests: a process of /usr/bin/python3, which alone has Debian's PyGObject.

Usage: rtsp_server.py none|basic|digest. Prints its port. /cam has H.264 video, /reordered the
same with B-frames, /jpeg MJPEG, /both video and sound, /audio only sound; login me, S3cret!pw.
"""

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

USER, PASSWORD = "me", "S3cret!pw"
VIDEO = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1"
H264 = f"{VIDEO} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0"
LAUNCH = {
    "/cam": H264,
    "/reordered": f"{VIDEO} ! x264enc bframes=2 b-adapt=false rc-lookahead=2 speed-preset=ultrafast key-int-max=10 ! "
    "rtph264pay name=pay0",
    "/jpeg": f"{VIDEO} ! jpegenc ! rtpjpegpay name=pay0",
    "/both": f"{H264} audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1",
    "/audio": "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0",
}


def main(login: str) -> None:
    """Serve until the process is ended."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    if login != "none":
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth = GstRtspServer.RTSPAuth()
        if login == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(USER, PASSWORD, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(USER, PASSWORD), token)
        server.set_auth(auth)
    for path, launch in LAUNCH.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        factory.set_shared(True)
        if login != "none":
            permissions = GstRtspServer.RTSPPermissions()
            for permission in ("access", "construct"):
                permissions.add_permission_for_role("user", f"media.factory.{permission}", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)  # noqa: T201 - to the test that started it
    GLib.MainLoop().run()


main(sys.argv[1])
