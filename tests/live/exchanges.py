#!/usr/bin/env python3
"""
Exchanges of several messages, each on a real QEMU: what a client of its time expects, given by a
server that needs more than one message for it.  The reverse is played from a record (fixtures/).
"""

import json
import os
import shutil
import subprocess
import sys

from qmplive import HERE, Missing, Place, Replay, Tap, check_equal, read_dialogue

BYTES = 8 << 20
tap = Tap()


def rules(name):
    return os.path.join(HERE, "rules", name + ".jsonc")


def qemu_img(*arguments):
    program = os.environ.get("QEMU_IMG", "qemu-img")
    if not shutil.which(program):
        raise Missing(program + " is not installed")
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)


def disk(place, name, has_backing=True, bps=0):
    """A disk; with a backing file that has all its data and, if so wished, reads slowly."""
    overlay = place.path(name + ".qcow2")
    if not has_backing:
        qemu_img("create", "-q", "-f", "qcow2", overlay, str(BYTES))
        return ["-drive", "if=none,id=%s,file=%s,format=qcow2" % (name, overlay), "-device", "virtio-blk-pci,drive=" + name]
    backing = place.path(name + ".raw")
    with open(backing, "wb") as file:
        file.write(b"\x5a" * BYTES)
    qemu_img("create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", overlay)
    return ["-object", "throttle-group,id=%s-group,x-bps-read=%d" % (name, bps),
            "-blockdev", json.dumps({"driver": "raw", "node-name": name + "-backing", "file": {
                "driver": "throttle", "throttle-group": name + "-group", "file": {"driver": "file", "filename": backing}}}),
            "-drive", "if=none,id=%s,driver=qcow2,file.driver=file,file.filename=%s,backing=%s-backing" % (name, overlay, name),
            "-device", "virtio-blk-pci,drive=" + name]


def exchange(title, *disks, rule_file="exchanges", arguments=()):
    def declare(function):
        def run():
            with Place() as place:
                qemu = place.qemu(*arguments, *(a for d in disks for a in disk(place, **d)))
                shim = place.shim(qemu.path, "--client", "old", "--rules", rules(rule_file))
                function(place.client(shim.path).greet(), place)
        tap.test(title)(run)
    return declare


def until_reply(client, **wanted):
    """Everything that comes up to the reply with this id, the reply last."""
    seen = []
    while not seen or any(seen[-1].get(k) != v for k, v in wanted.items()):
        seen.append(client.read_message())
    return seen


@exchange("a synchronous cancel: the reply comes when the job is gone, and its event is not shown", dict(name="slow0", bps=1 << 20))
def _(client, place):
    client.call("block_stream", device="slow0")
    client.send('{"execute": "block_job_cancel", "arguments": {"device": "slow0"}, "id": "c"}\r\n'
                '{"execute": "query-block-jobs", "id": "q"}\r\n')
    seen = until_reply(client, id="q")
    check_equal(seen[-1]["return"], [])
    check_equal([m for m in seen if m.get("event", "").startswith("BLOCK_JOB_")], [])
    check_equal([m["id"] for m in seen if "id" in m], ["c", "q"])


@exchange("a synchronous cancel that is refused is answered at once", dict(name="slow0", bps=1 << 20))
def _(client, place):
    reply = client.command("block_job_cancel", arguments={"device": "slow0"}, id=7)
    check_equal((reply["id"], reply["error"]["class"]), (7, "DeviceNotActive"))


@exchange("a stream with nothing to copy ends with the size of the image in both", dict(name="drive0", has_backing=False))
def _(client, place):
    client.call("block_stream", device="drive0")
    data = client.wait_event("BLOCK_JOB_COMPLETED")["data"]
    check_equal((data["len"], data["offset"], data["type"]), (BYTES, BYTES, "stream"))


@exchange("netdev_add with strings for everything, by the server's schema")
def _(client, place):
    port = {"type": "user", "id": "n0", "restrict": "on", "ipv6": "off"}
    check_equal(client.call("netdev_add", **port), {})
    check_equal(client.call("netdev_add", **dict(port, id="n1")), {})


@exchange("device_add with strings for everything, by the device's own properties", dict(name="drive0", has_backing=False))
def _(client, place):
    check_equal(client.call("device_add", driver="virtio-balloon-pci", id="b0", addr="05.0", **{"deflate-on-oom": "on", "rombar": "0"}), {})
    check_equal(client.call("qom-get", path="/machine/peripheral/b0", property="deflate-on-oom"), True)


def add_empty_file(client, place):
    path = place.path("new.img")
    open(path, "wb").close()
    client.call("blockdev-add", **{"driver": "file", "node-name": "f", "filename": path})


@exchange("blockdev-create, of which only JOB_STATUS_CHANGE tells: BLOCK_JOB_COMPLETED, and it is dismissed", rule_file="generic-jobs")
def _(client, place):
    add_empty_file(client, place)
    client.call("blockdev-create", **{"job-id": "j", "options": {"driver": "qcow2", "file": "f", "size": BYTES}})
    data = client.wait_event("BLOCK_JOB_COMPLETED", "JOB_STATUS_CHANGE")["data"]
    check_equal((data["device"], data["type"], data["speed"]), ("j", "create", 0))
    check_equal(data["offset"], data["len"])
    check_equal(client.call("query-jobs"), [])


@exchange("blockdev-create that fails tells its error", rule_file="generic-jobs")
def _(client, place):
    add_empty_file(client, place)
    client.call("blockdev-create", **{"job-id": "j", "options": {"driver": "qcow2", "file": "f", "size": BYTES, "cluster-size": 3}})
    data = client.wait_event("BLOCK_JOB_COMPLETED", "JOB_STATUS_CHANGE")["data"]
    assert "luster size" in data["error"], data
    check_equal(client.call("query-jobs"), [])


@exchange("snapshot-save, of which only JOB_STATUS_CHANGE tells", dict(name="drive0", has_backing=False), rule_file="generic-jobs")
def _(client, place):
    node = client.call("query-block")[0]["inserted"]["node-name"]
    client.call("snapshot-save", **{"job-id": "s", "tag": "t", "vmstate": node, "devices": [node]})
    data = client.wait_event("BLOCK_JOB_COMPLETED", "JOB_STATUS_CHANGE", seconds=30)["data"]
    check_equal((data["device"], data["type"]), ("s", "snapshot-save"))
    assert "error" not in data, data


@exchange("a job that dismisses itself is gone when asked for: what was remembered serves", dict(name="slow0", bps=16 << 20),
          rule_file="generic-jobs-only")
def _(client, place):
    client.call("block-stream", device="slow0", speed=1 << 30)
    data = client.wait_event("BLOCK_JOB_COMPLETED", "JOB_STATUS_CHANGE")["data"]
    check_equal(data, {"device": "slow0", "type": "stream", "len": BYTES, "offset": BYTES, "speed": 1 << 30})


@tap.test("a client's version and nothing else: the shipped rules that bridge it are chosen, none refuses, introspection names them")
def _():
    with Place() as place:
        qemu = place.qemu()
        client = place.client(place.shim(qemu.path, "--client-version", "2.6").path).greet()
        cpu, = client.call("query-cpus")
        check_equal((cpu["CPU"], cpu["halted"], cpu["current"]), (0, False, False))
        for name in ("stop", "cont", "system_reset"):
            check_equal(client.call(name), {})
        names = [command["name"] for command in client.call("query-commands")]
        assert "query-cpus" in names and "query-cpus-fast" in names, names
        check_equal(client.command("no-such-command")["error"]["class"], "CommandNotFound")


# --- the reverse: a client that knows generic jobs only, a server of QEMU 2.0 --------------------------


def jobs_of(message):
    return message["data"]["status"] if message.get("event") == "JOB_STATUS_CHANGE" else message.get("event", "reply")


@tap.test("client of generic jobs, server of QEMU 2.0: the status events in their order, query-jobs, pause, cancel, dismiss")
def _():
    steps = read_dialogue(os.path.join(HERE, "fixtures", "old-server-jobs.txt"))
    with Place() as place:
        server = place.server()
        with Replay(server, steps):
            shim = place.shim(server.path, "--client", "new", "--rules", rules("jobs-for-old-server"))
            client = place.client(shim.path).greet()

            def call(name, n_events=0, **arguments):
                """The reply and what came before it, then so many events."""
                members = {"arguments": arguments} if arguments else {}
                client.send(json.dumps({"execute": name, **members, "id": name}) + "\r\n")
                seen = until_reply(client, id=name)
                return [jobs_of(m) for m in seen + [client.read_message() for _ in range(n_events)]], seen[-1]

            check_equal(call("block-stream", device="drive0", speed=1048576)[0], ["created", "running", "reply"])
            job, = call("query-jobs")[1]["return"]
            check_equal(job, {"id": "drive0", "type": "stream", "current-progress": 196608, "total-progress": 67108864, "status": "running"})
            order, _ = call("block-job-set-speed", 5, device="drive0", speed=0)
            check_equal(order, ["reply", "waiting", "pending", "BLOCK_JOB_COMPLETED", "concluded", "null"])
            check_equal(call("job-dismiss", id="drive0")[1]["return"], {})
            check_equal(call("query-jobs")[1]["return"], [])
            check_equal(call("block-stream", device="drive0", speed=65536)[0], ["created", "running", "reply"])
            check_equal(call("job-pause", id="drive0")[0], ["paused", "reply"])
            check_equal(call("query-jobs")[1]["return"][0]["status"], "paused")
            check_equal(call("job-resume", id="drive0")[0], ["running", "reply"])
            order, _ = call("job-cancel", 4, id="drive0")
            check_equal(order, ["reply", "aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"])
            check_equal(call("query-jobs")[1]["return"], [])


@tap.test("client of today, server of QEMU 2.0: migrate-set-parameters becomes the commands whose arguments are there")
def _():
    with Place() as place:
        server = place.server()
        steps = [(None, [{"QMP": {"version": {"qemu": {"major": 2, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}}]),
                 ({"execute": "qmp_capabilities"}, [{"return": {}}]),
                 ({"execute": "migrate_set_speed", "arguments": {"value": 1000000}}, [{"return": {}}]),
                 ({"execute": "migrate_set_downtime", "arguments": {"value": 0.3}}, [{"return": {}}]),
                 ({"execute": "migrate_set_downtime", "arguments": {"value": 1}}, [{"error": {"class": "GenericError", "desc": "no"}}])]
        with Replay(server, steps):
            shim = place.shim(server.path, "--client", "new", "--rules", rules("migrate-parameters"))
            client = place.client(shim.path).greet()
            check_equal(client.call("migrate-set-parameters", **{"max-bandwidth": 1000000, "downtime-limit": 300}), {})
            reply = client.command("migrate-set-parameters", arguments={"downtime-limit": 1000}, id=1)
            check_equal(reply, {"id": 1, "error": {"class": "GenericError", "desc": "no"}})


if __name__ == "__main__":
    sys.exit(tap.run())
