#!/usr/bin/env python3
"""
Days in hours: real guests' work over and over, and nothing grows, nothing is lost.

    make soak HOURS=8        or        tests/live/soak.py SECONDS

Each round does what clients do in a day: jobs, hot-plug, snapshots, queries large and small, file
descriptors, errors, reconnections; over rules of several kinds.  A monitor of its own on the same
QEMU is the witness of events.  At the end: each command had one reply in its turn, each event that
no rule touches came through as it was, memory and fds are what they were after the first rounds.
"""

import collections
import json
import os
import random
import sys
import time

from qmplive import HERE, Place, Tap, check_equal, rule_file, until

SECONDS = float(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].replace(".", "").isdigit() else 60.0
WARM_UP = 0.3          # of the time: arenas and the allocator find their size
MAX_GROWTH_KB = 3000
tap = Tap()

RULES = """{ "qmp-shim-rules": 1, "name": "soak", "rules": [
    { "name": "renamed", "old": { "execute": "old_name", "return": { "title": "$name" } },
      "new": { "execute": "query-name", "return": { "name": "$name" } } },
    { "name": "local", "for": "old-client", "new": null,
      "old": { "execute": "lost", "error": { "class": "GenericError", "desc": "gone" } } },
    { "name": "stopped", "for": "old-client", "old": { "execute": "stop_sync" }, "new": { "execute": "stop" },
      "until": { "event": "STOP" }, "timeout": 2 },
    { "name": "telling", "for": "old-client", "old": { "execute": "resume" }, "new": { "execute": "cont" },
      "emit": [ { "event": "TOLD", "data": { "n": 1 } } ] },
    { "name": "asked", "for": "old-client", "old": { "execute": "status2" },
      "new": { "execute": "query-status" }, "ask": [ { "execute": "query-version", "return": { "package": "$p" } } ],
      "remember": { "versions": { "all": { "p": "$p" } } } },
    { "name": "both", "for": "old-client", "old": { "execute": "both" },
      "new": [ { "execute": "query-kvm" }, { "execute": "query-uuid" } ] } ] }"""


class Guest:
    def __init__(self, place):
        self.place = place
        self.image = place.path("image")
        with open(self.image, "wb") as file:
            file.truncate(1 << 20)
        self.qemu = place.qemu("-drive", "file=%s,format=raw,if=none,id=d0" % self.image, "-device", "virtio-scsi-pci,id=scsi", monitors=2)
        path = place.path("rules") + ".jsonc"
        with open(path, "w", encoding="ascii") as file:
            file.write(RULES)
        self.shim = place.shim(self.qemu.paths[0], "--rules", path, "--rules", os.path.join(HERE, "rules", "exchanges.jsonc"),
                               "--rules", rule_file("image-streaming-2011"), "--client", "old")
        self.witness = place.client(self.qemu.paths[1]).greet()
        self.random = random.Random(1)
        self.client = None
        self.n_commands = self.n_events = self.n_sessions = 0
        self.n_overlays = 0
        self.overlays = collections.deque()

    def connect(self):
        if self.client:
            self.check_events()
            self.client.close()
        self.witness.call("query-name")
        self.witness.events.clear()
        self.client = self.place.client(self.shim.path).greet(*self.random.choice([[], ["oob"]]))
        self.n_sessions += 1

    def check_events(self):
        """What the witness saw in this session, as it came through the shim."""
        self.client.call("query-name")
        self.witness.call("query-name")
        def untouched(events):
            return [e for e in events if not e["event"].startswith("BLOCK_JOB") and e["event"] != "TOLD"]
        got, want = untouched(self.client.events), untouched(self.witness.events)
        # what happened before the handshake was over is not the client's
        check_equal(got, want[len(want) - len(got):], "events")
        assert len(want) - len(got) <= 2, "events were lost: %s" % want
        self.n_events += len(got)
        self.client.events.clear()
        self.witness.events.clear()

    def batch(self, names):
        """Pipelined: each command gets one reply, in its turn."""
        ids = []
        for name in names:
            self.n_commands += 1
            ids.append(self.n_commands)
            self.client.send(json.dumps({"execute": name, "id": self.n_commands}) + self.random.choice(["\n", "\r\n", ""]))
        for number in ids:
            check_equal(self.client.read_reply()["id"], number, "the next reply")

    def queries(self):
        kinds = ["query-name", "old_name", "lost", "status2", "both", "query-block", "query-commands", "query-qmp-schema", "nonsense", "query-pci"]
        self.batch(self.random.choices(kinds, k=self.random.randrange(1, 60)))

    def run_and_stop(self):
        self.batch(["resume", "stop_sync", "query-status"])

    def hotplug(self):
        self.client.call("blockdev-add", driver="null-co", node_name="n0")
        self.client.call("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="scsi.0")
        self.client.call("device_del", id="hd0")
        # gone when the node can be; in a guest that does not run, that is at once
        until(lambda: "return" in self.client.command("blockdev-del", arguments={"node-name": "n0"}), "the device to go")

    def snapshot(self):
        self.n_overlays += 1
        path = os.path.join(self.place.directory, "overlay.%d" % self.n_overlays)
        self.client.call("blockdev-snapshot-sync", device="d0", snapshot_file=path, format="qcow2")
        self.overlays.append(path)

    def stream(self):
        self.client.call("block_stream", device="d0")
        until(lambda: not self.client.call("query-block-jobs"), "the job to end")
        while len(self.overlays) > 1:  # all is in the newest now
            os.unlink(self.overlays.popleft())

    def file_descriptors(self):
        fd = os.memfd_create("soak")
        self.client.call("getfd", [fd], fdname="f")
        os.close(fd)
        self.client.call("closefd", fdname="f")

    def garbage(self):
        self.client.send(b'{"execute" 1}\n')
        assert "error" in self.client.read_reply()

    def round(self):
        self.connect()
        actions = [self.queries, self.queries, self.run_and_stop, self.hotplug, self.snapshot, self.stream, self.file_descriptors, self.garbage]
        for action in self.random.sample(actions, len(actions)):
            action()


@tap.test("nothing is lost and nothing grows in %g s" % SECONDS)
def _():
    with Place() as place:
        guest = Guest(place)
        begin, warm = time.monotonic(), None
        n_rounds = 0
        while time.monotonic() - begin < SECONDS:
            guest.round()
            n_rounds += 1
            if warm is None and time.monotonic() - begin > SECONDS * WARM_UP:
                warm = guest.shim.status_kb("VmRSS"), len(guest.shim.fds())
        guest.check_events()
        grown = guest.shim.status_kb("VmRSS") - warm[0]
        print("# %d rounds, %d sessions, %d pipelined commands, %d events; %d kB, %+d kB since the warm-up; %d fds"
              % (n_rounds, guest.n_sessions, guest.n_commands, guest.n_events, guest.shim.status_kb("VmRSS"), grown, len(guest.shim.fds())))
        assert guest.shim.is_sanitized() or grown < MAX_GROWTH_KB, "it grew by %d kB" % grown
        check_equal(len(guest.shim.fds()), warm[1], "fds")
        assert "level=error" not in guest.shim.said(), guest.shim.said()


sys.exit(tap.run())
