"""The manual tells of every command and option that there is, and of no other."""

import os
import re
import subprocess

import lint

report = lint.Report()
PROGRAM = os.environ.get("QMP_SHIM", "./qmp-shim")


def help_of(*topic):
    done = subprocess.run([PROGRAM, "help", *topic], capture_output=True, text=True, check=True)
    return done.stdout


# In the help a command or an option begins its line; in the page it is an item of a list.
# The two manual lists are told apart by the macro: .Cm for commands, .Fl for options.
COMMAND_IN_HELP = re.compile(r"^  ([a-z]+)\b", re.MULTILINE)
OPTION_IN_HELP = re.compile(r"^ +(?:-\w, )?--([a-z][a-z-]*)", re.MULTILINE)
COMMAND_IN_PAGE = re.compile(r"^\.It Cm ([a-z]+)", re.MULTILINE)
OPTION_IN_PAGE = re.compile(r"^\.It Fl -([a-z-]+)", re.MULTILINE)


def differences(help_text, help_pattern, page_text, page_pattern):
    told = set(help_pattern.findall(help_text))
    written = set(page_pattern.findall(page_text))
    yield from (f"{name}: in the help, not in the page" for name in sorted(told - written))
    yield from (f"{name}: in the page, not in the help" for name in sorted(written - told))


page_text = (lint.TOP / "man/qmp-shim.1").read_text()
commands = COMMAND_IN_HELP.findall(help_of())
all_help = "".join(help_of(command) for command in commands if command != "help")
report.state(
    "the manual lists the commands that there are",
    ([] if commands else ["qmp-shim help lists none"])
    + list(differences(help_of(), COMMAND_IN_HELP, page_text, COMMAND_IN_PAGE)),
)
report.state(
    "the manual lists the options that there are",
    list(differences(all_help, OPTION_IN_HELP, page_text, OPTION_IN_PAGE)),
)
report.done()
