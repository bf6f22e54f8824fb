"""Functions are short: sixty lines are looked at twice, a hundred are refused."""

import re

import lint

LOOKED_AT = 60
REFUSED = 100
# From a name at the start of a line to the brace that closes it there.
FUNCTION = re.compile(
    r"^[A-Za-z_](?:[^\n;{}=]|\n[ \t])*?\b(\w+)\([^;{}]*\)\s*\{\n.*?^\}", re.MULTILINE | re.DOTALL
)

report = lint.Report()


def functions():
    """(place, name, lines) of every function."""
    for path in lint.sources() + sorted((lint.TOP / "tests").glob("*/*.[ch]")):
        text = lint.without_strings(path.read_text())
        for m in FUNCTION.finditer(text):
            yield lint.place(path, text, m.start()), m[1], m[0].count("\n") + 1


all_functions = list(functions())
long = sorted((f for f in all_functions if f[2] > LOOKED_AT), key=lambda f: -f[2])
print(f"# {len(all_functions)} functions")
for where, name, n in long:
    print(f"# {where}: {name}() has {n} lines")
report.state(
    f"no function is longer than {REFUSED} lines",
    [f"{where}: {name}() has {n} lines" for where, name, n in long if n > REFUSED],
)
report.done()
