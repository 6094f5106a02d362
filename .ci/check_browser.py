"""Headless Chromium opens every page, at the width of a desk and of a phone, light and dark (look.js): no
script error, no formula that is not set, no LaTeX left over, no broken picture, no link that leads nowhere,
nothing wider than the screen, no text too faint to read; and no four screens without a picture on the pages
that teach (check_pages.py).

    python .ci/check_browser.py [FOLDER]

FOLDER holds the site as Quarto built it; without it, the pages of `make preview` are looked at.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import preview
from check_imports import parts_of
from check_pages import TAUGHT
from check_site import modules

HERE = Path(__file__).parent
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome',
            '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome')
OPTIONS = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking
             --disable-component-update --disable-sync --disable-extensions --window-size=1400,1000""".split()
WIDTHS = {'desk': 1280, 'phone': 390}
FOUR_SCREENS = 3600 # pixels, at the width of a desk
PATIENCE = 900 # seconds for all pages
THEMES = re.compile(r'contrast of|anchors that stand twice')
BASE = '/irsde/' # as on the site, since its page for lost readers has addresses from the top

# Put at the head of every page: what goes wrong while it loads
LISTEN = b'''<script>window.problems = [];
const lost = e => "cannot load " + (e.target.src || e.target.href);
addEventListener("error", e => problems.push(e.message || lost(e)), true);
addEventListener("unhandledrejection", e => problems.push(String(e.reason)));
for (const kind of %s) {
  const old = console[kind];
  console[kind] = (...a) => { problems.push(kind + ": " + a.join(" ")); old.apply(console, a); };
}
</script>'''

def taught():
    "Pages of the parts that are held to show pictures; results may be tables"
    parts = parts_of(HERE.parent/'nbs')
    names = [name.removesuffix('.ipynb') for part in TAUGHT if part != 'Results' for name in parts[part]]
    names.remove('index') # a door, with a map of the book
    return [re.sub(r'^[0-9]{2}[a-z]*_', '', name) + '.html' for name in names]

def harness(pages):
    "The page that opens the others, one after another"
    facts = (f'const PAGES = {json.dumps(pages)}, WIDTHS = {json.dumps(WIDTHS)}, '
             f'TAUGHT = {json.dumps(taught())}, FOUR_SCREENS = {FOUR_SCREENS};')
    script = (HERE/'look.js').read_text(encoding='utf-8')
    return f'<!doctype html><body><script>{facts}\n{script}</script>'.encode()

class Server(SimpleHTTPRequestHandler):
    "The pages, each with LISTEN in it; the harness; and a place to report to"
    def log_message(self, *_): pass

    def translate_path(self, path): return super().translate_path('/' + path.removeprefix(BASE))

    def do_GET(self):
        path = Path(self.translate_path(urlparse(self.path).path))
        if self.path == f'{BASE}harness': body = harness(self.server.pages)
        elif path.suffix == '.html' and path.is_file():
            body = path.read_bytes().replace(b'<head>', b'<head>' + self.server.listen, 1)
        else: return super().do_GET()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.report = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

def browse(browser, folder, kinds=('error', 'warn')):
    "The pages in a folder, and what the browser says of them; console messages of these kinds are faults"
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Server, directory=str(folder)))
    server.pages = sorted(path.name for path in Path(folder).glob('*.html'))
    server.done, server.report = threading.Event(), None
    server.listen = LISTEN % json.dumps(kinds).encode()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}{BASE}harness'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *OPTIONS, f'--user-data-dir={profile}', address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try: server.done.wait(PATIENCE)
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    return server.pages, server.report

def skipped(why, site):
    "Whether it may pass that no page was opened: not in continuous integration, not if the site is published"
    print(f'SKIPPED: the pages were not opened, {why}')
    return site is None and not os.environ.get('CI')

def main(site=None):
    "Whether all is well; what is not is printed"
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        names = ', '.join(BROWSERS[:4])
        return skipped(f'as none of {names} is on the PATH (Debian: apt install chromium)', site)
    if site is None and modules() is None:
        return skipped('as npm could not bring KaTeX and Bootswatch, which the preview needs', site)
    with tempfile.TemporaryDirectory() as tmp:
        if site is None and not preview.build(Path(tmp)/'pages'): return False
        kinds = ('error', 'warn') if site is None else ('error',)
        pages, found = browse(browser, site or Path(tmp)/'pages', kinds)
    if found is None: found = [f'{browser} did not finish {len(pages)} pages in {PATIENCE} s']
    if site is not None: # what the themes do is not ours to stop a site for
        for problem in found:
            if THEMES.search(problem): print(f'NOTE: {problem}')
        found = [problem for problem in found if not THEMES.search(problem)]
    widths = ' and '.join(f'{width} pixels' for width in WIDTHS.values())
    print(f'{len(pages)} pages opened at {widths}, light and dark', *found, sep='\n')
    return pages and not found

if __name__ == '__main__': sys.exit(not main(*map(Path, sys.argv[1:])))
