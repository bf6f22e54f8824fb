"""
What a service manager does for a shim, by hand: it reads NOTIFY_SOCKET, hands over
listening sockets at fd 3 and up, and sends signals.  Rule files that tell one
program from another are here, too.
"""

import json
import os
import socket
import struct
import sys

from qmplive import DEADLINE_S, Deadline, Process, Replay, Shim, Timeout, check_equal

SO_TIMESTAMPNS = 35  # the kernel says when a datagram was sent, however late it is read

# Put the fds where the program looks for them, and its own pid beside them.
LAUNCH = """
import os, sys
n = int(sys.argv[1])
fds = [os.dup(int(fd)) for fd in sys.argv[2:2 + n]]
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
for i in range(n):
    os.dup2(100 + i, 3 + i)
if "LISTEN_PID" not in os.environ:
    os.environ["LISTEN_PID"] = str(os.getpid())
if os.environ.get("WATCHDOG_PID") == "own":
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.closerange(3 + n, 200)
os.execv(sys.argv[2 + n], sys.argv[2 + n:])
"""


class Service(Shim):
    """A shim as a service manager starts it; the arguments are all of its own."""

    def __init__(self, place, arguments, fds=(), path=None, **environment):
        program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
        self.path = path
        environment = {**os.environ, **{k: str(v) for k, v in environment.items()}}
        if fds:
            environment["LISTEN_FDS"] = str(len(fds))
        launch = [sys.executable, "-c", LAUNCH, str(len(fds))] + [str(fd) for fd in fds]
        Process.__init__(self, launch + [program, "run"] + list(arguments), place.directory, "shim",
                         env=environment, pass_fds=fds)
        place.processes.append(self)


class Notified:
    """The socket that a service tells how it is; an abstract one if that is wanted."""

    def __init__(self, place, is_abstract=False):
        self.name = "@" + place.path("notify") if is_abstract else place.path("notify")
        self.socket = place.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(self.name.replace("@", "\0", 1) if is_abstract else self.name)
        self.said = []  # (time in s at which it was sent, variable, value), all of it

    def read(self, variable, matches=lambda value: True, seconds=DEADLINE_S):
        """The value of the next `variable` that matches; what else comes is kept in .said."""
        deadline = Deadline(seconds)
        while True:
            try:
                self.socket.settimeout(deadline.left("%s=; so far %s" % (variable, self.said)))
                data, control, _, _ = self.socket.recvmsg(4096, 4096)
            except TimeoutError:
                raise Timeout("%s= did not come; so far %s" % (variable, self.said)) from None
            pairs = [line.partition("=") for line in data.decode().split("\n")]
            sent_s, sent_ns = next(struct.unpack("qq", stamp) for _, kind, stamp in control if kind == SO_TIMESTAMPNS)
            self.said += [(sent_s + sent_ns / 1e9, name, value) for name, _, value in pairs]
            for name, _, value in pairs:
                if name == variable and matches(value):
                    return value


def renaming(place, new_name):
    """A rule file that gives the command old-name this name.  Return: its path."""
    path = place.path("rules") + ".jsonc"
    rename(path, new_name)
    return path


def rename(path, new_name):
    """Write the rule file again, with another name."""
    rule = {"name": "renamed", "old": {"execute": "old-name"}, "new": {"execute": new_name}}
    write(path, json.dumps({"qmp-shim-rules": 1, "name": "renaming", "rules": [rule]}))


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def listening(place):
    """A socket that clients can connect to.  Return: itself, its path."""
    path = place.path("front")
    front = place.keep(socket.socket(socket.AF_UNIX))
    front.bind(path)
    front.listen(8)
    return front, path


def session(place, path, server):
    """A client of the shim that has negotiated.  Return: both ends."""
    client = place.client(path)
    peer = server.accept()
    peer.send(server.GREETING)
    client.read_line()
    check_equal(becomes(client, peer, "qmp_capabilities"), "qmp_capabilities")
    return client, peer


def becomes(client, peer, name="old-name"):
    """Send a command, and answer it.  Return: what the shim made of it."""
    client.send(json.dumps({"execute": name}) + "\r\n")
    asked = Replay.next_command(peer)
    Replay.answer(peer, asked, {"return": {}})
    check_equal(client.read_message(), {"return": {}})
    return asked["execute"]
