#!/usr/bin/env python3
"""
The image streaming interface of August 2011, both ways round.

A client of that time, with its names and what it expects, against a real QEMU of today; and a
client of today against a server of that time, played from a record (fixtures/).
"""

import json
import os
import shutil
import subprocess
import sys

from qmplive import HERE, Missing, Place, Replay, Tap, check_equal, read_dialogue, rule_file, without_id

RULES = "image-streaming-2011"
BACKING_BYTES = 8 << 20
SLOW_BPS = 1 << 20  # of the throttled backing file
OLD_COMMANDS = ["block_stream", "block_job_set_speed", "block_job_cancel", "query-block-jobs",
                "query-commands"]

tap = Tap()


def qemu_img(*arguments):
    program = os.environ.get("QEMU_IMG", "qemu-img")
    if not shutil.which(program):
        raise Missing(program + " is not installed")
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)


def drive(place, name, is_slow):
    """The arguments for a disk that has all its data in a backing file, which reads slowly if so wished."""
    backing, overlay = place.path(name + ".raw"), place.path(name + ".qcow2")
    with open(backing, "wb") as file:
        file.write(b"\xa5" * BACKING_BYTES)
    qemu_img("create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", overlay)
    source = {"driver": "raw", "file": {"driver": "file", "filename": backing}}
    if is_slow:
        source = {"driver": "throttle", "throttle-group": "slow", "file": source}
    source["node-name"] = name + "-backing"
    return ["-blockdev", json.dumps(source),
            "-drive", "if=none,id=%s,driver=qcow2,file.driver=file,file.filename=%s,backing=%s-backing"
            % (name, overlay, name), "-device", "virtio-blk-pci,drive=" + name]


class Old:
    """A client of 2011 on a real QEMU with two disks: drive0, and slow0, whose backing file reads slowly."""

    def __init__(self, place):
        slow = ["-object", "throttle-group,id=slow,x-bps-read=%d" % SLOW_BPS]
        qemu = place.qemu(*slow, *drive(place, "drive0", False), *drive(place, "slow0", True))
        shim = place.shim(qemu.path, "--client", "old", "--rules", rule_file(RULES))
        self.client = place.client(shim.path).greet()

    def stream(self, device):
        check_equal(self.client.call("block_stream", device=device), {})

    def jobs(self):
        return self.client.call("query-block-jobs")

    def error(self, name, **arguments):
        reply = self.client.command(name, arguments=arguments, id={"of": name})
        assert "error" in reply, "%s gave %s" % (name, reply)
        check_equal(reply["id"], {"of": name})
        return reply["error"]

    def completed(self, device):
        """The next end of a job, which must be of this device."""
        event = self.client.wait_event("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")
        check_equal(event["event"], "BLOCK_JOB_COMPLETED")
        check_equal(event["data"]["device"], device)
        check_equal(event["data"]["type"], "stream")
        return event["data"]


def old(name):
    def declare(function):
        def run():
            with Place() as place:
                function(Old(place))
        tap.test("client of 2011, QEMU of today: " + name)(run)
    return declare


@old("block_stream returns, and its end is told by BLOCK_JOB_COMPLETED with offset = len")
def _(old):
    old.stream("drive0")
    data = old.completed("drive0")
    check_equal((data["offset"], data["len"]), (BACKING_BYTES, BACKING_BYTES))
    assert "error" not in data, data
    check_equal(old.jobs(), [])
    inserted, = [d["inserted"] for d in old.client.call("query-block") if d["device"] == "drive0"]
    assert "backing_file" not in inserted, "the disk still has its backing file"


@old("block_stream again when nothing is left to copy")
def _(old):
    for _ in range(2):
        old.stream("drive0")
        data = old.completed("drive0")
        assert "error" not in data and data["offset"] == data["len"], data


@old("a second block_stream while one runs: DeviceInUse, with the device")
def _(old):
    old.stream("slow0")
    error = old.error("block_stream", device="slow0")
    check_equal((error["class"], error.get("data")), ("DeviceInUse", {"device": "slow0"}))
    job, = old.jobs()
    check_equal((job["device"], job["type"], job["len"]), ("slow0", "stream", BACKING_BYTES))


@old("block_job_set_speed sets the speed of a running job, digit for digit")
def _(old):
    old.stream("slow0")
    for speed in (65536, (1 << 53) + 1, 0):
        check_equal(old.client.call("block_job_set_speed", device="slow0", value=speed), {})
        job, = old.jobs()
        check_equal(job["speed"], speed)


@old("block_job_cancel: the job ends, and BLOCK_JOB_COMPLETED tells that it is not whole")
def _(old):
    old.stream("slow0")
    check_equal(old.client.call("block_job_cancel", device="slow0"), {})
    data = old.completed("slow0")
    assert data["offset"] != data["len"] and data.get("error"), data
    check_equal(old.jobs(), [])


@old("block_job_cancel without a job: DeviceNotActive, with the device")
def _(old):
    error = old.error("block_job_cancel", device="drive0")
    check_equal((error["class"], error.get("data")), ("DeviceNotActive", {"device": "drive0"}))


@old("block_job_set_speed without a job: DeviceNotActive, with the device")
def _(old):
    error = old.error("block_job_set_speed", device="drive0", value=1000)
    check_equal((error["class"], error.get("data")), ("DeviceNotActive", {"device": "drive0"}))


@old("block_stream of an unknown device: DeviceNotFound, with the device")
def _(old):
    error = old.error("block_stream", device="no such 'drive'")
    check_equal((error["class"], error.get("data")), ("DeviceNotFound", {"device": "no such 'drive'"}))


@old("ids come back as they were sent, digit for digit")
def _(old):
    for i, text in enumerate(["1e2", "-0", "1.50", "18446744073709551615", '{"b": 1, "a": [2.0]}', '"\\u0041"', "null"]):
        old.client.send('{"execute": "block_job_cancel", "arguments": {"device": "drive0"}, "id": %s}' % text)
        line = old.client.read_line().decode()
        assert line.endswith("\r\n") and '"id": %s' % text in line, "id %d: %s" % (i, line)


@old("byte by byte, in single quotes, and several at once")
def _(old):
    for byte in b'{"execute": "block_stream", "arguments": {"device": "slow0"}}':
        old.client.send(bytes([byte]))
        old.client.wait_read()
    check_equal(old.client.read_reply(), {"return": {}})
    old.client.send("{'execute': 'block_job_set_speed', 'arguments': {'device': 'slow0', 'value': 4096}}")
    check_equal(old.client.read_reply(), {"return": {}})
    old.client.send('{"execute": "query-block-jobs", "id": 1}{"execute": "block_job_set_speed", "arguments": '
                    '{"device": "slow0", "value": 8192}, "id": 2}{"execute": "query-block-jobs", "id": 3}')
    replies = [old.client.read_reply() for _ in range(3)]
    check_equal([r["id"] for r in replies], [1, 2, 3])
    check_equal([replies[i]["return"][0]["speed"] for i in (0, 2)], [4096, 8192])


@old("query-commands names what the client may use")
def _(old):
    names = {command["name"] for command in old.client.call("query-commands")}
    check_equal([name for name in OLD_COMMANDS if name not in names], [])


# --- a client of today, a server of 2011 -----------------------------------------------------------

TODAYS = {
    "block_stream": "block-stream",
    "block_job_cancel": "block-job-cancel",
    "block_job_set_speed": "block-job-set-speed",
}


def todays(command):
    """A recorded command as a client of today gives it."""
    renamed = dict(command, execute=TODAYS.get(command["execute"], command["execute"]))
    if "value" in command.get("arguments", {}):
        renamed["arguments"] = {"speed" if k == "value" else k: v for k, v in command["arguments"].items()}
    return renamed


@tap.test("client of today, server of 2011: every command arrives in the server's words, every answer comes back")
def _():
    steps = read_dialogue(os.path.join(HERE, "fixtures", "old-server-streaming.txt"))
    asides = {"query-commands": {"return": [{"name": name} for name in OLD_COMMANDS]}}
    with Place() as place:
        server = place.server()
        shim = place.shim(server.path, "--client", "new", "--rules", rule_file(RULES))
        with Replay(server, steps, asides):
            client = place.client(shim.path)
            check_equal(client.read_message(), steps[0][1][0])
            for command, answers in steps[1:]:
                client.send(json.dumps(todays(command)) + "\r\n")
                for answer in answers:
                    check_answer(client.read_message(), answer, command)


def check_answer(got, recorded, command):
    """The same but for what the rules say of errors: class and text may be today's, a failure stays one."""
    if "error" not in recorded:
        check_equal(got, recorded)
        return
    check_equal(got.get("id"), recorded.get("id"))
    assert got["error"]["class"] and got["error"]["desc"], got
    assert "value" not in got["error"]["desc"], "a name that the client did not use: %s" % got
    assert "return" not in got, "%s failed at the server: %s" % (without_id(command), got)


if __name__ == "__main__":
    sys.exit(tap.run())
