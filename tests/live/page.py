#!/usr/bin/env python3
"""
The page that show --html makes of real traffic, in a real browser: it draws
the ladder, finds what is typed, folds and unfolds, asks nobody for anything,
and no byte that was said means anything to it.
"""

import json
import os
import re
import sys

import qmplive
import trace
from browser import Browser

SCREENSHOTS = os.environ.get("QMP_SHIM_SCREENSHOTS")  # a folder, to have a look
EVIL = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)><!--'
HOLD = """{ "qmp-shim-rules": 1, "name": "hold", "summary": "A command that waits", "rules": [
    { "name": "hold", "for": "old-client", "old": { "execute": "name-and-wait" },
      "new": { "execute": "query-name" }, "until": { "event": "POWERDOWN" }, "timeout": 0.3 },
    { "name": "hidden", "for": "old-client", "new-since": "6.0", "old-until": "6.0", "old": null, "new": { "event": "RESUME" } } ] }"""

tap = qmplive.Tap()
check_equal = qmplive.check_equal


def talk(client):
    trace.old_client(client)
    client.command("query-qmp-schema", id="libvirt-7")
    client.command("query-status", id=EVIL)
    client.command("name-and-wait")
    client.command("cont")
    client.send('{"execute": "query-status", "id": "\u00fc\\u2028"}\r\n')
    client.read_reply()
    client.send("garbage %s {]\n" % EVIL)
    client.read_reply()


def page_of(place, path, *options):
    html = place.path("page") + ".html"
    trace.program("show", "--html", html, *options, path)
    return html


def make(place, *options):
    rules = place.path("hold") + ".jsonc"
    with open(rules, "w", encoding="ascii") as file:
        file.write(HOLD)
    path = trace.record(place, talk, rules=(*trace.RULES, "--rules", rules))
    return path, page_of(place, path, *options)


def data_of(html, name="data"):
    with open(html, encoding="utf-8") as page:
        text = page.read()
    text = re.search(r'<script type="application/json" id="%s">(.*?)</script>' % name, text, re.DOTALL)[1]
    assert text.isascii()
    return json.loads(text)


def show(browser, name):
    if SCREENSHOTS:
        with open(os.path.join(SCREENSHOTS, name + ".png"), "wb") as file:
            file.write(browser.screenshot())


def shown(browser):
    return int(browser.run("return document.getElementById('count').dataset.shown"))


def rows(browser):
    return browser.run("return [...document.querySelectorAll('.row .what')].map(e => e.textContent)")


@tap.test("the page has each message once, and is for its owner only")
def _():
    with qmplive.Place() as place:
        path, html = make(place)
        lines = [line for line in trace.program("show", path).splitlines()[1:] if re.match(r"\d", line)]
        data = data_of(html)
        check_equal(len(data), len(lines))
        check_equal([m["x"] for m in data if json.dumps(EVIL) in m.get("x", "")][0], json.dumps(
            {"execute": "query-status", "id": EVIL}), "what was said stands there byte for byte")
        check_equal(os.stat(html).st_mode & 0o777, 0o600)
        with open(html, encoding="utf-8") as page:
            text = page.read()
        check_equal(len(re.findall("<script", text)), 3)
        assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text)


@tap.test("the summary counts, and names holds, idle rules and what the client would not have known")
def _():
    with qmplive.Place() as place:
        path, html = make(place)
        data, summary = data_of(html), data_of(html, "summary")
        numbers = summary["numbers"]
        for kind in ("passed", "rewritten", "dropped"):
            check_equal(numbers[kind], sum(m["k"] == kind for m in data), kind)
        assert numbers["rewritten"] > 3 and numbers["dropped"] == 1 and numbers["held"] == 1, numbers
        check_equal([h["n"] for h in summary["holds"]][0], "name-and-wait")
        check_equal(data[summary["holds"][0]["i"]]["c"], "name-and-wait")
        assert {"n": "RESUME", "c": 1, "k": "dropped"} in summary["strange"], summary["strange"]
        used = {r["n"] for r in summary["used"]}
        assert {"hold", "hidden", "object-add-props"} <= used and used.isdisjoint(summary["unused"]), summary
        assert "cpu-cmd" in summary["unused"]
        # filters leave messages out, but all are counted
        html = page_of(place, path, "--changed")
        assert len(data_of(html)) < len(data)
        check_equal(data_of(html, "summary")["numbers"], numbers)


PAGE_MAX_TEXT_BYTES = 256 << 10
PAGE_MAX_BYTES = 64 << 20


def event_of(n_bytes):
    text = '{"event": "E", "data": "'
    return text + "x" * (n_bytes - len(text) - 2) + '"}'


def write_trace(place, texts):
    path = place.path("trace")
    with open(path, "w", encoding="ascii") as file:
        file.write('{"qmp-shim-trace": 2, "ms": 1, "us": 1, "what": "header", "note": "made"}\n'
                   '{"ms": 1, "us": 1, "session": 1, "what": "opened"}\n')
        for text in texts:
            file.write(json.dumps({"ms": 2, "us": 2, "session": 1, "what": "passed", "side": "server", "text": text}) + "\n")
    return path


@tap.test("a text of 256 KiB is on the page, a longer one is cut there")
def _():
    with qmplive.Place() as place:
        path = write_trace(place, [event_of(PAGE_MAX_TEXT_BYTES), event_of(PAGE_MAX_TEXT_BYTES + 1)])
        whole, cut = data_of(page_of(place, path))[1:]
        check_equal((len(whole["x"]), whole.get("xz")), (PAGE_MAX_TEXT_BYTES, None))
        check_equal((len(cut["x"]), cut.get("xz")), (PAGE_MAX_TEXT_BYTES, PAGE_MAX_TEXT_BYTES + 1))


@tap.test("a page holds the message that fills its 64 MiB, and none behind it")
def _():
    n = PAGE_MAX_BYTES // PAGE_MAX_TEXT_BYTES  # each has some bytes more: what is known of it
    for n_messages, is_all in ((n, True), (n + 1, False)):
        with qmplive.Place() as place:
            html = page_of(place, write_trace(place, [event_of(PAGE_MAX_TEXT_BYTES)] * n_messages))
            with open(html, "rb") as page:
                text = page.read()
            check_equal(b"messages are on this page: it holds 64 MiB" in text, not is_all)
            assert n * PAGE_MAX_TEXT_BYTES < len(text) < (n + 1) * PAGE_MAX_TEXT_BYTES, len(text)


@tap.test("a page that cannot be written is an error, and what is no trace, too")
def _():
    with qmplive.Place() as place:
        path = trace.record(place, trace.old_client)
        trace.program("show", "--html", "/dev/full", path, status=1)
        trace.program("show", "--html", place.path("none") + "/page", path, status=1)
        with open(place.path("bad"), "w", encoding="ascii") as file:
            file.write("{}\n")
        trace.program("show", "--html", place.path("page"), file.name, status=1)


@tap.test("the browser draws the ladder, finds what is typed, unfolds, and asks nobody for anything")
def _():
    with qmplive.Place() as place:
        path, html = make(place)
        n = len(data_of(html))
        with Browser(place) as browser:
            browser.open(html)
            check_equal((shown(browser), len(rows(browser))), (n, n))
            check_equal(browser.run("return document.title"), os.path.basename(path) + " \u2013 QMP trace")
            show(browser, "wide")
            browser.type("#search", "1048576")
            qmplive.until(lambda: shown(browser) < n, "the search")
            found = rows(browser)
            check_equal(shown(browser), len(found))
            assert found and all("object-add" in row for row in found), found
            assert browser.run("return document.querySelectorAll('mark').length") > 0
            browser.run("document.activeElement.blur()")
            browser.press("\ue015")  # down
            browser.press("\ue007")  # enter
            browser.press("j")
            opened = browser.run("return [...document.querySelectorAll('.row.open .more')].map(e => e.textContent)")
            assert len(opened) == len(found) and any("arguments.size: 1048576" in text for text in opened), opened
            show(browser, "search")
            browser.press("\ue00c")  # escape
            qmplive.until(lambda: shown(browser) == n, "the end of the search")
            browser.click("#failed")
            assert 0 < shown(browser) < n
            browser.click("#failed")
            browser.click("#cards .link")  # the slowest hold
            assert "name-and-wait" in browser.run("return document.activeElement.textContent")
            browser.darken(True)
            browser.click("#fold")
            show(browser, "dark")
            browser.resize(420, 900)
            browser.run("scrollTo(0, 0)")
            show(browser, "narrow-top")
            browser.run("document.querySelector('.bar').scrollIntoView()")
            show(browser, "narrow")
            width = browser.run("return document.documentElement.scrollWidth")
            assert width <= 420, "a narrow window scrolls sideways: %d" % width
            check_equal(browser.run("return document.title.includes('taken')"), False)
            check_equal(browser.complaints(), [])
            check_equal(browser.requests(), ["file://" + os.path.abspath(html)])


@tap.test("a page of many messages draws those that are looked at, and reaches the others")
def _():
    with qmplive.Place() as place:
        def many(client):
            for i in range(700):
                client.command("query-name", id=i)

        html = page_of(place, trace.record(place, many))
        with Browser(place) as browser:
            browser.open(html)
            assert shown(browser) > 1400 > len(rows(browser))
            browser.run("scrollTo(0, document.body.scrollHeight)")
            qmplive.until(lambda: browser.run("scrollTo(0, document.body.scrollHeight)") or len(rows(browser)) == shown(browser), "all rows")
            check_equal(browser.complaints(), [])


if __name__ == "__main__":
    sys.exit(tap.run())
