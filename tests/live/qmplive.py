"""
What every live test needs: a real QEMU, the shim, scripted peers, TAP.

It knows sockets, processes and bytes.  What a test proves is the test's own
business.  Nothing here sleeps: each wait is for a condition and has a
deadline, and a wait that is missed is a failure that says what it waited for.

The environment: QMP_SHIM is the program under test (./qmp-shim), QEMU and
QEMU_IMG the server (qemu-system-x86_64, qemu-img), QMP_SHIM_RULES_PATH the
folder of the shipped rule files.  Without QEMU a test is skipped, loudly; with
CI=true it fails instead.
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))

# a shell's background jobs ignore it, and so would all that is started here
signal.signal(signal.SIGINT, signal.default_int_handler)
# how many times longer everything takes here than on a machine of one's own
STRETCH = max(1.0, os.getloadavg()[0] / os.cpu_count())
# for one wait; only a broken program ever takes that long
DEADLINE_S = float(os.environ.get("QMPLIVE_DEADLINE_S", "20")) * STRETCH
MAX_FDS = 253      # SCM_MAX_FD of the kernel
ME = os.getpid()

SIOCOUTQ = 0x5411
SYS_KCMP, KCMP_FILE = 312, 0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def spread(records):
    """what came and went on as it is, as the two records that it stands for"""
    for record in records:
        if record["what"] == "passed":
            yield {**record, "what": "came"}
            yield {**record, "what": "sent", "side": "server" if record["side"] == "client" else "client"}
        else:
            yield record


class Missing(Exception):
    """Something that the test needs is not on this machine."""


class Timeout(Exception):
    """A condition did not come true in time."""


class Closed(Exception):
    """The peer closed while more was expected."""


def is_ci():
    return os.environ.get("CI") == "true"


# --- TAP ---------------------------------------------------------------------------------------

class Tap:
    """
    Tests in the order in which they were declared; one line each.

        tap = Tap()

        @tap.test("what must be so")
        def _():
            ...

        sys.exit(tap.run())

    An exception fails a test, Missing skips it (or fails it in CI).
    """

    def __init__(self):
        self.tests = []

    def in_place(self, name):
        """As test(), of a function that gets a Place of its own."""
        def declare(function):
            def run():
                with Place() as place:
                    function(place)
            return self.test(name)(run)
        return declare

    def test(self, name):
        def declare(function):
            self.tests.append((name, function))
            return function
        return declare

    def run(self):
        wanted = sys.argv[1:]
        tests = [t for t in self.tests if not wanted or any(w in t[0] for w in wanted)]
        n_failed = 0
        print("1..%d" % len(tests), flush=True)
        for i, (name, function) in enumerate(tests, 1):
            try:
                function()
            except Missing as missing:
                if is_ci():
                    n_failed += 1
                    print("not ok %d - %s\n# missing: %s" % (i, name, missing), flush=True)
                else:
                    print("ok %d - %s # SKIP %s" % (i, name, missing), flush=True)
            except Exception as failure:
                n_failed += 1
                print("not ok %d - %s" % (i, name))
                print("# " + "\n# ".join(describe(failure).splitlines()), flush=True)
            else:
                print("ok %d - %s" % (i, name), flush=True)
        return 1 if n_failed else 0


def describe(failure):
    if isinstance(failure, AssertionError) and str(failure):
        where = traceback.extract_tb(failure.__traceback__)
        own = [f for f in where if not f.filename.endswith("qmplive.py")] or where
        return "%s:%d: %s" % (os.path.basename(own[-1].filename), own[-1].lineno, failure)
    return "".join(traceback.format_exception(failure)).rstrip()


def check_equal(got, want, what=""):
    if got != want:
        raise AssertionError("%s\n  got  %s\n  want %s" % (what or "not equal", shorten(got), shorten(want)))


def shorten(value, n=1500):
    text = repr(value)
    return text if len(text) <= n else "%s ... %s (%d characters)" % (text[:n // 2], text[-n // 2:], len(text))


# --- waiting -----------------------------------------------------------------------------------

class Deadline:
    """In so many seconds of a machine of one's own; those that a test names are stretched here."""

    def __init__(self, seconds=DEADLINE_S):
        self.end = time.monotonic() + (seconds if seconds == DEADLINE_S else seconds * STRETCH)

    def left(self, what):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Timeout("waited in vain for " + what)
        return left


def until(condition, what, seconds=DEADLINE_S):
    """Ask for what no fd announces, more and more rarely, until it holds or the deadline passes."""
    deadline, pause = Deadline(seconds), 0.0002
    while True:
        value = condition()
        if value:
            return value
        select.select([], [], [], min(pause, deadline.left(what)))
        pause = min(pause * 1.5, 0.02)


def is_listening(path):
    """Is a socket of this name listened on?  Asked of the kernel: connecting makes a client too many."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        for line in table:
            field = line.split(maxsplit=7)
            if len(field) == 8 and field[7].rstrip("\n") == path and int(field[3], 16) & 0x10000:
                return True
    return False


def die_with_parent():
    """In a child: a test that is killed leaves nobody behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# --- processes ---------------------------------------------------------------------------------

class Process:
    """A child whose end is always seen, and whose stderr is kept for a failing test."""

    def __init__(self, argv, directory, name, **more):
        self.name = name
        self.log = os.path.join(directory, "%s.%d.log" % (name, len(os.listdir(directory))))
        with open(self.log, "wb") as log:
            try:
                self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              preexec_fn=die_with_parent, **more)
            except FileNotFoundError as error:
                raise Missing("%s is not here" % argv[0]) from error
        self.pid = self.child.pid

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_running(self):
        return self.child.poll() is None

    def wait(self, seconds=DEADLINE_S):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout("waited in vain for the end of %s\n%s" % (self.name, self.said())) from None

    def wait_listening(self, path):
        def ready():
            if not self.is_running():
                raise AssertionError("%s ended with %d\n%s" % (self.name, self.child.returncode, self.said()))
            return is_listening(path)
        until(ready, "%s to listen on %s" % (self.name, path))

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        if self.is_running():
            self.child.kill()
            self.child.wait()

    def status_kb(self, field):
        """A field of /proc/PID/status in kB, such as VmRSS, or VmHWM (the highest VmRSS so far)."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise AssertionError("no %s in /proc/%d/status" % (field, self.pid))

    def is_asleep(self):
        """Does it wait for something?  One that works is runnable, on however slow a machine."""
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def fds(self):
        """What its fds are, sorted: what /proc/PID/fd shows of each."""
        kinds = []
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            try:
                kinds.append(os.readlink("/proc/%d/fd/%s" % (self.pid, fd)))
            except FileNotFoundError:
                pass
        return sorted(kinds)


class Place:
    """A folder, and every socket and process that a test opens; all of it goes at the end."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="qmplive-")
        self.processes = []
        self.sockets = []
        self.n_paths = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.close(is_failing=kind is not None)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def close(self, is_failing):
        for peer in self.sockets:
            peer.close()
        try:
            ended = [p.stop() for p in self.processes if isinstance(p, Shim)]
        finally:
            for process in self.processes:
                process.kill()
        said = "".join("# %s: %s\n" % (p.name, line)
                       for p in self.processes for line in p.said().splitlines()[-20:])
        if is_failing and said:
            print(said, end="", flush=True)
        if not is_failing and any(ended):
            raise AssertionError("the shim ended with %s\n%s" % (ended, said))

    def path(self, name):
        self.n_paths += 1
        return os.path.join(self.directory, "%s.%d" % (name, self.n_paths))

    def run(self, argv, name, **more):
        process = Process(argv, self.directory, name, **more)
        self.processes.append(process)
        return process

    def keep(self, peer):
        self.sockets.append(peer)
        return peer

    # what tests ask for

    def qemu(self, *more, monitors=1, options=""):
        return Qemu(self, more, monitors, options)

    def shim(self, connect, *more, listen=None):
        shim = Shim(self, connect, more, listen)
        shim.wait_listening(shim.path)
        until(shim.is_asleep, "the shim to finish its start")  # what it has open now, it keeps
        return shim

    def client(self, path):
        return self.keep(Client(path))

    def server(self):
        return self.keep(Server(self.path("server")))


class Qemu(Process):
    """A real QEMU that runs nothing; each of its monitors is a path in .paths."""

    def __init__(self, place, more, monitors, options):
        program = os.environ.get("QEMU", "qemu-system-x86_64")
        if not shutil.which(program):
            raise Missing("%s is not installed" % program)
        self.paths = [place.path("qemu") for _ in range(monitors)]
        argv = [program, "-M", "pc", "-nodefaults", "-display", "none", "-S", "-m", "64", "-accel", "tcg"]
        for i, path in enumerate(self.paths):
            argv += ["-chardev", "socket,id=m%d,path=%s,server=on,wait=off" % (i, path)]
            argv += ["-mon", "chardev=m%d,mode=control%s" % (i, options)]
        super().__init__(argv + list(more), place.directory, "qemu")
        place.processes.append(self)
        for path in self.paths:
            self.wait_listening(path)

    @property
    def path(self):
        return self.paths[0]


class Shim(Process):
    """The program under test; .path is where clients connect."""

    def __init__(self, place, connect, more, listen=None):
        program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
        if not os.path.exists(program):
            raise AssertionError("no program under test at %s (environment QMP_SHIM)" % program)
        self.path = listen or place.path("shim")
        argv = [program, "run", "--listen", self.path, "--connect", connect]
        super().__init__(argv + (list(more) or ["--no-rules"]), place.directory, "shim")
        place.processes.append(self)

    def stop(self):
        """End it as an operator would.  Return: how it ended, 0 if well."""
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait()

    def wait_idle(self, n_fds):
        """Until it holds this many fds: a session's end is not announced to anyone else."""
        until(lambda: len(self.fds()) == n_fds, "the shim to close what its sessions had")

    def is_sanitized(self):
        """Was it built with a sanitizer, which costs memory and time?"""
        with open("/proc/%d/maps" % self.pid, encoding="ascii", errors="replace") as maps:
            text = maps.read()
        return "libasan" in text or "libubsan" in text


def rule_file(name):
    """The shipped rule file of this name."""
    folder = os.environ.get("QMP_SHIM_RULES_PATH", os.path.join(HERE, "..", "..", "rules"))
    path = os.path.abspath(os.path.join(folder, name + ".jsonc"))
    if not os.path.exists(path):
        raise Missing("there is no rule file " + path)
    return path


# --- sockets -----------------------------------------------------------------------------------

class Peer:
    """One end of a connection: exact bytes out, exact bytes and fds in."""

    def __init__(self, connection):
        self.socket = connection
        self.input = b""
        self.fds = []        # (position in the stream of the first byte of the recvmsg that brought them, [fds])
        self.n_received = 0
        self.is_truncated = False

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        self.socket.close()
        for _, fds in self.fds:
            for fd in fds:
                os.close(fd)
        self.fds = []

    def send(self, data, fds=()):
        """All of it in one sendmsg, but for what a full socket makes wait."""
        if isinstance(data, str):
            data = data.encode()
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.settimeout(DEADLINE_S)
        n = self.socket.sendmsg([data], control)
        if n < len(data):  # else the peer may have answered and gone already
            self.socket.sendall(data[n:])

    def n_unread(self):
        """Bytes (as the kernel accounts them) that were sent and not yet read by the other side."""
        return struct.unpack("i", fcntl.ioctl(self.socket, SIOCOUTQ, b"\0" * 4))[0]

    def wait_read(self):
        """Until the other side has read all that was sent."""
        for _ in range(200):
            if not self.n_unread():
                return
        until(lambda: not self.n_unread(), "the peer to read what was sent")

    def receive(self, n=1 << 16, seconds=DEADLINE_S):
        """One recvmsg into .input.  Return: what it brought; b"" at the end of the stream."""
        self.socket.settimeout(seconds)
        try:
            data, control, flags, _ = self.socket.recvmsg(n, socket.CMSG_SPACE(MAX_FDS * 4))
        except (TimeoutError, BlockingIOError):
            raise Timeout("nothing came within %g s; so far %s" % (seconds, shorten(self.input))) from None
        fds = []
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += array.array("i", content[:len(content) // 4 * 4])
        if fds:
            self.fds.append((self.n_received, fds))
        self.is_truncated |= bool(flags & socket.MSG_CTRUNC)
        self.n_received += len(data)
        self.input += data
        return data

    def read_until(self, condition, what="the expected bytes", seconds=DEADLINE_S):
        """Receive until condition(.input) gives something.  Return: that."""
        deadline = Deadline(seconds)
        while True:
            value = condition(self.input)
            if value:
                return value
            if not self.receive(seconds=deadline.left("%s; so far %s" % (what, shorten(self.input)))):
                raise Closed("the stream ended before %s; so far %s" % (what, shorten(self.input)))

    def read(self, n, seconds=DEADLINE_S):
        """Exactly n bytes."""
        self.read_until(lambda text: len(text) >= n, "%d bytes" % n, seconds)
        data, self.input = self.input[:n], self.input[n:]
        return data

    def read_line(self, seconds=DEADLINE_S):
        """One line, with its end."""
        n = self.read_until(lambda text: text.find(b"\n") + 1, "a line", seconds)
        line, self.input = self.input[:n], self.input[n:]
        return line

    def read_to_end(self, seconds=DEADLINE_S):
        """Everything until the other side closes."""
        deadline = Deadline(seconds)
        while True:
            try:
                if not self.receive(1 << 20, seconds=deadline.left("the end of the stream")):
                    break
            except ConnectionResetError:
                break
        data, self.input = self.input, b""
        return data

    def is_readable(self):
        """Has something come that was not received yet, or the end?  Ask after a round trip if nothing must."""
        return bool(select.select([self.socket], [], [], 0)[0])


class Client(Peer):
    """A scripted QMP client."""

    def __init__(self, path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE_S)
        connection.connect(path)
        super().__init__(connection)
        self.events = []
        self.greeting = None

    def greet(self, *capabilities):
        """Read the greeting and negotiate."""
        self.greeting = json.loads(self.read_line())
        arguments = {"arguments": {"enable": list(capabilities)}} if capabilities else {}
        check_equal(self.command("qmp_capabilities", **arguments), {"return": {}}, "qmp_capabilities")
        return self

    def read_message(self, seconds=DEADLINE_S):
        return json.loads(self.read_line(seconds))

    def read_reply(self, seconds=DEADLINE_S):
        """The next message that is no event; events are kept."""
        while True:
            message = self.read_message(seconds)
            if "event" not in message:
                return message
            self.events.append(message)

    def command(self, name, fds=(), end="\r\n", seconds=DEADLINE_S, **members):
        """A command and its whole reply."""
        self.send(json.dumps({"execute": name, **members}) + end, fds)
        return self.read_reply(seconds)

    def call(self, name, fds=(), **arguments):
        """A command that must succeed; x_y=… is its argument x-y.  Return: what it returns."""
        members = {"arguments": {k.replace("_", "-"): v for k, v in arguments.items()}} if arguments else {}
        reply = self.command(name, fds, **members)
        if "return" not in reply:
            raise AssertionError("%s gave %s" % (name, reply))
        return reply["return"]

    def wait_event(self, *names, seconds=DEADLINE_S):
        """The next event of one of these names, kept or to come.  Others before it are dropped."""
        deadline = Deadline(seconds)
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] in names:
                    return event
            message = self.read_message(deadline.left("the event " + " or ".join(names)))
            if "event" not in message:
                raise AssertionError("a reply where an event should come: %s" % message)
            self.events.append(message)


class Server:
    """A scripted server: it listens, and each accepted connection is a Peer to be driven by the test."""

    GREETING = (b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, '
                b'"capabilities": ["oob"]}}\r\n')

    def __init__(self, path):
        self.path = path
        self.peers = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(1)

    def accept(self, seconds=DEADLINE_S):
        self.socket.settimeout(seconds)
        try:
            peer = Peer(self.socket.accept()[0])
        except TimeoutError:
            raise Timeout("nobody connected to the scripted server") from None
        self.peers.append(peer)
        return peer

    def close(self):
        self.socket.close()
        for peer in self.peers:
            peer.close()


def read_dialogue(path):
    """A recorded dialogue: [(client's line or None for what comes unasked, [server's lines])]."""
    steps = [(None, [])]
    with open(path, encoding="utf-8") as recorded:
        for line in recorded:
            if line.startswith("-> "):
                steps.append((json.loads(line[3:]), []))
            elif line.startswith("<- "):
                steps[-1][1].append(json.loads(line[3:]))
    return steps


class Replay(threading.Thread):
    """
    A server of the past, from a record: it waits for each recorded command in its turn and gives
    what was given then.  The id is the asker's own; commands in `asides` may come at any time and
    are answered from there.  It is a context: at its end the record must have come to its own, and
    what differed from it is raised.
    """

    def __init__(self, server, steps, asides=None):
        super().__init__(daemon=True)
        self.server, self.steps, self.asides = server, steps, asides or {}
        self.failure = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.failure:
            raise self.failure  # the test's own failure comes of it
        if kind is None:
            self.join(DEADLINE_S)
            if self.failure or self.is_alive():
                raise self.failure or Timeout("the replay has not come to its end")

    def run(self):
        try:
            with self.server.accept() as peer:
                for command, answers in self.steps:
                    self.step(peer, command, answers)
        except Exception as failure:
            self.failure = failure

    def step(self, peer, command, answers):
        asked = None
        while command is not None:
            asked = self.next_command(peer)
            if asked.get("execute") in self.asides:
                self.answer(peer, asked, self.asides[asked["execute"]])
                continue
            check_equal(without_id(asked), without_id(command), "the shim asked otherwise than the record")
            break
        for message in answers:
            if "event" in message or "QMP" in message:
                peer.send(json.dumps(message) + "\r\n")
            else:
                self.answer(peer, asked, message)

    @staticmethod
    def answer(peer, asked, message):
        message = without_id(message)
        if "id" in asked:
            message["id"] = asked["id"]
        peer.send(json.dumps(message) + "\r\n")

    @staticmethod
    def next_command(peer):
        decoder = json.JSONDecoder()

        def parse(data):
            try:
                return decoder.raw_decode(data.decode().lstrip())
            except ValueError:
                return None

        value, _ = peer.read_until(parse, "a command")
        text = peer.input.decode().lstrip()
        peer.input = text[decoder.raw_decode(text)[1]:].encode()
        return value


def without_id(message):
    return {k: v for k, v in message.items() if k != "id"}


# --- fds ---------------------------------------------------------------------------------------


def is_same_file(pid, fd, other_pid, other_fd):
    """Do two fds, of any two processes, stand for the same open file?"""
    r = LIBC.syscall(SYS_KCMP, pid, other_pid, KCMP_FILE, ctypes.c_ulong(fd), ctypes.c_ulong(other_fd))
    if r >= 0:
        return r == 0
    if ctypes.get_errno() == errno.EBADF:
        return False  # it was closed just now
    # no kcmp() here: the same name and inode must do, though all of a kind of anonymous inodes share one
    try:
        seen = [(os.readlink(path), os.stat(path).st_ino)
                for path in ("/proc/%d/fd/%d" % pair for pair in ((pid, fd), (other_pid, other_fd)))]
    except FileNotFoundError:
        return False
    return seen[0] == seen[1]


def mask_time(data):
    return re.sub(rb'"(seconds|microseconds)": \d+', rb'"\1": 0', data)
