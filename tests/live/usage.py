#!/usr/bin/env python3
"""
The command line: what is said where, the way out of each mistake, and the exit status
(0 done, 1 it failed, 2 it was asked for in a wrong way).
"""

import os
import socket
import subprocess
import sys
import tempfile

from qmplive import DEADLINE_S, Tap, check_equal

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
RULES = b'{"qmp-shim-rules": 1, "name": "%s", "rules": []}'

tap = Tap()


def shim(*arguments, rules_path=None, stdout=subprocess.PIPE):
    """Run to its end.  Return: exit status, what it said to stdout, and to stderr."""
    environment = dict(os.environ)
    environment.pop("QMP_SHIM_RULES_PATH", None)
    if rules_path is not None:
        environment["QMP_SHIM_RULES_PATH"] = rules_path
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          timeout=DEADLINE_S, env=environment, check=False)
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


def check_mistake(arguments, *said, status=2, **more):
    """It ends with this status, says each of these to stderr, and nothing to stdout."""
    got, out, err = shim(*arguments, **more)
    check_equal((got, out), (status, ""), err)
    for text in said:
        assert text in err, "%r is not in %r" % (text, err)


def run(*more):
    return ("run", "--listen", "/nowhere/l", "--connect", "/nowhere/c") + more


@tap.test("--version and --help are answered on stdout")
def _():
    for option in ("--version", "-V"):
        status, out, err = shim(option)
        check_equal((status, err), (0, ""))
        assert out.startswith("qmp-shim "), out
    for arguments in (("--help",), ("-h",), ("help",)):
        status, out, err = shim(*arguments)
        check_equal((status, err), (0, ""))
        assert "\n  run " in out and "\n  help " in out, out


@tap.test("each command's help names all of its options, by help and by --help alike")
def _():
    status, out, _ = shim("help", "run")
    check_equal(status, 0)
    check_equal(shim("run", "--help"), (0, out, ""))
    for option in ("--listen PATH", "--connect PATH", "--client old|new", "--client-version", "--rules", "--no-rules",
                   "--no-probe", "--log-level", "--help"):
        assert "\n  " + option in out, "%s is not in\n%s" % (option, out)
    assert max(map(len, out.splitlines())) <= 79, "a line of the help is too long for a terminal"


@tap.test("a client's version without any rule to bridge it is warned of")
def _():
    _, _, said = shim(*run("--client-version", "5.2"), rules_path="/nowhere")
    assert 'level=warning msg="no rules are installed, everything passes unchanged" client-version="5.2"' in said, said
    _, _, said = shim(*run("--client-version", "5.2", "--no-rules"), rules_path="/nowhere")
    assert "level=warning" not in said, said


@tap.test("without a command the help goes to stderr")
def _():
    check_mistake((), "Usage:")


@tap.test("an unknown command or option is named, with the nearest one or the way to the help")
def _():
    check_mistake(("rum",), 'unknown command "rum"', 'did you mean "run"?')
    check_mistake(("frobnicate",), 'unknown command "frobnicate"', "qmp-shim --help")
    check_mistake(("help", "rum"), 'unknown command "rum"')
    check_mistake(("--versoin",), 'unknown option "--versoin"', 'did you mean "--version"?')
    check_mistake(("run", "--lisen", "x"), 'unknown option "--lisen"', 'did you mean "--listen"?')
    check_mistake(("run", "--frobnicate=3"), 'unknown option "--frobnicate=3"', "qmp-shim help run")
    check_mistake(("run", "-x"), 'unknown option "-x"')


@tap.test("an option's missing, superfluous or wrong argument is told")
def _():
    check_mistake(("run", "--listen"), '"--listen" needs its PATH')
    check_mistake(("run", "--no-rules=3"), '"--no-rules" takes no argument')
    check_mistake(run("--client", "od"), '--client cannot be "od"', 'did you mean "old"?')
    check_mistake(run("--client", "2011"), '"old", "new"')
    check_mistake(run("--log-level", "infos"), 'did you mean "info"?')
    check_mistake(run("--client-version", "latest"), "--client-version")
    check_mistake(run("more"), 'unexpected argument "more"')


@tap.test("options that are missing or exclude each other are told")
def _():
    check_mistake(("run", "--connect", "x"), "--listen PATH is missing")
    check_mistake(("run", "--listen", "x"), "--connect PATH is missing")
    check_mistake(("run", "--listen", "x", "--connect", "x"), "same path")
    check_mistake(run("--no-rules", "--rules", "x.jsonc"), "exclude each other")


@tap.test("rules that are not there are told with the folders searched and the nearest name")
def _():
    with tempfile.TemporaryDirectory(prefix="usage-") as one, tempfile.TemporaryDirectory(prefix="usage-") as two:
        with open(os.path.join(two, "streaming.jsonc"), "wb") as file:
            file.write(RULES % b"streaming")
        path = one + ":" + two
        check_mistake(run("--rules", "steaming"), one + ", " + two, 'did you mean "streaming"?', status=1, rules_path=path)
        check_mistake(run("--rules", "other"), 'no rules "other"', status=1, rules_path=path)
        check_mistake(run("--rules", "./other"), "cannot read ./other: No such file", status=1, rules_path=path)
        check_mistake(run("--rules", "other.jsonc"), "cannot read other.jsonc: No such file", status=1, rules_path=path)
        check_mistake(run("--rules", one + "/"), "Is a directory", status=1, rules_path=path)
        check_mistake(run("--rules", "/dev/zero"), "File too large", status=1, rules_path=path)


@tap.test("rules are found by name in the folders given, in that order; a wrong one is told with its place")
def _():
    with tempfile.TemporaryDirectory(prefix="usage-") as one, tempfile.TemporaryDirectory(prefix="usage-") as two:
        for folder, text in ((one, b'{"qmp-shim-rules": nonsense}'), (two, RULES % b"x")):
            with open(os.path.join(folder, "x.jsonc"), "wb") as file:
                file.write(text)
        for arguments in (("--rules", "x"), ("--client-version", "2.6")):
            check_mistake(run(*arguments), os.path.join(one, "x.jsonc") + ":1:", "error:", status=1,
                          rules_path=one + "::" + two)
            check_mistake(run(*arguments), "cannot listen on /nowhere/l", status=1, rules_path=two + ":" + one)


@tap.test("who asks a shim that is not there is told what may be the reason")
def _():
    with tempfile.TemporaryDirectory(prefix="usage-") as folder:
        path = os.path.join(folder, "c")
        check_mistake(("status", path), "qmp-shim status: cannot ask " + path, "has the shim been started with --control?",
                      status=1)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
        check_mistake(("trace", "stop", path), "qmp-shim trace: cannot ask " + path, "the shim has ended", status=1)
        check_mistake(("show", path), "qmp-shim: cannot open " + path, status=1)


@tap.test("what cannot be written to stdout is a failure")
def _():
    with open("/dev/full", "wb") as full:
        status, _, err = shim("--help", stdout=full)
    check_equal(status, 1)
    assert "cannot write" in err, err


sys.exit(tap.run())
