"""src/ knows the protocol; what one QEMU or another understands stands in rules/."""

import re

import lint

WORDS_FILE = "qemu-words"
VERSION = re.compile(r'"v?\d{1,2}\.\d{1,2}(\.\d+)?"')
report = lint.Report()


def vocabulary():
    path = lint.TOP / "tests/lint" / WORDS_FILE
    lines = path.read_text().splitlines()
    return {word for line in lines if not line.startswith("#") for word in line.split()}


def found(pattern):
    for path in lint.sources():
        text = lint.without_comments(path.read_text())
        for m in pattern.finditer(text):
            yield f"{lint.place(path, text, m.start())}: {m[0]} belongs in a rule file"


# A word of two parts is told from C by itself, a plain one ("stop", "RESET") only when quoted.
plain = {w for w in vocabulary() if re.fullmatch(r"[a-z]+|[A-Z]+", w)}
telling = vocabulary() - plain


def any_of(words):
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


report.state(
    "src names no QEMU command, event or error class",
    list(found(re.compile(rf"(?<![\w-]){any_of(telling)}(?![\w-])")))
    + list(found(re.compile(rf'\\?"{any_of(plain)}\\?"'))),
)
report.state("src names no QEMU version", list(found(VERSION)))
report.done()
