"""Each layer includes itself and those before it; everything below io is pure."""

import re
import shutil
import subprocess
from pathlib import Path

import lint

report = lint.Report()

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]*)"|<([^>]*)>)', re.MULTILINE)


def includes(path):
    """(place, quoted name or None, system name or None) of each #include."""
    text = lint.without_comments(path.read_text())
    for m in INCLUDE.finditer(text):
        yield lint.place(path, text, m.start()), m[1], m[2]


def foreign_includes(layer):
    allowed = lint.LAYERS[: lint.LAYERS.index(layer) + 1]
    for path in lint.sources(layer):
        for where, own, _ in includes(path):
            if own and own.partition("/")[0] not in allowed:
                yield f'{where}: includes "{own}"; {layer} may include {", ".join(allowed)}'


def own_header_not_first():
    for path in lint.sources():
        header = path.with_suffix(".h")
        if path.suffix == ".c" and header.exists():
            where, own, _ = next(includes(path), (path, None, None))
            name = str(header.relative_to(lint.TOP / "src"))
            if own != name:
                yield f'{where}: the first #include is not "{name}"'


IMPURE_HEADERS = re.compile(r"sys/socket\.h|sys/un\.h|time\.h|sys/time\.h|syslog\.h|poll\.h|uv\.h|uv/.*")
IMPURE_CALLS = re.compile(
    r"\b(clock_gettime|gettimeofday|time|sleep|usleep|nanosleep|printf|vprintf|puts|putchar|perror|"
    r"syslog|getenv|setenv|exit|abort)\s*\(|\b(stdout|stderr|stdin|environ)\b"
)


def impurities(layer):
    for path in lint.sources(layer):
        for where, _, system in includes(path):
            if system and IMPURE_HEADERS.fullmatch(system):
                yield f"{where}: includes <{system}>, which belongs in io"
        text = lint.without_strings(path.read_text())
        for m in IMPURE_CALLS.finditer(text):
            yield f"{lint.place(path, text, m.start())}: {m[1] or m[2]} belongs in io or cmd"


# Constants with pointers in them lie in .data.rel.ro; what compilers add for
# sanitizers and coverage is not ours.
VARIABLE = re.compile(
    r"^\S+ .{5}[^d][ O] (\.(?:t?data|t?bss)(?!\.rel\.ro)\S*)\t\S+ +(?:\.hidden )?(?!_*(?:odr_)?(?:asan|ubsan|gcov|llvm))(\S+)$",
    re.MULTILINE,
)


def mutable_globals(objects):
    """Objects in sections that can be written to."""
    for path in objects:
        table = subprocess.run(["objdump", "-t", path], capture_output=True, text=True, check=True)
        for m in VARIABLE.finditer(table.stdout):
            yield f"{path}: {m[2]} lies in {m[1]}: a mutable global"


for layer in lint.LAYERS:
    report.state(f"src/{layer} includes no layer above it", list(foreign_includes(layer)))
report.state("a module's own header comes first", list(own_header_not_first()))
for layer in lint.PURE_LAYERS:
    report.state(f"src/{layer} knows no socket, clock or log", list(impurities(layer)))

objects = [o for layer in lint.PURE_LAYERS for o in Path("src", layer).glob("*.o")]
statement = "no variable below io outlives a call"
if objects and shutil.which("objdump"):
    report.state(statement, list(mutable_globals(objects)))
else:
    report.skip(statement, "needs objdump and the build's objects")
report.done()
