#!/usr/bin/env python3
"""
A client of 2011: what libvirt 0.9.7 (October 2011) sends to its QEMU, and needs back.

Each row is a dialogue in that client's own words: lines that end in CR LF, ids of its own, one
command in flight, every value of a device or a network back end a string.  It is played through the
shim, with all shipped rules, on each QEMU at hand.  Whatever it could not bear is a failure: a
member twice in one object, a reply that nobody asked for, a line that ends in LF alone.  Where the
server has lost the form, the same without the shim must fail.

The environment: as history.py says.
"""

import json
import os
import socket
import sys

from history import (RULES, Absent, Event, Machines, Never, Send, Step, Talk, Until, exactly, fails, fits, has, number,
                     ok, place_paths, programs)
from qmplive import Client, Place, Tap, Timeout, shorten

CLIENT = "0.15"   # the QEMU of that autumn
RHEL6 = "0.12.1"  # the same client's QEMU, as Red Hat shipped it
SLOW_BPS = 1 << 20

tap, machines = Tap(), Machines()


# --- the client --------------------------------------------------------------------------------------

def members_once(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise AssertionError("a member stands twice, which ends the connection: %s" % names)
    return dict(pairs)


class Libvirt(Talk):
    """One monitor of libvirt: it numbers its commands, and knows nothing but whole lines."""

    def __init__(self, peer, paths):
        super().__init__(peer, paths)
        self.n_sent = 0

    def begin(self):
        """Read the greeting, negotiate, and ask what the server can, as it always does."""
        self.peer.greeting = self.receive()
        for name in ("qmp_capabilities", "query-commands"):
            self.send({"execute": name})
            reply = self.next(lambda m: "return" in m, "what %s returns" % name)
        names = {command["name"] for command in reply["return"]}
        if "human-monitor-command" not in names:
            raise AssertionError("libvirt would not use the human monitor: %s" % sorted(names))
        return self

    def send(self, message):
        self.send_text(json.dumps(message)[:-1])

    def send_text(self, text, fds=()):
        """A command but for its last brace."""
        self.n_sent += 1
        self.peer.send('%s, "id": "libvirt-%d"}\r\n' % (text, self.n_sent), fds)

    def receive(self, seconds=None):
        line = self.peer.read_line(seconds) if seconds else self.peer.read_line()
        if not line.endswith(b"\r\n"):
            raise AssertionError("libvirt waits for CR LF for ever: %s" % shorten(line))
        return json.loads(line, object_pairs_hook=members_once)

    def next(self, condition, what):
        while True:
            message = self.receive()
            if "event" not in message and message.get("id", "") != "libvirt-%d" % self.n_sent:
                raise AssertionError("nobody asked for %s" % shorten(message))
            if "event" in message:
                self.seen.append(message)
            if condition(message):
                return message
            if "event" not in message:
                raise AssertionError("waited for %s, got %s" % (what, shorten(message)))
            self.events.append(message)


class Text(Send):
    """A command as it is written, number by number, but for its last brace."""

    def __init__(self, text, want):
        super().__init__(json.loads(text + "}")["execute"], None, {"return": want})
        self.text = text

    def play(self, talk):
        talk.send_text(self.text)
        reply = talk.next(lambda m: "event" not in m, "the reply to " + self.name)
        if not fits(self.want, reply):
            raise AssertionError("%s\n  got  %s" % (self.text, shorten(reply)))


class Fd(Step):
    """A file, or the writing end of a pipe, with the command that names it: one sendmsg for both."""

    def __init__(self, name, path=None):
        self.name, self.path = name, path

    def play(self, talk):
        if self.path:
            fd = os.open(talk.fill(self.path), os.O_WRONLY | os.O_CREAT, 0o600)
        else:
            talk.pipe, fd = os.pipe()
        try:
            talk.send_text('{"execute": "getfd", "arguments": {"fdname": "%s"}' % self.name, [fd])
            reply = talk.next(lambda m: "event" not in m, "the reply to getfd")
        finally:
            os.close(fd)
        if reply.get("return") != {}:
            raise AssertionError("getfd gave %s" % reply)


class Drain(Step):
    """Read what comes out of the pipe, to its end: there must be something."""

    def play(self, talk):
        n = 0
        with os.fdopen(talk.pipe, "rb", buffering=0) as pipe:
            data = pipe.read(1 << 16)
            while data:
                n += len(data)
                data = pipe.read(1 << 16)
        if not n:
            raise AssertionError("nothing came through the pipe")


class Backlog(Step):
    """A listener of that name that is too busy for one more: who connects is kept waiting."""

    def __init__(self, path):
        self.path = path

    def play(self, talk):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(talk.fill(self.path))
        listener.listen(0)
        busy = socket.socket(socket.AF_UNIX)
        busy.connect(talk.fill(self.path))
        talk.kept = [listener, busy]


class Accept(Step):
    """The listener has time, and reads what it is sent until the other side is done."""

    def play(self, talk):
        listener, busy = talk.kept
        busy.close()
        listener.accept()[0].close()
        with listener.accept()[0] as stream:
            while stream.recv(1 << 16):
                pass
        listener.close()


# --- the table ---------------------------------------------------------------------------------------

def row(n, what, steps, since="99", own=(), client=CLIENT):
    """
    Row n.  `since`: the first QEMU that fails it without the shim; `own`: options of a QEMU of its
    own, None: the one that all share.
    """
    for version in programs():
        is_broken = number(version) >= number(since)
        tap.test("row %s: %s, QEMU %s" % (n, what, version))(
            lambda v=version, b=is_broken: play(v, client, steps, b, own))


def play(version, client, steps, is_broken, own):
    with Place() as place:
        start = lambda: machines.shared(version) if own is None else machines.start(place, version, slow(place, version) + list(own))
        shim = place.shim(start().path, "--client-version", client, "--log-level", "warning")
        dialogue(shim.path, steps, place_paths(place))
        if is_broken and not is_failing(start().path, steps, place_paths(place)):
            raise AssertionError("the server gives all of it without the shim: nothing is proven")


def dialogue(path, steps, paths):
    with Client(path) as peer:
        Libvirt(peer, paths).begin().play(steps)


def is_failing(path, steps, paths):
    try:
        dialogue(path, steps, paths)
    except (AssertionError, Timeout):
        return True
    return False


def slow(place, version):
    """A second disk, over a backing file that reads slowly: its jobs take seconds."""
    backing, top = place.path("slow.raw"), place.path("slow.qcow2")
    with open(backing, "wb") as file:
        file.write(b"\xa5" * (16 << 20))
    place.run([programs()[version][1], "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", top], "img").wait()
    source = {"driver": "throttle", "throttle-group": "slow", "node-name": "slow-backing",
              "file": {"driver": "raw", "file": {"driver": "file", "filename": backing}}}
    return ["-object", "throttle-group,id=slow,x-bps-read=%d" % SLOW_BPS, "-blockdev", json.dumps(source),
            "-drive", "if=none,id=slow0,driver=qcow2,file.driver=file,file.filename=%s,backing=slow-backing" % top,
            "-device", "virtio-blk-pci,drive=slow0,addr=0x1c"]


def hmp(text, want):
    return ok("human-monitor-command", {"command-line": text}, want)


def is_whole(data):
    """By this libvirt takes a job for done; else it says to its user that the job failed."""
    return data["device"] == "drive0" and data["type"] == "stream" and data["offset"] == data["len"] != 0


def is_known(reply):
    """What it takes for the state of a migration, and the numbers that it then needs."""
    if reply["status"] == "active":
        return fits({"transferred": int, "remaining": int, "total": int}, reply["ram"])
    return reply["status"] in ("completed", "failed", "cancelled")


class Migrated(Step):
    """Until the migration is done, each answer is one that it knows."""

    def play(self, talk):
        seen = []

        def check(reply):
            seen.append(reply)
            return is_known(reply)

        Until("query-migrate", None, {"return": lambda reply: check(reply) and reply["status"] == "completed"}).play(talk)
        bad = [reply for reply in seen if not is_known(reply)]
        if bad:
            raise AssertionError("it would take the migration for failed: %s" % bad)


BALLOON = {"return": {"actual": int}}
SINK = "exec:cat >/dev/null"
CPU = {"CPU": int, "thread_id": int, "current": bool, "halted": bool, "pc": int}

row(0, "what needs no help still works", [
    ok("query-status", None, {"status": str, "running": bool}),
    ok("cont"), Event("RESUME"), ok("stop"), Event("STOP"),
    ok("query-kvm", None, {"present": bool, "enabled": False}),
    ok("query-chardev", None, has({"label": "m0"})),
    ok("query-balloon", None, {"actual": int}),
    ok("query-block", None, has({"device": "drive0", "removable": False, "inserted": {"file": str}})),
    ok("query-blockstats", None, has({"device": "drive0", "stats": {"rd_bytes": int, "wr_operations": int}, "parent": {"stats": {"wr_highest_offset": int}}})),
    ok("pmemsave", {"val": 0, "size": 4096, "filename": "{memory}"}),
    ok("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{snapshot}", "format": "qcow2"}),
    Fd("f", "{fd}"), ok("closefd", {"fdname": "f"}),
    fails("closefd", {"fdname": "f"}, "FdNotFound", data={"name": "f"}),
    ok("netdev_add", {"type": "user", "id": "net0"}),
    ok("device_add", {"driver": "e1000", "id": "nic0", "netdev": "net0", "mac": "52:54:00:00:00:01"}),
    ok("set_link", {"name": "net0", "up": False}),
    fails("netdev_del", {"id": "nope"}, ..., data=dict),
    ok("set_password", {"protocol": "vnc", "password": "x"}), ok("expire_password", {"protocol": "vnc", "time": "never"}),
    fails("drive_del", {"id": "nope"}, "CommandNotFound", data={"name": "drive_del"}),
    hmp("info status", lambda text: text.startswith("VM status")),
    ok("system_reset"), Event("RESET"), ok("system_powerdown"), Event("POWERDOWN"),
])
row(1, "block_stream", [
    ok("block_stream", {"device": "drive0"}),
    Event("BLOCK_JOB_COMPLETED", is_whole),
], since="1.1")
row(2, "block_job_set_speed", [
    ok("block_stream", {"device": "slow0"}),
    ok("block_job_set_speed", {"device": "slow0", "value": 65536}),
    ok("query-block-jobs", None, [{"device": "slow0", "speed": 65536}]),
], since="1.1")
row(3, "block_job_cancel is done when it returns", [
    ok("block_stream", {"device": "slow0"}),
    ok("block_job_cancel", {"device": "slow0"}),
    ok("query-block-jobs", None, exactly([])),
    Never("BLOCK_JOB_CANCELLED"), Never("BLOCK_JOB_COMPLETED", is_whole),
    fails("block_job_cancel", {"device": "slow0"}, "DeviceNotActive", data={"device": "slow0"}),
], since="1.1")
row(4, "DeviceInUse while a job runs", [
    ok("block_stream", {"device": "slow0"}),
    fails("block_stream", {"device": "slow0"}, "DeviceInUse", data={"device": "slow0"}),
], since="1.1")
row(5, "NotSupported for what cannot be streamed", [
    fails("block_stream", {"device": "cd0"}, "NotSupported", data={}),
    fails("block_stream", {"device": "nope"}, "DeviceNotFound", data={"device": "nope"}),
], since="1.1", own=None)
row(6, "BLOCK_JOB_COMPLETED when there was nothing to copy", [
    ok("block_stream", {"device": "drive0"}), Event("BLOCK_JOB_COMPLETED", is_whole),
    ok("block_stream", {"device": "drive0"}), Event("BLOCK_JOB_COMPLETED", is_whole),
], since="1.1")
row(7, "query-block-jobs", [
    ok("query-block-jobs", None, exactly([])),
    ok("block_stream", {"device": "slow0"}),
    ok("query-block-jobs", None, [{"device": "slow0", "type": "stream", "speed": int, "offset": int, "len": int}]),
], since="1.1")
row(8, "query-cpus, before a guest is started", [
    ok("query-cpus", None, lambda cpus: [c["CPU"] for c in cpus] == [0, 1] and all(fits(CPU, c) for c in cpus)),
], since="6.0", own=["-smp", "2"])
row(9, "migrate_set_speed", [
    ok("migrate_set_speed", {"value": 33554432}),
    ok("query-migrate-parameters", None, {"max-bandwidth": 33554432}),
    ok("migrate_set_speed", {"value": 0}),
], since="6.0", own=None)
row(10, "migrate_set_downtime, a fraction of six digits", [
    Text('{"execute": "migrate_set_downtime", "arguments": {"value": 0.350000}', exactly({})),
    ok("query-migrate-parameters", None, {"downtime-limit": exactly(350)}),
    Text('{"execute": "migrate_set_downtime", "arguments": {"value": 0.000000}', exactly({})),
], since="6.0", own=None)
row(11, "query-migrate: no word that it does not know", [
    Backlog("{busy}"),
    ok("migrate", {"detach": True, "blk": False, "inc": False, "uri": "unix:{busy}"}),
    ok("query-migrate", None, is_known),
    Accept(), Migrated(),
], since="2.0")
row(12, "migrate with detach, blk and inc", [
    ok("migrate_set_speed", {"value": 9223372036853727232}),
    ok("migrate", {"detach": True, "blk": False, "inc": False, "uri": SINK}), Migrated(),
], since="6.0")
row(13, "migrate to the fd of a pipe", [
    Fd("migrate"), ok("migrate", {"detach": True, "blk": False, "inc": False, "uri": "fd:migrate"}), Drain(), Migrated(),
], since="9.1")
row(13, "migrate to the fd of a file", [
    Fd("migrate", "{saved}"), ok("migrate", {"detach": True, "blk": False, "inc": False, "uri": "fd:migrate"}), Migrated(),
], since="9.1")
row(14, "netdev_add, each value a string", [
    ok("netdev_add", {"type": "hubport", "id": "h0", "hubid": "0"}),
    ok("netdev_add", {"type": "user", "id": "u0", "restrict": "on"}),
    fails("netdev_add", {"type": "tap", "fd": "none", "id": "t0", "vhost": "on", "vhostfd": "none"}, ..., "none|fd", dict),
    ok("netdev_del", {"id": "u0"}), ok("netdev_del", {"id": "h0"}),
], since="5.0")
row(15, "device_add, each value a string", [
    ok("netdev_add", {"type": "user", "id": "u0"}),
    ok("device_add", {"driver": "virtio-net-pci", "tx": "bh", "ioeventfd": "on", "event_idx": "off", "netdev": "u0", "id": "net0",
                      "mac": "52:54:00:00:00:02", "bus": "pci.0", "addr": "0x4", "bootindex": "3", "vectors": "0"}),
    ok("device_add", {"driver": "usb-ehci", "id": "ehci", "bus": "pci.0", "addr": "0x5"}),
    ok("device_add", {"driver": "virtio-blk-pci", "bus": "pci.0", "addr": "0x6", "drive": "spare", "id": "spare-disk", "bootindex": "1"}),
    ok("device_del", {"id": "net0"}),
], since="9.2", own=["-drive", "if=none,id=spare,file=null-co://,format=raw"])
row(16, "change of the VNC password", [
    ok("change", {"device": "vnc", "target": "password", "arg": "secret"}),
], since="6.0")
row(17, "change of a medium", [
    ok("change", {"device": "cd0", "target": "/proc/self/exe", "arg": "raw"}),
    ok("query-block", None, has({"device": "cd0", "inserted": {"file": "/proc/self/exe"}})),
    ok("eject", {"device": "cd0", "force": True}),
    ok("change", {"device": "cd0", "target": "/proc/self/exe"}),
], since="6.0")
row(18, "query-block: tray-open, as Red Hat calls it", [
    ok("query-block", None, has({"device": "cd0", "tray-open": bool})),
], since="0.13", own=None, client=RHEL6)
row(19, "block_passwd: DeviceNotEncrypted", [
    fails("block_passwd", {"device": "drive0", "password": "x"}, "DeviceNotEncrypted", data={"device": str}),
], since="6.0", own=None)
row(20, "drive_del of a drive that is gone, by the human monitor", [
    hmp("drive_del nope", lambda text: text.startswith("Device 'nope' not found")),
], since="11.0", own=None)
row(21, "cpu_set, which the human monitor does not know", [
    hmp("cpu_set 1 online", lambda text: text.startswith("unknown command:")),
], own=None)
row(23, "query-blockstats: the times that it knows", [
    ok("query-blockstats", None, has({"device": "drive0", "stats": {"rd_total_time_ns": int, "wr_total_time_ns": int}})),
], own=None)
row(25, "query-migrate before any migration: no status, as then", [
    ok("query-migrate", None, {"status": Absent}),
])

if __name__ == "__main__":
    os.environ.setdefault("QMP_SHIM_RULES_PATH", os.path.abspath(RULES))
    try:
        sys.exit(tap.run())
    finally:
        machines.close()
