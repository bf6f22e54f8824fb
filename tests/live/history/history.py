"""
The history of QMP, played: what a break broke, told as a table.

A row names a break by the catalog's id, says what a client of before (or of
after) sends and what it expects, and is played through the shim with all
shipped rules: an old client against each QEMU at hand, a new one against an
old QEMU or a record of one.  The same without the shim must fail wherever the
server has lost the form, or the row proves nothing.

The environment, beside qmplive's: QEMU_VERSIONS_DIR is a folder made by
tests/live/fetch-qemu, with other versions of QEMU.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from qmplive import Client, Deadline, Missing, Place, Replay, Tap, Timeout, shorten  # noqa: E402

RULES = os.path.join(HERE, "..", "..", "..", "rules")


# --- versions ------------------------------------------------------------------------------------

def number(version):
    return tuple(int(n) for n in version.split("."))


def programs():
    """{version: (qemu, qemu-img)}: the machine's own, and those fetched."""
    found = {"7.2": (os.environ.get("QEMU", "qemu-system-x86_64"), os.environ.get("QEMU_IMG", "qemu-img"))}
    folder = os.path.join(os.environ.get("QEMU_VERSIONS_DIR", ""), "bin")
    for version in ("5.2", "10.0", "11.1"):
        program = os.path.join(folder, "qemu-" + version)
        if os.path.exists(program):
            found[version] = (program, os.path.join(folder, "qemu-img-" + version))
    return dict(sorted(found.items(), key=lambda item: number(item[0])))


# --- what is expected ----------------------------------------------------------------------------

def fits(want, got):
    """
    Is it what was expected?  Of an object the members that are mentioned (... there, None absent
    is Absent), of a list every element, a type or a function is asked.
    """
    if want is ...:
        return True
    if isinstance(want, type):
        return isinstance(got, want) and not (want is int and isinstance(got, bool))
    if callable(want):
        return bool(want(got))
    if isinstance(want, re.Pattern):
        return isinstance(got, str) and bool(want.search(got))
    if isinstance(want, dict):
        return isinstance(got, dict) and all(
            k not in got if v is Absent else k in got and fits(v, got[k]) for k, v in want.items())
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(map(fits, want, got))
    return type(want) is type(got) and want == got


def Absent(_):
    """In what is expected of an object: no such member."""
    return False


def exactly(value):
    return lambda got: got == value and type(got) is type(value)


class Elements:
    """A list of which one element, or each, is as said."""

    def __init__(self, element, quantifier):
        self.element, self.quantifier = element, quantifier

    def __call__(self, got):
        return isinstance(got, list) and got != [] and self.quantifier(fits(self.element, g) for g in got)


def has(element):
    return Elements(element, any)


def each(element):
    return Elements(element, all)


class Step:
    """One thing that a client does or waits for."""

    def play(self, talk):
        raise NotImplementedError


class Send(Step):
    """A command, and the reply it must get."""

    def __init__(self, name, arguments, want):
        self.name, self.arguments, self.want = name, arguments, want

    def play(self, talk):
        message = {"execute": self.name}
        if self.arguments is not None:
            message["arguments"] = talk.fill(self.arguments)
        talk.send(message)
        reply = talk.next(lambda m: "event" not in m, "the reply to " + self.name)
        if not fits(talk.fill(self.want), reply):
            raise AssertionError("%s\n  got  %s\n  want %s" % (shorten(message), shorten(reply), shorten(self.want)))


class Event(Step):
    """An event that must come, or have come, since the last step of this kind."""

    def __init__(self, name, data=..., is_after_reply=False):
        self.name, self.data, self.is_after_reply = name, data, is_after_reply

    def play(self, talk):
        if self.is_after_reply and any(e["event"] == self.name for e in talk.events):
            raise AssertionError("%s came before the reply" % self.name)
        wanted = {"event": self.name}
        if self.data is not ...:
            wanted["data"] = talk.fill(self.data)
        while talk.events:
            if fits(wanted, talk.events.pop(0)):
                return
        talk.next(lambda m: fits(wanted, m), "the event %s" % wanted)


class Told(Step):
    """All the events of a name that have come by now, in their order."""

    def __init__(self, name, datas):
        self.name, self.datas = name, datas

    def play(self, talk):
        came = [e.get("data") for e in talk.seen if e["event"] == self.name]
        if not fits(talk.fill(self.datas), came):
            raise AssertionError("%s\n  got  %s\n  want %s" % (self.name, came, self.datas))


class Never(Step):
    """An event that must not have come, not even to a step before, by the time a round trip is done."""

    def __init__(self, name, data=...):
        self.name, self.data = name, data

    def play(self, talk):
        wanted = {"event": self.name} if self.data is ... else {"event": self.name, "data": self.data}
        talk.send({"execute": "query-name"})
        talk.next(lambda m: "event" not in m, "the reply to query-name")
        came = [e for e in talk.seen if fits(wanted, e)]
        if came:
            raise AssertionError("came, and must not: %s" % came)


class Until(Step):
    """A command again and again, until its reply is as said: for what takes its time."""

    def __init__(self, name, arguments, want):
        self.send = Send(name, arguments, want)

    def play(self, talk):
        deadline = Deadline()
        while True:
            try:
                return self.send.play(talk)
            except AssertionError as failure:
                deadline.left(str(failure))


class Greeted(Step):
    def __init__(self, want):
        self.want = want

    def play(self, talk):
        if not fits(self.want, talk.peer.greeting):
            raise AssertionError("the greeting is %s" % talk.peer.greeting)


def ok(name, arguments=None, result=exactly({})):
    return Send(name, arguments, {"return": result})


def fails(name, arguments, kind, desc=..., data=Absent):
    """The error that it must get; text is searched."""
    return Send(name, arguments, {"error": {"class": kind, "desc": re.compile(desc) if isinstance(desc, str) else desc, "data": data}})


class Talk:
    """One client's conversation; in its texts {name} is a path in the test's folder, <name> a name of its own."""

    n_talks = 0

    def __init__(self, peer, paths):
        Talk.n_talks += 1
        self.peer, self.paths, self.own = peer, paths, "%d" % Talk.n_talks
        self.events, self.seen = [], []  # those that no step has waited for yet, and all

    def fill(self, value):
        if isinstance(value, str):
            value = re.sub(r"\{(\w+)\}", lambda m: self.paths(m[1]), value)
            return re.sub(r"<(\w+)>", lambda m: m[1] + self.own, value)
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        if isinstance(value, Elements):
            return Elements(self.fill(value.element), value.quantifier)
        return [self.fill(v) for v in value] if isinstance(value, list) else value

    def send(self, message):
        self.peer.send(json.dumps(message) + "\r\n")

    def next(self, condition, what):
        deadline = Deadline()
        while True:
            message = self.peer.read_message(deadline.left(what))
            if "event" in message:
                self.seen.append(message)
            if condition(message):
                return message
            if "event" not in message:
                raise AssertionError("waited for %s, got %s" % (what, shorten(message)))
            self.events.append(message)

    def play(self, steps):
        for step in steps:
            step.play(self)


# --- servers --------------------------------------------------------------------------------------

SIZE = 16 << 20


class Machines:
    """A QEMU of each version that stays for all rows that do not need their own."""

    def __init__(self):
        self.place, self.running, self.images = Place(), {}, 0

    def image(self, program, place, name, *more):
        path = place.path(name)
        place.run([program, "create", "-q", *more, path, str(SIZE)], "img").wait()
        return path

    def options(self, place, image):
        """A disk over a backing file with data in it, an empty CD drive, a VNC display, room for more."""
        base, top = place.path("base.raw"), place.path("top.qcow2")
        with open(base, "wb") as file:
            file.write(b"\xa5" * SIZE)
        place.run([image, "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", top], "img").wait()
        return ["-m", "64,slots=2,maxmem=1G", "-smp", "1,maxcpus=2,sockets=1,cores=2,threads=1",
                "-drive", "if=none,id=drive0,file=%s,format=qcow2" % top,
                "-device", "virtio-blk-pci,id=vd0,drive=drive0,addr=0x1e",
                "-drive", "if=none,id=cd0,media=cdrom", "-device", "ide-cd,id=ide1,drive=cd0",
                "-vnc", "unix:%s,password=on" % place.path("vnc"),
                "-device", "virtio-balloon-pci,id=balloon0,addr=0x1d"]

    def start(self, place, version, more):
        qemu, image = programs()[version]
        kept = os.environ.get("QEMU")
        os.environ["QEMU"] = qemu
        try:
            return place.qemu(*self.options(place, image), *more)
        finally:
            if kept is None:
                del os.environ["QEMU"]
            else:
                os.environ["QEMU"] = kept

    def shared(self, version):
        if version not in self.running:
            self.running[version] = self.start(self.place, version, [])
        return self.running[version]

    def close(self):
        self.place.close(is_failing=False)
        self.place.__exit__(None, None, None)


def recorded(section):
    """One section of the records of old servers: [(command, [answers])]."""
    steps, is_in = [], False
    with open(os.path.join(HERE, "fixtures", "old-servers.txt"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("## "):
                is_in = line[3:].strip() == section
            elif is_in and line.startswith("-> "):
                steps.append((json.loads(line[3:]), []))
            elif is_in and line.startswith("<- "):
                if not steps:
                    steps.append((None, []))
                steps[-1][1].append(json.loads(line[3:]))
    if not steps:
        raise AssertionError("no record is called " + section)
    return steps


def first_words(version):
    """(greeting, query-commands) of an old server."""
    with open(os.path.join(HERE, "fixtures", "old-commands.json"), encoding="utf-8") as file:
        server = json.load(file)[version]
    return server["greeting"], [{"name": n} for n in server["commands"]]


# --- the table -------------------------------------------------------------------------------------

class Table:
    def __init__(self):
        self.tap, self.machines, self.counts = Tap(), Machines(), {}

    def old(self, break_id, client, steps, since="0.1", first="0.1", what="", own=None, rules=()):
        """
        An old client.  `since`: the first server that refuses what it sends; `own`: options of a
        QEMU of its own; `first`: the servers before it are not asked.
        """
        for version in programs():
            if number(version) >= number(max(first, client, key=number)):
                self.declare(break_id, "old client %s, QEMU %s" % (client, version), what,
                             lambda v=version: self.play_old(v, client, steps, number(v) >= number(since), own, rules))

    def play_old(self, version, client, steps, is_broken, own, rules):
        with Place() as place:
            start = lambda: self.machines.shared(version) if own is None else self.machines.start(place, version, own)
            shim = place.shim(start().path, "--client-version", client, "--log-level", "warning", *rule_options(rules))
            with Client(shim.path) as peer:
                Talk(peer.greet(), place_paths(place)).play(steps)
            if is_broken:
                self.must_fail(place, start().path, steps, place_paths(place))

    def forced(self, break_id, client, steps, rules, first="0.1", what="", own=()):
        """What is still there and will go: the rules are told to work."""
        for version in programs():
            if number(version) >= number(first):
                self.declare(break_id, "old client %s, QEMU %s" % (client, version), what,
                             lambda v=version: self.play_forced(v, steps, rules, own))

    def play_forced(self, version, steps, rules, own):
        with Place() as place:
            qemu = self.machines.start(place, version, own)
            shim = place.shim(qemu.path, "--client", "old", "--log-level", "warning", *rule_options(rules))
            with Client(shim.path) as peer:
                Talk(peer.greet(), place_paths(place)).play(steps)

    def must_fail(self, place, path, steps, paths):
        with Client(path) as peer:
            try:
                Talk(peer.greet(), paths).play(steps)
            except (AssertionError, Timeout):
                return
        raise AssertionError("the server gives all of it without the shim: nothing is proven")

    def new(self, break_id, client, server, steps, what="", own=None):
        """A new client before an old QEMU that is at hand, which refuses what it sends."""
        if server in programs():
            self.declare(break_id, "new client %s, QEMU %s" % (client, server), what,
                         lambda: self.play_old(server, client, steps, True, own, ()))

    def replay(self, break_id, client, server, sections, steps, what=""):
        """A new client before the record of an old server."""
        self.declare(break_id, "new client %s, record of %s" % (client, server), what,
                     lambda: self.play_record(client, server, sections, steps))

    def old_replay(self, break_id, client, server, sections, steps, what=""):
        """An old client before the record of a newer server."""
        self.declare(break_id, "old client %s, record of %s" % (client, server), what,
                     lambda: self.play_record(client, server, sections, steps))

    def play_record(self, client, version, sections, steps):
        greeting, commands = first_words(version)
        dialogue = [(None, [greeting]), ({"execute": "qmp_capabilities"}, [{"return": {}}])]
        for section in sections:  # none: the server is asked nothing
            dialogue += recorded("%s %s" % (version, section))
        with Place() as place:
            server = place.server()
            shim = place.shim(server.path, "--client-version", client, "--log-level", "warning", *rule_options(()))
            with Replay(server, dialogue, {"query-commands": {"return": commands}}):
                with Client(shim.path) as peer:
                    Talk(peer.greet(), place_paths(place)).play(steps)

    def declare(self, break_id, who, what, function):
        name = "%s: %s%s" % (break_id, who, ": " + what if what else "")
        self.tap.test(name)(function)

    def run(self):
        try:
            return self.tap.run()
        finally:
            self.machines.close()


def rule_options(rules):
    return [word for f in rules or history_files() for word in ("--rules", os.path.join(RULES, f))]


def history_files():
    """The shipped files that bridge versions; those that refuse commands are of another kind."""
    files = []
    for name in sorted(os.listdir(RULES)):
        if name.endswith(".jsonc"):
            with open(os.path.join(RULES, name), encoding="utf-8") as file:
                if '"default": "deny"' not in file.read():
                    files.append(name)
    return files


def place_paths(place):
    known = {}
    return lambda name: known.setdefault(name, place.path(name))
