#!/usr/bin/env python3
"""
The shipped units under a real systemd: activation, instances, reload, watchdog, crash, restart.

systemd is booted in a container (systemd-nspawn) over a throw-away overlay of this machine's
own root: what it writes goes to a tmpfs, and nothing of the machine is changed.  It is never
booted on the machine itself.  Inside, this same file runs as a unit, with the argument "inside",
and its lines are the results.  Needs root, cgroups that can be made, and the Debian packages
systemd, systemd-container and dbus.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from qmplive import HERE, Client, Missing, Server, Tap, check_equal, is_ci, is_listening, until

BOOT_S = 180  # with all tests
IN_OUT, IN_TESTS, IN_BUILD, IN_UNITS = "/qs/out", "/qs/tests", "/qs/build", "/usr/local/lib/systemd/system"
CGROUPS = "/sys/fs/cgroup"

tap = Tap()


# --- inside ----------------------------------------------------------------------------------------

def systemctl(*arguments, may_fail=False):
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and not may_fail:
        raise AssertionError("systemctl %s: %s%s\n%s" % (" ".join(arguments), done.stdout, done.stderr, journal()))
    return done.stdout


def journal():
    done = subprocess.run(["journalctl", "--no-pager", "-n", "60", "-o", "cat"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def show(unit, name):
    return systemctl("show", "--value", "-p", name, unit).strip()


class Instance:
    """One of the template's, with a scripted server behind it."""

    def __init__(self, place, name, rules=None):
        self.name = name
        self.service, self.front = "qmp-shim@%s.service" % name, "/run/qmp-shim/%s.sock" % name
        self.config = "/etc/qmp-shim/%s.conf" % name
        if rules is not None:
            self.configure(rules)
        systemctl("start", "qmp-shim@%s.socket" % name)
        self.server = place.keep(Server("/run/qmp-shim/%s.qemu" % name))
        os.chmod(self.server.path, 0o666)  # the service is another user
        place.keep(self)

    def configure(self, text):
        os.makedirs("/etc/qmp-shim", exist_ok=True)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def close(self):
        systemctl("stop", "qmp-shim@%s.socket" % self.name, self.service, may_fail=True)
        systemctl("reset-failed", self.service, may_fail=True)
        for path in (self.server.path, self.config):
            if os.path.exists(path):
                os.unlink(path)

    def session(self, place):
        client = place.keep(Client(self.front))
        peer = self.server.accept()
        peer.send(Server.GREETING)
        check_equal(client.read_line(), Server.GREETING)
        return client, peer

    def pid(self):
        return int(show(self.service, "MainPID"))

    def status(self):
        done = subprocess.run([os.environ["QMP_SHIM"], "status", "--json", self.name], capture_output=True, text=True,
                              timeout=20, check=False)
        check_equal(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class Guest:
    """A real QEMU behind an instance."""

    def __init__(self, place):
        program = shutil.which("qemu-system-x86_64")
        if not program:
            raise Missing("qemu-system-x86_64")
        self.service, self.front, back = "qmp-shim@guest.service", "/run/qmp-shim/guest.sock", "/run/qmp-shim/guest.qemu"
        self.n_kills = 0
        systemctl("start", "qmp-shim@guest.socket")
        place.run([program, "-M", "pc", "-nodefaults", "-display", "none", "-S", "-m", "64", "-accel", "tcg",
                   "-qmp", "unix:%s,server=on,wait=off" % back], "qemu")
        until(lambda: os.path.exists(back), "QEMU's socket", 60)
        os.chmod(back, 0o666)
        place.keep(self)

    def close(self):
        systemctl("stop", "qmp-shim@guest.socket", self.service, may_fail=True)

    def kill_often(self, n):
        pid, due = 0, time.monotonic()
        for _ in range(n):
            due += 0.25
            until(lambda due=due: time.monotonic() >= due, "the next quarter of a second")
            until(lambda pid=pid: int(show(self.service, "MainPID")) not in (0, pid), "the restart", 60)
            pid = int(show(self.service, "MainPID"))
            os.kill(pid, signal.SIGKILL)
            self.n_kills += 1


inside = tap.in_place


def declare_inside():  # pylint: disable=too-many-statements
    @inside("the first client starts the service; without a configuration everything passes")
    def _(place):
        one = Instance(place, "one")
        check_equal(show(one.service, "ActiveState"), "inactive")
        one.session(place)
        check_equal(show(one.service, "ActiveState"), "active")
        until(lambda: show(one.service, "StatusText").startswith("1 session, "), "the status")
        check_equal(len(one.status()["sessions"]), 1)

    @inside("it runs without root, without capabilities, under a filter; its control socket is root's to ask")
    def _(place):
        one = Instance(place, "one")
        one.session(place)
        with open("/proc/%d/status" % one.pid(), encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert status["Uid"].split()[0] != "0", status["Uid"]
        check_equal((status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]),
                    ("0" * 16, "0" * 16, "1", "2"))
        check_equal(oct(os.stat("/run/qmp-shim/one").st_mode & 0o777), "0o700")
        check_equal(oct(os.stat(one.front).st_mode & 0o777), "0o600")

    @inside("two instances are two processes; the end of one is none of the other's business")
    def _(place):
        one, two = Instance(place, "one"), Instance(place, "two")
        sessions = one.session(place), two.session(place)
        assert one.pid() != two.pid()
        systemctl("stop", "qmp-shim@one.socket", one.service)
        check_equal(sessions[0][0].read_to_end(), b"")
        assert not os.path.exists(one.front), "the socket of the one that was stopped is still there"
        sessions[1][0].send(b'{"execute": "still-here"}\r\n')
        check_equal(sessions[1][1].read_line(), b'{"execute": "still-here"}\r\n')
        two.status()

    @inside("reload: good ones are taken over; a bad one is shown in the status and changes nothing")
    def _(place):
        text = '{"qmp-shim-config": 1, "client": "old", "rules": [%s]}'
        one = Instance(place, "one", text % "")
        client, peer = one.session(place)
        check_equal(one.status()["rules"]["rules"], 0)
        rules = "/etc/qmp-shim/mine.jsonc"
        with open(rules, "w", encoding="utf-8") as file:
            file.write('{"qmp-shim-rules": 1, "name": "mine", "rules": '
                       '[{"name": "a", "old": {"execute": "a"}, "new": {"execute": "b"}}]}')
        pid = one.pid()
        one.configure(text % '"%s"' % rules)
        systemctl("reload", one.service)
        until(lambda: one.status()["rules"]["rules"] == 1, "the new rules")
        one.configure(text % '"no-rules-of-that-name"')
        systemctl("reload", one.service)
        until(lambda: "reload failed" in show(one.service, "StatusText"), "the status")
        check_equal((one.status()["rules"]["rules"], one.pid()), (1, pid))
        client.send(b'{"execute": "x"}\r\n')
        check_equal(peer.read_line(), b'{"execute": "x"}\r\n')

    @inside("a service that gives no sign of life is ended by the watchdog, and the next client served")
    def _(place):
        os.makedirs("/run/systemd/system/qmp-shim@dog.service.d")
        with open("/run/systemd/system/qmp-shim@dog.service.d/watchdog.conf", "w", encoding="ascii") as file:
            file.write("[Service]\nWatchdogSec=1s\n")
        systemctl("daemon-reload")
        dog = Instance(place, "dog")
        dog.session(place)
        pid = dog.pid()
        os.kill(pid, signal.SIGSTOP)
        until(lambda: show(dog.service, "NRestarts") == "1" and dog.pid() not in (0, pid), "the restart", 60)
        dog.session(place)
        assert "Watchdog timeout" in journal() or "watchdog" in journal(), journal()

    @inside("a crash: the service is started again, as often as it takes, and the next client served")
    def _(place):
        one = Instance(place, "one")
        for n in range(1, 8):
            one.session(place)
            pid = one.pid()
            os.kill(pid, signal.SIGSEGV)
            until(lambda n=n: show(one.service, "NRestarts") == str(n), "restart %d" % n)
            until(lambda pid=pid: one.pid() not in (0, pid) and show(one.service, "ActiveState") == "active", "the start")

    @inside("systemctl restart: who connects while it is away waits, and is served")
    def _(place):
        one = Instance(place, "one")
        one.session(place)
        systemctl("stop", one.service)
        assert is_listening(one.front), "systemd does not listen"
        one.session(place)
        systemctl("restart", one.service)
        one.session(place)

    @inside("systemctl restart, kill -9, an abort by the watchdog: the session goes on in mid-command, once and in order")
    def _(place):
        os.makedirs("/run/systemd/system/qmp-shim@long.service.d")
        with open("/run/systemd/system/qmp-shim@long.service.d/watchdog.conf", "w", encoding="ascii") as file:
            file.write("[Service]\nWatchdogSec=1s\n")
        systemctl("daemon-reload")
        long = Instance(place, "long", '{"qmp-shim-config": 1, "client": "old", "rules": []}')
        client, peer = long.session(place)
        check_equal(show(long.service, "NFileDescriptorStore"), "3")
        ends = {"restart": lambda pid: systemctl("restart", long.service),
                "kill": lambda pid: os.kill(pid, signal.SIGKILL),
                "crash": lambda pid: os.kill(pid, signal.SIGSEGV),
                "watchdog": lambda pid: os.kill(pid, signal.SIGSTOP),
                "end": lambda pid: os.kill(pid, signal.SIGTERM)}
        for n, name in enumerate(ends):
            client.send(b'{"execute": "a", "id": %d}\r\n{"execute": "b"' % n)
            check_equal(peer.read_line(), b'{"execute": "a", "id": %d}\r\n' % n)
            client.wait_read()
            pid = long.pid()
            ends[name](pid)
            peer.send(b'{"event": "E"}\r\n{"return": {}, "id": %d}\r\n{"retu' % n)
            client.send(b', "id": "x"}\r\n')
            check_equal(client.read_line(seconds=60), b'{"event": "E"}\r\n', name)
            check_equal(client.read_line(), b'{"return": {}, "id": %d}\r\n' % n)
            check_equal(peer.read_line(), b'{"execute": "b", "id": "x"}\r\n')
            peer.send(b'rn": {}, "id": "x"}\r\n')
            check_equal(client.read_line(), b'{"return": {}, "id": "x"}\r\n')
            assert long.pid() not in (0, pid), name
        check_equal(len(long.status()["sessions"]), 1)
        client.close()
        check_equal(peer.read_to_end(), b"")
        peer.close()
        until(lambda: show(long.service, "NFileDescriptorStore") == "0", "an empty store")

    @inside("systemctl stop ends the sessions: the store is for restarts only")
    def _(place):
        one = Instance(place, "one")
        client, peer = one.session(place)
        systemctl("stop", one.service)
        check_equal((client.read_to_end(), peer.read_to_end()), (b"", b""))

    @inside("30 kills a quarter of a second apart under 400 commands to a real QEMU: each is answered once, all events come")
    def _(place):
        guest = Guest(place)
        client = place.keep(Client(guest.front))
        client.greet()
        client.call("cont")
        client.wait_event("RESUME")
        killer = threading.Thread(target=guest.kill_often, args=(30,), daemon=True)
        killer.start()
        names, n = ["query-status", "stop", "query-version", "cont"], 0
        while n < 400 or killer.is_alive() or n % 4:
            reply = client.command(names[n % 4], id=n, seconds=60)
            assert "return" in reply and reply["id"] == n, "%s instead of the reply to %d" % (reply, n)
            n += 1
        check_equal(guest.n_kills, 30)
        check_equal(client.command("query-status", id="last")["id"], "last")
        check_equal([e["event"] for e in client.events], ["STOP", "RESUME"] * (n // 4))
        assert not client.is_readable()
        print("# %d commands" % n)

    @inside("the manual's service for all guests: they come and go, and a kill ends no session of theirs")
    def _(place):
        systemctl("start", "qmp-shim-host.service")
        servers = {name: place.keep(Server("/run/qmp-back/" + name)) for name in ("web", "db")}
        sessions = {}
        for name, server in servers.items():
            until(lambda name=name: is_listening("/run/qmp-front/" + name), "a socket for " + name)
            client = place.keep(Client("/run/qmp-front/" + name))
            sessions[name] = client, server.accept()
        for number in (signal.SIGKILL, signal.SIGTERM):
            pid = int(show("qmp-shim-host.service", "MainPID"))
            os.kill(pid, number)
            for name, (client, peer) in sessions.items():
                peer.send(b'{"event": "%s"}\r\n' % name.encode())
                check_equal(client.read_line(seconds=60), b'{"event": "%s"}\r\n' % name.encode())
                until(lambda name=name: is_listening("/run/qmp-front/" + name), "the socket for " + name, 60)
        until(lambda: show("qmp-shim-host.service", "StatusText").startswith("2 guests, 2 sessions"), "the status")
        os.unlink(servers["db"].path)
        until(lambda: not os.path.exists("/run/qmp-front/db"), "the socket of a guest that has gone to go")
        systemctl("stop", "qmp-shim-host.service")
        check_equal(os.listdir("/run/qmp-front"), [])

    @inside("drain-timeout: systemctl stop waits for the session")
    def _(place):
        one = Instance(place, "one", '{"qmp-shim-config": 1, "drain-timeout": 60}')
        client, peer = one.session(place)
        systemctl("stop", "--no-block", "qmp-shim@one.socket", one.service)
        until(lambda: show(one.service, "ActiveState") == "deactivating", "the stop")
        until(lambda: show(one.service, "StatusText").startswith("draining: 1 session"), "the status")
        client.send(b'{"execute": "x"}\r\n')
        check_equal(peer.read_line(), b'{"execute": "x"}\r\n')
        client.close()
        peer.close()
        until(lambda: show(one.service, "ActiveState") == "inactive", "the end")


# --- outside ---------------------------------------------------------------------------------------

BOOT_UNITS = {
    "qs.target": """
[Unit]
Requires=basic.target
Wants=qs-run.service dbus.socket systemd-journald.service
After=basic.target
AllowIsolate=yes
""",
    "qs-run.service": """
[Unit]
After=basic.target dbus.socket
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=%(python)s -B %(tests)s/systemd.py inside
StandardOutput=file:%(out)s/tap
StandardError=inherit
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin QMP_SHIM=%(build)s/qmp-shim QMP_SHIM_RULES_PATH=/nowhere
TimeoutStartSec=%(seconds)d
""",
}


def need_container():
    if os.geteuid() != 0:
        raise Missing("this needs root")
    for program in ("systemd-nspawn", "systemctl", "dbus-daemon", "unshare"):
        if not shutil.which(program):
            raise Missing("%s (Debian: systemd-container, systemd, dbus)" % program)
    if os.path.exists("/run/systemd/nspawn") and not os.access("/run/systemd/nspawn", os.W_OK):
        raise Missing("a /run that can be written to")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def unit_of_manual(top_srcdir):
    """The service for a whole host, as an operator would copy it."""
    with open(os.path.join(top_srcdir, "man/qmp-shim@.service.5"), encoding="utf-8") as file:
        page = file.read()
    begin = page.index("[Unit]\nDescription=QMP shim of all guests")
    return page[begin:page.index(".Ed", begin)].replace("\\e\n", "\\\n").replace("/usr/local/bin", IN_BUILD)


def write_units(folder, top_srcdir):
    """The shipped units, with the program under test in its place."""
    values = {"python": os.path.realpath(sys.executable), "tests": IN_TESTS, "out": IN_OUT, "build": IN_BUILD,
              "seconds": BOOT_S - 30}
    for name, text in BOOT_UNITS.items():
        write(os.path.join(folder, name), text % values)
    write(os.path.join(folder, "qmp-shim-host.service"), unit_of_manual(top_srcdir))
    shutil.copy(os.path.join(top_srcdir, "systemd/qmp-shim@.socket"), folder)
    with open(os.path.join(top_srcdir, "systemd/qmp-shim@.service.in"), encoding="utf-8") as file:
        # a sanitizer's look for leaks at the end needs what the filter forbids
        write(os.path.join(folder, "qmp-shim@.service"), file.read().replace("@bindir@", IN_BUILD) +
              "\n[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")


def make_cgroups(name):
    """A group of our own in each hierarchy that systemd uses.  Return: their folders."""
    version_2 = os.path.exists(os.path.join(CGROUPS, "cgroup.controllers"))
    groups = [os.path.join(CGROUPS, h, name) for h in ([""] if version_2 else ["systemd", "unified"])
              if os.path.isdir(os.path.join(CGROUPS, h))]
    try:
        for group in groups:
            os.mkdir(group)
    except OSError as error:
        raise Missing("cgroups that can be made: %s" % error) from error
    return groups


def remove_cgroups(groups):
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass  # something in it is still ending


def boot(folder, top_srcdir):
    """Run the tests in a container.  Return: its exit status; its console and the results are in the folder."""
    name = "qs%d" % os.getpid()
    for part in ("root", "units", "out", "build"):
        os.mkdir(os.path.join(folder, part))
    shutil.copy(os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim")), os.path.join(folder, "build", "qmp-shim"))
    write_units(os.path.join(folder, "units"), top_srcdir)
    groups = make_cgroups(name)
    script = "".join("echo $$ >%s/cgroup.procs\n" % group for group in groups)
    # nspawn refuses / itself; the mount namespace keeps the bind mount from the machine
    script += """mount --bind / {0}/root && exec systemd-nspawn --quiet --boot --directory={0}/root --volatile=overlay \
        --register=no --keep-unit --private-network --machine={1} --link-journal=no --console=pipe \
        --bind-ro={0}/units:{2} --bind-ro={0}/build:{3} --bind={0}/out:{4} --bind-ro={5}:{6} \
        systemd.unit=qs.target systemd.mask=systemd-udevd.service systemd.mask=systemd-udev-trigger.service \
        systemd.show_status=false""".format(folder, name, IN_UNITS, IN_BUILD, IN_OUT, HERE, IN_TESTS)
    try:
        with open(os.path.join(folder, "console"), "wb") as console:
            return subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], check=False,
                                  stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=BOOT_S).returncode
    finally:
        remove_cgroups(groups)


def run_outside():
    """Print what the tests inside say; that they could not be run at all is one test of its own."""
    folder = tempfile.mkdtemp(prefix="qmp-shim-systemd-", dir="/var/tmp")
    try:
        need_container()
        status = boot(folder, os.environ.get("top_srcdir", os.path.join(HERE, "..", "..")))
        results = os.path.join(folder, "out", "tap")
        if os.path.exists(results) and os.path.getsize(results) > 0:
            with open(results, encoding="utf-8") as file:
                print(file.read(), end="")
            return 1 if status else 0
        with open(os.path.join(folder, "console"), encoding="utf-8", errors="replace") as file:
            raise Missing("a systemd that boots here: exit status %d: %s" % (status, file.read()[-500:].replace("\n", " | ")))
    except (Missing, subprocess.TimeoutExpired) as missing:
        print("1..1\n%s 1 - the units under a real systemd%s %s" %
              ("not ok" if is_ci() else "ok", "\n# missing:" if is_ci() else " # SKIP", missing))
        return 1 if is_ci() else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        del sys.argv[1]
        declare_inside()
        sys.exit(tap.run())
    sys.exit(run_outside())
