#!/usr/bin/env python3
"""A client of 2011 streams a disk image through a QEMU of today.

In August 2011 image streaming was a patch outside of QEMU's own tree, and its
clients learned three commands that no release ever had: block_stream,
block_job_set_speed and block_job_cancel.  Here such a client talks to the real
QEMU on this machine, with qmp-shim in between and a relay behind it that
records what the server hears and says.  Both views are printed side by side.

Exit status: 0 when the client heard what its dialect promises, 1 when not.
"""

import argparse
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
DEADLINE_S = 30
MIB = 1 << 20
IMAGE_BYTES = 8 * MIB
SERVER_BYTES_PER_S = 8 * MIB  # a job lasts long enough to meet it while it runs
SHOWN_CHARACTERS = 300
SETTLE_S = 0.1  # what is under way when a step ends may still arrive


class Refused(Exception):
    """The client did not hear what it was promised."""


def poll_until(condition, what):
    """Return: the first true result of `condition`."""
    end = time.monotonic() + DEADLINE_S
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Refused(f"waited in vain for {what}")
        select.select([], [], [], 0.01)


def connect(path):
    """A connection to who listens there, or soon will."""
    connection = socket.socket(socket.AF_UNIX)
    poll_until(lambda: connection.connect_ex(path) == 0, f"someone to listen on {path}")
    return connection


### Messages and where they were seen


class Messages:
    """Cuts a stream of bytes into JSON objects, each with its own text."""

    def __init__(self):
        self.text = ""

    def feed(self, data):
        self.text += data.decode()
        while self.text.lstrip():
            self.text = self.text.lstrip()
            try:
                message, end = json.JSONDecoder().raw_decode(self.text)
            except ValueError:
                return
            yield message, self.text[:end]
            self.text = self.text[end:]


class Row:
    """One message, as one side saw it and as the other did."""

    def __init__(self, direction):
        self.direction = direction
        self.message = {"client": None, "server": None}
        self.text = {"client": "", "server": ""}
        self.answers = None  # the row of the command, for a reply that the server gave
        self.is_answered = False

    def see(self, side, message, text):
        self.message[side] = message
        self.text[side] = text


def command_name(message):
    return (message.get("execute") or "").replace("_", "-")


class Record:
    """All that was said, in rows, as both sides go on seeing it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = []
        self.n_shown = 0

    def add(self, side, direction, message, text):
        with self.lock:
            row = self._find(side, direction, message)
            row.see(side, message, text)

    def _find(self, side, direction, message):
        """The row in which the other side saw this message first, or a new one."""
        is_second = side == ("server" if direction == "→" else "client")
        for row in self.rows if is_second else []:
            if row.direction == direction and not row.message[side] and self._same(row, side, message):
                return row
        row = Row(direction)
        if direction == "←" and side == "server" and ("return" in message or "error" in message):
            row.answers = self._oldest_command()
        self.rows.append(row)
        return row

    def _oldest_command(self):
        """The server answers in the order in which it was asked."""
        for row in self.rows:
            if row.direction == "→" and row.message["server"] and not row.is_answered:
                row.is_answered = True
                return row
        return None

    @staticmethod
    def _same(row, side, message):
        other = row.message["client" if side == "server" else "server"]
        if not other:
            return False
        if row.direction == "→":
            return command_name(other) == command_name(message)
        if "event" in message or "event" in other:
            return message.get("timestamp") == other.get("timestamp") and "event" in message
        if "QMP" in message or "QMP" in other:
            return "QMP" in message and "QMP" in other
        return bool(row.answers and row.answers.message["client"])

    def new_rows(self):
        with self.lock:
            rows = self.rows[self.n_shown :]
            self.n_shown = len(self.rows)
            return rows


### The two sides


class Relay:
    """Stands in front of the server, passes every byte and records every message."""

    def __init__(self, path, server_path, record):
        self.server_path = server_path
        self.record = record
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        client, _ = self.listener.accept()
        server = connect(self.server_path)
        threading.Thread(target=self.copy, args=(client, server, "→"), daemon=True).start()
        self.copy(server, client, "←")

    def copy(self, source, target, direction):
        messages = Messages()
        try:
            while data := source.recv(65536):
                for message, text in messages.feed(data):
                    self.record.add("server", direction, message, text)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of the two has gone, and the demonstration ends


class Client:
    """A client as they were in 2011: one command, one reply, events between."""

    def __init__(self, path, record):
        self.record = record
        self.messages = Messages()
        self.seen = []
        self.socket = connect(path)

    def _next(self, wanted):
        """Return: the first message, of those not yet taken, that is wanted."""
        while True:
            for message in self.seen:
                if wanted(message):
                    self.seen.remove(message)
                    return message
            self._receive(DEADLINE_S)

    def _receive(self, seconds):
        """Take what comes within this time.  Return: whether anything came."""
        if not select.select([self.socket], [], [], seconds)[0]:
            if seconds == DEADLINE_S:
                raise Refused(f"nothing came for {seconds} seconds")
            return False
        data = self.socket.recv(65536)
        if not data:
            raise Refused("the connection was closed")
        for message, text in self.messages.feed(data):
            self.record.add("client", "←", message, text)
            self.seen.append(message)
        return True

    def settle(self):
        while self._receive(SETTLE_S):
            pass

    def greeting(self):
        return self._next(lambda m: "QMP" in m)

    def event(self, name):
        return self._next(lambda m: m.get("event") == name)

    def command(self, name, **arguments):
        message = {"execute": name, "arguments": arguments} if arguments else {"execute": name}
        text = json.dumps(message)
        self.record.add("client", "→", message, text)
        self.socket.sendall(text.encode() + b"\r\n")
        return self._next(lambda m: "return" in m or "error" in m)


### How it looks


TIMESTAMP = re.compile(r'"timestamp": *\{[^}]*\}')


class Columns:
    """Two columns as wide as the terminal lets them be."""

    MARKS = {"same": " ", "changed": "~", "client only": "<", "server only": ">"}

    def __init__(self):
        width = min(shutil.get_terminal_size((132, 24)).columns, 200)
        self.width = max((width - 3) // 2, 30)

    def cells(self, text, arrow):
        text = TIMESTAMP.sub('"timestamp": …', text)
        if len(text) > SHOWN_CHARACTERS:
            text = f"{text[:SHOWN_CHARACTERS]} … ({len(text)} characters)"
        lines = textwrap.wrap(text, self.width - 2, break_on_hyphens=False)
        return [f"{'  ' if i else arrow + ' '}{line}" for i, line in enumerate(lines)]

    def heading(self):
        self._line("the client said → and heard ←", " ", "the server heard → and said ←")
        self._line("-" * self.width, "-", "-" * self.width)

    def prose(self, text):
        print()
        for line in textwrap.wrap(text, 2 * self.width + 3):
            print(line)
        print()

    def row(self, row):
        client = self.cells(row.text["client"], row.direction) if row.message["client"] else []
        server = self.cells(row.text["server"], row.direction) if row.message["server"] else []
        mark = self.MARKS[self.kind(row)]
        for i in range(max(len(client), len(server))):
            left = client[i] if i < len(client) else ""
            right = server[i] if i < len(server) else ""
            self._line(left, mark if i == 0 else " ", right)

    @staticmethod
    def kind(row):
        if not row.message["server"]:
            return "client only"
        if not row.message["client"]:
            return "server only"
        return "same" if row.message["client"] == row.message["server"] else "changed"

    def _line(self, left, mark, right):
        print(f"{left:<{self.width}} {mark} {right}".rstrip())


### The session


def check(is_so, promise, message):
    if not is_so:
        raise Refused(f"{promise}; it heard {json.dumps(message)}")


def check_returned(message, promise):
    check("return" in message, promise, message)


def check_error(message, error_class, promise):
    check(message.get("error", {}).get("class") == error_class, promise, message)


def say_hello(client):
    client.greeting()
    check_returned(client.command("qmp_capabilities"), "negotiation succeeds")


def start_twice(client):
    check_returned(client.command("block_stream", device="drive0"), "the stream starts")
    second = client.command("block_stream", device="drive0")
    check_error(second, "DeviceInUse", "the second stream is refused as DeviceInUse")


def set_speed(client):
    reply = client.command("block_job_set_speed", device="drive0", value=64 * MIB)
    check_returned(reply, "the speed is set")


def wait_completed(client):
    data = client.event("BLOCK_JOB_COMPLETED")["data"]
    is_whole = data["offset"] == data["len"] == IMAGE_BYTES and "error" not in data
    check(is_whole, f"the stream ends with offset = len = {IMAGE_BYTES}", data)


def cancel_another(client):
    check_returned(client.command("block_stream", device="drive1"), "the stream starts")
    reply = client.command("block_job_set_speed", device="drive1", value=64 * 1024)
    check_returned(reply, "the speed is set")
    check_returned(client.command("block_job_cancel", device="drive1"), "the job is cancelled")
    data = client.event("BLOCK_JOB_COMPLETED")["data"]
    is_told = data["offset"] < data["len"] and "error" in data
    check(is_told, "the cancelled job ends with an error, and offset < len", data)


def name_none(client):
    reply = client.command("block_stream", device="drive7")
    check_error(reply, "DeviceNotFound", "an unknown device is DeviceNotFound")


SESSION = [
    ("The client connects and negotiates. It knows nothing of the shim.", say_hello),
    ("It streams drive0, and asks a second time while the first job runs: the refusal must be of the "
     "class DeviceInUse, as it was when QEMU still had that class.", start_twice),
    ("It sets the speed; the argument was called value then.", set_speed),
    ("The job completes: offset equals len.", wait_completed),
    ("It streams drive1, slowly, and cancels. In its dialect every job ends with "
     "BLOCK_JOB_COMPLETED, and an error says that it did not get to its end; today's server has an "
     "event of its own for that.",
     cancel_another),
    ("A device that is not there is DeviceNotFound; today all such errors are told apart only by "
     "their text.", name_none),
]


### The stage


def drive_options(directory, name):
    """A qcow2 overlay over a raw image that has data and is read at a limited rate."""
    base, overlay = f"{directory}/{name}.raw", f"{directory}/{name}.qcow2"
    Path(base).write_bytes(os.urandom(IMAGE_BYTES))
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", overlay, str(IMAGE_BYTES)]
    subprocess.run(argv, check=True)
    backing = (
        "backing.driver=throttle,backing.throttle-group=slow,backing.file.driver=raw,"
        f"backing.file.file.driver=file,backing.file.file.filename={base}"
    )
    return [
        "-drive", f"if=none,id={name},driver=qcow2,file.driver=file,file.filename={overlay},{backing}",
        "-device", f"virtio-blk-pci,drive={name}",
    ]


def start(argv, directory):
    """A child; what it says goes to a file of its own."""
    try:
        with open(f"{directory}/{os.path.basename(argv[0])}.log", "wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    except FileNotFoundError:
        raise Refused(f"{argv[0]} is not on this machine") from None


def start_qemu(directory, path):
    program = os.environ.get("QEMU", "qemu-system-x86_64")
    argv = [program, "-M", "pc", "-nodefaults", "-display", "none", "-S", "-m", "64", "-accel", "tcg"]
    argv += ["-qmp", f"unix:{path},server=on,wait=off"]
    argv += ["-object", f"throttle-group,id=slow,x-bps-read={SERVER_BYTES_PER_S}"]
    argv += drive_options(directory, "drive0") + drive_options(directory, "drive1")
    return start(argv, directory)


def start_shim(program, directory, listen, connect):
    rules = TOP / "rules/image-streaming-2011.jsonc"
    argv = [program, "run", "--listen", listen, "--connect", connect, "--client", "old", "--rules", rules]
    return start(argv, directory)


def play(path, record, columns):
    client = Client(path, record)
    for prose, step in SESSION:
        columns.prose(prose)
        try:
            step(client)
            client.settle()
        finally:
            for row in record.new_rows():
                columns.row(row)


def run(options, directory):
    record = Record()
    columns = Columns()
    children = [start_qemu(directory, f"{directory}/qemu")]
    try:
        Relay(f"{directory}/relay", f"{directory}/qemu", record)
        path = f"{directory}/relay"
        if not options.without_shim:
            path = f"{directory}/shim"
            children.append(start_shim(options.shim, directory, path, f"{directory}/relay"))
        columns.heading()
        play(path, record, columns)
    finally:
        for child in reversed(children):
            child.kill()
            child.wait()


def print_logs(directory):
    for log in sorted(Path(directory).glob("*.log")):
        for line in log.read_text(errors="replace").splitlines()[-20:]:
            print(f"{log.name}: {line}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="A client of 2011 streams a disk image through a QEMU of today.")
    parser.add_argument("--shim", default="./qmp-shim", help="the program (%(default)s)")
    parser.add_argument("--without-shim", action="store_true", help="show what happens when there is none")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="qmp-shim-demo-") as directory:
            try:
                run(options, directory)
            except Refused:
                print_logs(directory)
                raise
    except Refused as refused:
        print(f"\nNot as the client was promised: {refused}")
        return 1
    print("\n~ changed on the way   > seen by the server only   < by the client only")
    print("The client of 2011 heard all that it was promised.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
