#!/usr/bin/env python3
"""
Saving a guest to a file and restoring it from there, by a descriptor that the client hands over:
what was "fd:NAME" once is "file:/dev/fdset/N" today, and each client says what it knows.
"""

import contextlib
import os
import sys

from history import RULES, Table, history_files, programs
from qmplive import Client, Place, Timeout, check_equal, until

HEADER = b"a header of the client's own, which nobody may touch".ljust(4096, b".")

table = Table()


def is_at_least(version, least):
    return [int(n) for n in version.split(".")] >= [int(n) for n in least.split(".")]


# --- files and who has them open ---------------------------------------------------------------------

def a_file(place):
    """A file with a header, as a client makes it.  Return: its path."""
    path = place.path("saved")
    with open(path, "wb") as file:
        file.write(HEADER)
    return path


@contextlib.contextmanager
def opened(path, flags):
    """A descriptor that stands behind the header."""
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.lseek(fd, len(HEADER), os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def nobody_has_open(path, *processes):
    for process in processes:
        until(lambda p=process: path not in p.fds(), "%s to close the file" % process.name)


# --- dialogues ----------------------------------------------------------------------------------------

def finished(client, status="completed"):
    until(lambda: client.call("query-migrate").get("status") in ("completed", "failed"), "the end of the migration")
    check_equal(client.call("query-migrate")["status"], status, "the migration's end")


def save_by_name(client, fd):
    """As clients did it to QEMU 10."""
    client.call("getfd", [fd], fdname="mig")
    client.call("migrate", uri="fd:mig")
    finished(client)


def load_by_name(client, fd):
    client.call("getfd", [fd], fdname="mig")
    client.call("migrate-incoming", uri="fd:mig")
    finished(client)


def save_by_set(client, fd):
    """As clients do it since QEMU 8.2."""
    number = client.call("add-fd", [fd])["fdset-id"]
    client.call("migrate", uri="file:/dev/fdset/%d,offset=%#x" % (number, len(HEADER)))
    client.call("remove-fd", fdset_id=number)
    finished(client)


def load_by_set(client, fd):
    number = client.call("add-fd", [fd])["fdset-id"]
    client.call("migrate-incoming", uri="file:/dev/fdset/%d,offset=%#x" % (number, len(HEADER)))
    client.call("remove-fd", fdset_id=number)
    finished(client)


def rules(options):
    return [word for o in options for word in ("--rules", os.path.join(RULES, o))]


def save(version, options, dialogue, path, flags):
    """A guest is saved through the shim, behind the header, and nobody keeps the file open."""
    with Place() as place, opened(path, flags) as fd:
        qemu = table.machines.start(place, version, [])
        shim = place.shim(qemu.path, "--log-level", "warning", *options)
        with Client(shim.path) as client:
            dialogue(client.greet(), fd)
            nobody_has_open(path, shim)
            if is_at_least(version, "9.1"):  # before, QEMU empties a set only while the guest runs
                check_equal(client.call("query-fdsets"), [], "the sets of descriptors")
                nobody_has_open(path, qemu)
    with open(path, "rb") as file:
        check_equal(file.read(len(HEADER)), HEADER, "the header")
        if not file.read(4) == b"QEVM":
            raise AssertionError("the guest was not saved behind the header")


def load(version, options, dialogue, path):
    with Place() as place, opened(path, os.O_RDONLY) as fd:
        qemu = table.machines.start(place, version, ["-incoming", "defer"])
        shim = place.shim(qemu.path, "--log-level", "warning", *options)
        with Client(shim.path) as client:
            dialogue(client.greet(), fd)
            nobody_has_open(path, shim)
            check_equal(client.call("query-status")["running"], False, "the guest runs")
            client.call("cont")


def must_fail(version, dialogue):
    with Place() as place, opened(a_file(place), os.O_WRONLY) as fd:
        qemu = table.machines.start(place, version, [])
        with Client(qemu.path) as client:
            try:
                dialogue(client.greet(), fd)
            except (AssertionError, Timeout):
                return
        raise AssertionError("the server does it without the shim: nothing is proven")


def save_and_load(version, options, dialogues, flags, is_broken):
    with Place() as place:
        path = a_file(place)
        save(version, options, dialogues[0], path, flags)
        load(version, options, dialogues[1], path)
    if is_broken:
        must_fail(version, dialogues[0])


def pipe(version, options):
    """What is no file goes as it always did."""
    with Place() as place:
        qemu = table.machines.start(place, version, [])
        shim = place.shim(qemu.path, "--log-level", "warning", *options)
        out, into = os.pipe()
        with Client(shim.path) as client, open(out, "rb") as stream:
            client.greet().call("getfd", [into], fdname="mig")
            os.close(into)
            client.call("migrate", uri="fd:mig")
            check_equal(stream.read(4), b"QEVM", "what comes out of the pipe")
            stream.read()
            finished(client)


def kept_until_the_end(version, options):
    """A file that is never migrated to is closed by closefd, by another of its name, and at the end."""
    with Place() as place:
        qemu = table.machines.start(place, version, [])
        shim = place.shim(qemu.path, "--log-level", "warning", *options)
        path = a_file(place)
        with opened(path, os.O_WRONLY) as fd, open(os.devnull, "rb") as null:
            with Client(shim.path) as client:
                client.greet().call("getfd", [fd], fdname="a")
                check_equal(path in shim.fds(), True, "the shim keeps it")
                client.call("closefd", fdname="a")
                nobody_has_open(path, shim)
                client.call("getfd", [fd], fdname="a")
                client.call("getfd", [null.fileno()], fdname="a")
                nobody_has_open(path, shim)
                client.call("getfd", [fd], fdname="a")
            nobody_has_open(path, shim)


FORCED = ["--client", "old", *rules(["qemu-11.0-fd.jsonc"])]
ALL = rules(history_files())
BY_NAME, BY_SET = (save_by_name, load_by_name), (save_by_set, load_by_set)

for v in programs():
    named = "migrate-fd-file: old client 10.2, QEMU " + v
    if is_at_least(v, "8.2"):
        is_lost = is_at_least(v, "11.0")
        how = ["--client-version", "10.2", *ALL] if is_lost else FORCED
        table.tap.test(named + ": saved and restored")(
            lambda v=v, how=how, lost=is_lost: save_and_load(v, how, BY_NAME, os.O_WRONLY, lost))
        table.tap.test(named + ": from a descriptor for reading and writing")(
            lambda v=v, how=how: save_and_load(v, how, BY_NAME, os.O_RDWR, False))
        table.tap.test(named + ": a pipe")(lambda v=v, how=how: pipe(v, how))
        table.tap.test(named + ": nothing stays open")(lambda v=v, how=how: kept_until_the_end(v, how))
    else:
        how = ["--client-version", "7.2", *ALL]
        table.tap.test("migrate-fd-file: old client 7.2, QEMU %s: saved and restored as ever" % v)(
            lambda v=v, how=how: save_and_load(v, how, BY_NAME, os.O_WRONLY, False))
        how = ["--client-version", "11.1", *ALL]
        table.tap.test("migrate-fd-file: new client 11.1, QEMU %s: saved and restored" % v)(
            lambda v=v, how=how: save_and_load(v, how, BY_SET, os.O_WRONLY, True))

sys.exit(table.run())
