"""
A headless Chromium, driven through chromedriver's WebDriver: just what a page
from a file needs.  It must not ask the network for anything: that is watched.

Without Chromium (Debian: chromium, chromium-driver) a test is skipped.
"""

import base64
import http.client
import json
import os
import re
import shutil

import qmplive

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, in WebDriver


class Browser:
    """One window; closed with the place it is in."""

    def __init__(self, place, width=1280, height=900, is_dark=False):
        for program in ("chromium", "chromedriver"):
            if not shutil.which(program):
                raise qmplive.Missing("%s is not installed (Debian: chromium, chromium-driver)" % program)
        home = place.path("browser")
        os.mkdir(home)
        self.driver = place.run(["chromedriver", "--port=0"], "chromedriver",
                                env=dict(os.environ, HOME=home, TMPDIR=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home))
        self.port = int(qmplive.until(lambda: re.search(r"started successfully on port (\d+)", self.driver.said()),
                                      "chromedriver")[1])
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                     "--user-data-dir=" + os.path.join(home, "profile"), "--window-size=%d,%d" % (width, height), "--hide-scrollbars"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        if is_dark:
            arguments.append("--force-dark-mode")
        self.session = None
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments},
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.ask("DELETE", "")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        prefix = "/session/" + self.session if self.session else ""
        connection.request(method, prefix + path, json.dumps(body if body is not None else {}) if method == "POST" else None,
                           {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError("%s %s: %s" % (method, path, answer["message"]))
        return answer

    def open(self, path):
        self.ask("POST", "/url", {"url": "file://" + os.path.abspath(path)})
        qmplive.until(lambda: self.run("return document.documentElement.dataset.ready || document.readyState"), "the page")

    def resize(self, width, height):
        """As a narrow screen would have it: a window has a least width."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def darken(self, is_dark):
        self.command("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def command(self, name, **parameters):
        """Of the DevTools protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, selector, text):
        self.ask("POST", "/element/%s/value" % self.find(selector), {"text": text})

    def press(self, key):
        """On the keyboard, wherever the focus is."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def click(self, selector):
        self.ask("POST", "/element/%s/click" % self.find(selector))

    def screenshot(self):
        """Return: a PNG"""
        return base64.b64decode(self.ask("GET", "/screenshot"))

    def complaints(self):
        """What stands in the console."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Every address that was asked for, but for those inside the browser: its own first page, and what is in the page itself."""
        events = [json.loads(entry["message"])["message"] for entry in self.ask("POST", "/se/log", {"type": "performance"})]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("chrome:", "data:"))]
