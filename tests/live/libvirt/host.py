"""
A libvirt host for tests: libvirtd and a guest that goes through its life.

It needs root, but no systemd: everything runs in namespaces of its own (mount, pid, network), with
private folders in the place of libvirt's.  What is started there ends with it.  What is tested is
said by those who import it: check.py, old.py.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from qmplive import Timeout, check_equal, until  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
RULES = os.path.abspath(os.environ.get("QMP_SHIM_RULES_PATH", os.path.join(TOP, "rules")))
PRIVATE = ("/etc/libvirt", "/var/lib/libvirt", "/run/libvirt", "/var/log/libvirt",
           "/var/cache/libvirt", "/etc/qmp-shim", "/run/qmp-shim", "/var/log/qmp-shim")
INSIDE = "QMP_SHIM_LIBVIRT_PLACE"

QEMU_CONF = """
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""
LIBVIRTD_CONF = """
auth_unix_rw = "none"
log_filters="3:event 2:rpc"
log_outputs="2:file:/var/log/libvirt/libvirtd.log"
"""
DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{place}/{name}.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='ethernet'>
      <mac address='52:54:00:00:00:01'/>
      <target dev='shimtap0' managed='yes'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
DISK = """
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{place}/second.qcow2'/>
<target dev='sdb' bus='usb'/></disk>
"""
NIC = """
<interface type='ethernet'><mac address='52:54:00:00:00:02'/><target dev='shimtap1' managed='yes'/>
<model type='virtio'/></interface>
"""
SERIAL = """
<serial type='file'><source path='{place}/serial.log'/><target type='usb-serial' port='1'/></serial>
"""


# --- outside: make the namespaces ------------------------------------------------------------------

def skip(why):
    if os.environ.get("CI") == "true":
        print("1..1\nnot ok 1 - libvirt host\n# missing: " + why)
        sys.exit(1)
    print("1..0 # SKIP " + why)
    sys.exit(0)


def enter(script, needed):
    """Runs the script once more, as the first process of namespaces of its own, and ends as it does."""
    missing = [n for n in (*needed, "unshare", "mount") if not shutil.which(n)]
    if os.geteuid() != 0:
        skip("needs root")
    if missing:
        skip("not installed: " + " ".join(missing))
    absent = [path for path in PRIVATE if not os.path.isdir(path)]
    for path in absent:
        os.makedirs(path)
    with tempfile.TemporaryDirectory(prefix="qmp-shim-libvirt-", dir="/var/tmp") as place:
        done = subprocess.run(["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child",
                               "--mount-proc", "--propagation", "private",
                               sys.executable, "-B", os.path.abspath(script), *sys.argv[1:]],
                              env=dict(os.environ, **{INSIDE: place}), check=False)
        for path in reversed(absent):  # what was mounted on
            os.rmdir(path)
    sys.exit(done.returncode)


# --- inside: a host ----------------------------------------------------------------------------------

def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False, **more)


def must(*argv):
    done = run(*argv)
    if done.returncode:
        raise AssertionError("%s gave %d\n%s%s" % (" ".join(argv), done.returncode, done.stdout, done.stderr))
    return done.stdout


def virsh(*words):
    return must("virsh", "-q", *words)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def make_private(place):
    """Folders of libvirt's that are nobody else's; what /etc has is copied."""
    for path in PRIVATE:
        own = place + "/own" + path
        if path.startswith("/etc") and os.path.isdir(path):
            shutil.copytree(path, own)
        os.makedirs(own, exist_ok=True)
        must("mount", "--bind", own, path)
    for path, line in (("/etc/passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n"),
                       ("/etc/group", "libvirt-qemu:x:64055:\n")):
        add_user(place, path, line)
    shutil.rmtree("/etc/libvirt/hooks", ignore_errors=True)
    for folder in ("/var/lib/libvirt/images", "/var/lib/libvirt/qemu"):
        os.makedirs(folder, exist_ok=True)


def add_user(place, path, line):
    """libvirtd will not start without it, even where everything is root's."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if "libvirt-qemu:" not in text:
        write(place + "/own" + path, text + line)
        must("mount", "--bind", place + "/own" + path, path)


def start_daemons(place, options="--no-rules"):
    """@options are of the shims that the hook starts."""
    write("/etc/libvirt/qemu.conf", QEMU_CONF)
    write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF)
    write("/etc/libvirt/hooks/qemu", "#!/bin/sh\nexec sh %s/data/qmp-shim-libvirt-hook \"$@\"\n" % TOP, 0o755)
    write("/etc/qmp-shim/libvirt-hook.conf",
          "GUESTS='hooked* a-guest*'\nQMP_SHIM=%s\nOPTIONS='%s'\nexport QMP_SHIM_RULES_PATH=%s\n" % (PROGRAM, options, RULES))
    write("/etc/qmp-shim/exec.conf", '{"qmp-shim-config": 1, "no-rules": true}')
    os.environ["QMP_SHIM_RULES_PATH"] = RULES
    must("virtlogd", "-d", "-p", place + "/virtlogd.pid")
    must("libvirtd", "-d", "-p", place + "/libvirtd.pid")
    try:
        until(lambda: run("virsh", "-q", "list").returncode == 0, "libvirtd to answer", 60)
    except Timeout as late:
        with open("/var/log/libvirt/libvirtd.log", encoding="utf-8") as log:
            raise Timeout("%s\n%s%s" % (late, run("virsh", "list").stderr, log.read()[-4000:])) from None


class Guest:
    """One guest; each of its steps raises what went wrong."""

    def __init__(self, place, name, emulator, load_options=()):
        """@load_options: of virsh, where it reads the guest's memory from a file."""
        self.place, self.name, self.emulator, self.load_options = place, name, emulator, load_options
        must("qemu-img", "create", "-q", "-f", "qcow2", self.file("qcow2"), "16M")
        must("qemu-img", "create", "-q", "-f", "qcow2", place + "/second.qcow2", "16M")
        for kind, text in (("domain", DOMAIN), ("disk", DISK), ("nic", NIC), ("serial", SERIAL)):
            write("%s/%s-%s.xml" % (place, name, kind), text.format(name=name, emulator=emulator, place=place))
        virsh("define", self.xml("domain"))

    def file(self, suffix):
        return "%s/%s.%s" % (self.place, self.name, suffix)

    def xml(self, kind):
        return "%s/%s-%s.xml" % (self.place, self.name, kind)

    def is_state(self, state):
        check_equal(virsh("domstate", self.name).strip(), state)

    def is_behind_shim(self):
        """QEMU says where it listens, and somebody else listens where it should."""
        said = virsh("qemu-monitor-command", self.name, '{"execute":"query-chardev"}')
        assert "monitor.sock" in said or ".qemu" in said, said
        fronts = [line.split()[7] for line in open("/proc/net/unix", encoding="utf-8")
                  if line.rstrip().endswith((self.cut_name() + "/monitor.sock"))]
        backs = [line for line in open("/proc/net/unix", encoding="utf-8")
                 if "monitor.sock.qemu" in line]
        assert fronts, "nobody serves monitor.sock"
        assert backs or self.n_shims(), "no shim"
        assert self.n_shims() == 1, "%d shims" % self.n_shims()

    def cut_name(self):
        return self.name[:20]

    @staticmethod
    def n_shims():
        return len(shims())

    def snapshot(self, n):
        virsh("snapshot-create-as", self.name, "s%d" % n, "--disk-only", "--no-metadata",
              "--diskspec", "vda,file=" + self.file("snapshot%d" % n))

    def is_dumped(self):
        virsh("dump", self.name, "--memory-only", "--live", self.file("core"))
        assert os.stat(self.file("core")).st_size > 60000000

    def memory_snapshot(self):
        virsh("snapshot-create-as", self.name, "s3", "--no-metadata", "--live",
              "--memspec", "file=" + self.file("memory"), "--diskspec", "vda,file=" + self.file("snapshot3"))


def shims():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"qmp-shim") and words[1] in (b"run", b"takeover"):
            found.append(int(pid))
    return found


def steps(guest):
    """(name, function), in their order."""
    name = guest.name
    yield "start", lambda: virsh("start", name)
    yield "runs", lambda: guest.is_state("running")
    yield "is behind one shim", guest.is_behind_shim
    yield "suspend", lambda: virsh("suspend", name)
    yield "resume", lambda: virsh("resume", name)
    yield "a command", lambda: virsh("qemu-monitor-command", name, '{"execute":"query-status"}')
    yield "a human command", lambda: virsh("qemu-monitor-command", name, "--hmp", "info status")
    yield "attach a disk", lambda: virsh("attach-device", name, guest.xml("disk"))
    yield "detach the disk", lambda: virsh("detach-device", name, guest.xml("disk"))
    yield "the disk is gone", lambda: check_equal("sdb" in virsh("domblklist", name), False)
    yield "attach a NIC on a tap", lambda: virsh("attach-device", name, guest.xml("nic"))
    yield "attach a serial port to a file", lambda: virsh("attach-device", name, guest.xml("serial"))
    yield "detach the serial port", lambda: virsh("detach-device", name, guest.xml("serial"))
    yield "snapshot", lambda: guest.snapshot(1)
    yield "blockpull", lambda: virsh("blockpull", name, "vda", "--wait")
    yield "blockcopy and pivot", lambda: virsh("blockcopy", name, "vda", guest.file("copy"),
                                               "--transient-job", "--wait", "--pivot")
    yield "snapshot again", lambda: guest.snapshot(2)
    yield "blockcommit and pivot", lambda: virsh("blockcommit", name, "vda", "--active", "--pivot", "--wait")
    yield "domblkstat", lambda: virsh("domblkstat", name, "vda")
    yield "blkdeviotune", lambda: virsh("blkdeviotune", name, "vda", "--total-bytes-sec", "1000000")
    yield "dump", guest.is_dumped
    yield "save", lambda: virsh("save", name, guest.file("save"))
    yield "restore", lambda: virsh("restore", guest.file("save"), *guest.load_options)
    yield "runs after restore", lambda: guest.is_state("running")
    yield "managedsave", lambda: virsh("managedsave", name)
    yield "start from managedsave", lambda: virsh("start", name, *guest.load_options)
    yield "runs after managedsave", lambda: guest.is_state("running")
    yield "snapshot with memory", guest.memory_snapshot
    yield "reset", lambda: virsh("reset", name)
    yield "is behind one shim still", guest.is_behind_shim
    yield "destroy", lambda: virsh("destroy", name)
    yield "is off", lambda: guest.is_state("shut off")
    yield "the shim has gone", lambda: until(lambda: not shims(), "the shims to end")


def declare(tap, way, guest):
    for name, function in steps(guest):
        tap.test("%s: %s" % (way, name))(function)


def declare_killed(tap, way, guest):
    """Likewise, but the shim is killed after each step; the next step finds it dead, starting, or there again."""
    for name, function in steps(guest):
        def run(name=name, function=function):
            if "shim" in name and not name.endswith("gone"):
                until(lambda: Guest.n_shims() == 1, "the next shim", 60)
            function()
            for pid in shims():
                os.kill(pid, signal.SIGKILL)
        tap.test("%s, killed after each step: %s" % (way, name))(run)


def be_init():
    """In a child: go on.  Here: take leave of every orphan, as libvirt expects of process 1."""
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def run_script(script, needed, main):
    """main(folder) in there; the script's exit status."""
    if INSIDE not in os.environ:
        enter(script, needed)
    be_init()
    sys.exit(main(os.environ[INSIDE]))


def show_log():
    """libvirtd's, for who asked for it."""
    if os.environ.get("QMP_SHIM_LIBVIRT_LOG"):
        with open("/var/log/libvirt/libvirtd.log", encoding="utf-8") as log:
            print(log.read()[-20000:], file=sys.stderr)
