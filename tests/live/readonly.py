#!/usr/bin/env python3
"""
What a client can do behind rules/read-only.jsonc: look, at what is no secret, and nothing else.

Each QEMU at hand is asked for all its commands, and each is tried.  The harm that commands do by
their arguments is tried with the arguments that do it, and by the witness, a monitor without the
shim, to show that it would have been done.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "history"))

from history import programs  # noqa: E402
from qmplive import Missing, Place, Tap, check_equal, rule_file  # noqa: E402

tap = Tap()
REFUSED = "qmp-shim: the rules do not allow"
SECRET = "hunter2-is-the-secret"


def allowed():
    """The commands that have a rule."""
    with open(rule_file("read-only"), encoding="utf-8") as file:
        text = "".join(line for line in file if not line.lstrip().startswith("//"))
    return {rule["old"]["execute"] for rule in json.loads(text)["rules"]}


class Stage:
    """A QEMU with something to lose, a client behind the policy, and a witness before it."""

    def __init__(self, place, program):
        self.place = place
        self.files = os.path.join(place.directory, "files")
        os.mkdir(self.files)
        self.image = os.path.join(self.files, "image")
        with open(self.image, "wb") as file:
            file.truncate(1 << 20)
        os.environ["QEMU"] = program
        self.qemu = place.qemu("-object", "secret,id=sec0,data=" + SECRET, "-object", "iothread,id=io0",
                               "-blockdev", "driver=file,filename=%s,node-name=n0" % self.image,
                               "-device", "virtio-blk-pci,drive=n0,id=disk0", "-chardev", "ringbuf,id=ring0,size=64", monitors=2)
        self.witness = place.client(self.qemu.paths[1]).greet()
        self.shim = place.shim(self.qemu.paths[0], "--rules", rule_file("read-only"))
        self.client = place.client(self.shim.path).greet()

    def state(self):
        """What must stay as it is."""
        seen = {name: self.witness.call(name) for name in
                ("query-status", "query-block", "query-named-block-nodes", "query-chardev", "query-iothreads", "query-jobs",
                 "query-migrate-capabilities", "query-migrate-parameters", "query-fdsets", "query-pci")}
        for chardev in seen["query-chardev"]:  # the peers of sockets
            chardev.pop("filename", None)
        for path in ("/", "/objects", "/chardevs", "/machine", "/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"):
            seen[path] = self.witness.call("qom-list", path=path)
        seen["files"] = sorted((name, os.path.getsize(os.path.join(self.files, name))) for name in os.listdir(self.files))
        return seen, [event["event"] for event in self.witness.events]

    def check_same(self, before, what):
        assert self.qemu.is_running(), "%s ended QEMU" % what
        after, events = self.state()
        for name, value in before[0].items():
            check_equal(after[name], value, "%s: %s" % (what, name))
        check_equal(events, before[1], "%s: events" % what)


def each_version(name):
    """A test of each version of QEMU; those that are not here are left out, but the machine's own."""
    def declare(function):
        for version, (program, _) in programs().items():
            def run(program=program):
                with Place() as place:
                    old = os.environ.get("QEMU")
                    try:
                        function(Stage(place, program))
                    finally:
                        os.environ.pop("QEMU")
                        if old is not None:
                            os.environ["QEMU"] = old
            tap.test("QEMU %s: %s" % (version, name))(run)
        return function
    return declare


@each_version("each of its commands that has no rule is refused by the shim, and nothing happens")
def _(stage):
    before, known = stage.state(), allowed()
    names = sorted(command["name"] for command in stage.witness.call("query-commands"))
    n_refused = 0
    for name in names:
        if name in known or name == "qmp_capabilities":
            continue
        for form in ({"execute": name}, {"execute": name, "arguments": {}, "id": name}, {"exec-oob": name}):
            stage.client.send(json.dumps(form) + "\n")
            reply = stage.client.read_reply()
            assert reply.get("error", {}).get("desc", "").startswith(REFUSED), "%s gave %s" % (form, reply)
            check_equal(reply.get("id"), form.get("id"), "id")
        n_refused += 1
    assert n_refused > 100, "only %d commands were tried" % n_refused
    stage.check_same(before, "a refused command")
    print("# %d commands refused, each in 3 forms; %d pass" % (n_refused, len(known & set(names))))


# What does harm by its arguments: %s is a file that is not there yet.  The last ones end the guest.
HARM = [
    ("human-monitor-command", {"command-line": "drive_add 0 if=none,file=%s,format=raw"}),
    ("human-monitor-command", {"command-line": "pmemsave 0 16 %s"}),
    ("transaction", {"actions": [{"type": "blockdev-snapshot-sync", "data": {
        "node-name": "n0", "snapshot-file": "%s", "snapshot-node-name": "n1", "format": "qcow2"}}]}),
    ("pmemsave", {"val": 0, "size": 16, "filename": "%s"}),
    ("chardev-add", {"id": "c1", "backend": {"type": "file", "data": {"out": "%s"}}}),
    ("object-add", {"qom-type": "iothread", "id": "io1"}),
    ("object-add", {"qom-type": "secret", "id": "sec1", "file": "/etc/hostname"}),
    ("qom-get", {"path": "/objects/sec0", "property": "data"}),
    ("object-del", {"id": "sec0"}),
    ("blockdev-add", {"driver": "null-co", "node-name": "n7"}),
    ("blockdev-create", {"job-id": "j1", "options": {"driver": "file", "filename": "%s", "size": 512}}),
    ("device_add", {"driver": "virtio-rng-pci", "id": "rng1"}),
    ("device_del", {"id": "disk0"}),
    ("qom-set", {"path": "/objects/io0", "property": "poll-max-ns", "value": 7}),
    ("migrate-set-parameters", {"max-bandwidth": 4096}),
    ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "%s"}}}),
    ("ringbuf-write", {"device": "ring0", "data": "x"}),
    ("ringbuf-read", {"device": "ring0", "size": 16}),
    ("netdev_add", {"type": "user", "id": "net1"}),
    ("migrate", {"uri": "exec:cat > %s"}),
    ("cont", {}),
    ("system_reset", {}),
    ("stop", {}),
]


def filled(arguments, path):
    return json.loads(json.dumps(arguments).replace("%s", path))


@each_version("nothing does harm by its arguments, which all would do without the policy")
def _(stage):
    before = stage.state()
    path = os.path.join(stage.files, "written")
    for name, arguments in HARM + [("quit", {})]:
        reply = stage.client.command(name, arguments=filled(arguments, path))
        assert reply.get("error", {}).get("desc", "").startswith(REFUSED), "%s gave %s" % (name, reply)
        stage.check_same(before, name)
    n_done = 0
    for i, (name, arguments) in enumerate(HARM):
        reply = stage.witness.command(name, arguments=filled(arguments, path + str(i)))
        n_done += "return" in reply
        if "error" in reply:
            print("# without the policy, %s: %s" % (name, reply["error"]["desc"]))
    assert n_done >= len(HARM) - 6, "only %d of %d do any harm" % (n_done, len(HARM))


SPELLINGS = [b'"/objects/sec0"', b'"sec0"', b'"objects/sec0"', b'"//objects/sec0"', b'"/objects//sec0"', b'"\\u002fobjects/sec0"',
             b"'/objects/sec0'", b'"/machine/../objects/sec0"', b'"/machine/../../objects/sec0"', b'"/machine//objects/sec0"',
             b'"../objects/sec0"', b'"/machine\\u0000/objects/sec0"', b'"\\u0000/machine"', b'"/machine","path":"/objects/sec0"',
             b'"/objects/sec0","path":"/machine"', b'"/machine","pat\\u0068":"/objects/sec0"', b"\"/machine\",'path':'/objects/sec0'",
             b'["/machine"]', b'{"a":"/machine"}', b'null', b'"/objects/sec0/../../machine"', b'"*"', b'"/machine*"',
             b'"/machine/peripheral/../../objects/sec0"', b'" /machine/../objects/sec0"', b'"/Machine"', b'""', b'"/"']


@each_version("a secret cannot be read, however its path is written")
def _(stage):
    check_equal(stage.witness.call("qom-get", path="/objects/sec0", property="data"), SECRET, "what there is to lose")
    for path in SPELLINGS:
        for text in (b'{"execute":"qom-get","arguments":{"path":%s,"property":"data"}}', b'{"arguments":{"property":"data","path":%s},"execute":"qom-get"}',
                     b"{'execute':'qom-get','arguments':{'property':'d\\u0061ta','path':%s}}",
                     b'{"execute":"qom-get","arguments":{"path":"/machine","property":"type"},"arguments":{"path":%s,"property":"data"}}',
                     b'{"execute":"qom-get","arguments":{"path":%s,"property":"data"},"arguments":{"path":"/machine","property":"type"}}'):
            stage.client.send(text % path + b'\n{"execute":"query-name","id":"sync"}\n')
            stage.client.read_until(lambda data: b'"sync"' in data, "the reply behind " + path.decode())
            said, stage.client.input = stage.client.input, b""
            assert SECRET.encode() not in said, "%s gave %s" % (path, said)
            assert b'"error"' in said, "%s gave %s" % (path, said)
    stage.client.events.clear()


@each_version("no type of object is made to answer a question, some would end the guest")
def _(stage):
    before = stage.state()
    for name in ("device-list-properties", "qom-list-properties"):
        for kind in ("microvm-machine", "colo-compare", "virtio-vga-gl", "x-remote-object", "chardev-msmouse", "virtio-rng-pci"):
            reply = stage.client.command(name, arguments={"typename": kind})
            assert reply.get("error", {}).get("desc", "").startswith(REFUSED), "%s %s gave %s" % (name, kind, reply)
    stage.check_same(before, "a type")


def walk(client, path, visit):
    for entry in client.command("qom-list", arguments={"path": path}).get("return", []):
        visit(path, entry["name"])
        if entry["type"].startswith("child<"):
            walk(client, path.rstrip("/") + "/" + entry["name"], visit)


@each_version("all that is allowed, done, changes nothing")
def _(stage):
    before, n_fds = stage.state(), len(stage.qemu.fds())
    known = allowed()
    counts = {"return": 0, "error": 0}
    for name in sorted(known):
        reply = stage.client.command(name)
        counts["return" if "return" in reply else "error"] += 1
    assert counts["return"] > 40, counts

    def get(path, name):
        reply = stage.client.command("qom-get", arguments={"path": path, "property": name})
        assert SECRET not in json.dumps(reply), "%s/%s is %s" % (path, name, reply)
        counts["properties"] = counts.get("properties", 0) + ("return" in reply)

    walk(stage.client, "/machine", get)
    assert counts["properties"] > 500, counts
    for path in ("/objects", "/chardevs", "/backend", "/"):
        for entry in stage.client.command("qom-list", arguments={"path": path}).get("return", []):
            reply = stage.client.command("qom-get", arguments={"path": path, "property": entry["name"]})
            assert "error" in reply, "%s/%s is %s" % (path, entry["name"], reply)
    stage.check_same(before, "what is allowed")
    check_equal(len(stage.qemu.fds()), n_fds, "fds of QEMU")
    print("# %s" % counts)


@tap.test("whatever asks is allowed, or known not to be harmless")
def _():
    """Commands of all versions in data/schemas.json whose name says that they ask."""
    path = os.environ.get("QMP_SHIM_SCHEMAS", os.path.join(HERE, "..", "..", "data", "schemas.json"))
    if not os.path.exists(path):
        raise Missing("no " + path)
    with open(path, encoding="utf-8") as file:
        names = {entry["name"] for entry in json.load(file)["entries"] if entry["meta-type"] == "command"}
    known = allowed()
    check_equal(sorted(known - names), [], "rules for commands that no version has")
    check_equal(sorted(n for n in known if not re.match(r"query-|qom-(list|get)$", n)), [], "rules for what does not ask")
    check_equal(sorted(n for n in names - known if n.startswith("query-")), [
        "query-cpu-model-baseline", "query-cpu-model-comparison", "query-cpu-model-expansion",  # make a CPU of any type
        "query-firmware-log",                                           # memory of the guest
        "query-sev-attestation-report", "query-sev-launch-measure",     # have the processor sign something
    ], "what asks and is not allowed")


sys.exit(tap.run())
