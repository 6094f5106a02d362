"""Headless Chromium opens every page of `make preview`, at the width of a desk and of a phone: no script error, no formula that
KaTeX refused, no LaTeX left over, no broken picture, no link that leads nowhere, nothing wider than the screen."""
import json, os, shutil, subprocess, sys, tempfile, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import preview

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
WIDTHS = {'desk': 1280, 'phone': 390}
PATIENCE = 600 # seconds for all pages

# Put at the head of every page: what goes wrong while it loads
LISTEN = b'''<head><script>window.problems = [];
addEventListener("error", e => problems.push(e.message || "cannot load " + (e.target.src || e.target.href)), true);
addEventListener("unhandledrejection", e => problems.push(String(e.reason)));
for (const kind of ["error", "warn"]) { const old = console[kind]; console[kind] = (...a) => { problems.push(kind + ": " + a.join(" ")); old.apply(console, a); }; }
</script>'''

# Loads each page into a frame of each width, looks at it, and reports
HARNESS = '''<!doctype html><body><script>
const pages = %s, widths = %s, anchors = {}, found = [];
const say = (page, width, what) => found.push(`${page} (${width}): ${what}`);
function load(page, width) { return new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  frame.onload = () => setTimeout(() => done(frame), 50);
  frame.src = page; document.body.append(frame); }); }
async function look() {
  const links = [];
  for (const page of pages) for (const [name, width] of Object.entries(widths)) {
    const frame = await load(page, width), doc = frame.contentDocument, root = doc.documentElement;
    await Promise.all([...doc.images].map(o => o.complete || new Promise(r => { o.onload = o.onerror = r; })));
    frame.contentWindow.problems.forEach(o => say(page, name, o));
    doc.querySelectorAll(".katex-error").forEach(o => say(page, name, "formula: " + o.title));
    const walk = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
    for (let n; n = walk.nextNode();) if (!n.parentElement.closest(".katex, pre, code, script, style, svg") && /\\\\[A-Za-z]{2,}|\\$[^$]+\\$/.test(n.data)) say(page, name, "LaTeX: " + n.data.trim().slice(0, 100));
    for (const o of doc.images) { if (!o.naturalWidth) say(page, name, "broken picture " + o.src.slice(0, 100)); if (!o.alt) say(page, name, "picture without alternative text"); }
    if (root.scrollWidth > root.clientWidth + 1) {
      const wide = [...doc.querySelectorAll("main *")].filter(o => o.getBoundingClientRect().right > root.clientWidth + 1 && ![...ancestors(o)].some(p => getComputedStyle(p).overflowX !== "visible"))[0];
      say(page, name, `${root.scrollWidth} pixels wide, the screen has ${root.clientWidth}` + (wide ? `: <${wide.tagName.toLowerCase()} class="${wide.className}"> ${wide.textContent.trim().slice(0, 60)}` : "")); }
    if (!doc.querySelector("h1")) say(page, name, "no title");
    anchors[page] = new Set([...doc.querySelectorAll("[id]")].map(o => o.id));
    if (name === "desk") for (const o of doc.links) if (o.origin === location.origin && !o.closest(".anchor-link")) links.push([page, decodeURIComponent(o.pathname.slice(1)), decodeURIComponent(o.hash.slice(1))]);
    frame.remove();
  }
  for (const [page, to, hash] of links) { if (!to) continue;
    if (!(to in anchors)) { const there = await fetch("/" + to, {method: "HEAD"}); if (!there.ok) say(page, "link", to + " does not exist"); }
    else if (hash && !anchors[to].has(hash) && ![...anchors[to]].some(o => o.toLowerCase() === hash.toLowerCase())) say(page, "link", `${to} has no #${hash}`); }
  return found; }
function* ancestors(o) { for (let p = o.parentElement; p && p.tagName !== "MAIN"; p = p.parentElement) yield p; }
look().catch(e => ["the check itself: " + e.stack]).then(o => fetch("/report", {method: "POST", body: JSON.stringify(o)}));
</script>'''

class Server(SimpleHTTPRequestHandler):
    "The pages, each with LISTEN in it; the harness; and a place to report to"
    def log_message(self, *_): pass

    def do_GET(self):
        path = Path(self.directory, self.path.lstrip('/').partition('?')[0])
        if self.path == '/harness': body = (HARNESS % (json.dumps(self.server.pages), json.dumps(WIDTHS))).encode()
        elif path.suffix == '.html' and path.is_file(): body = path.read_bytes().replace(b'<head>', LISTEN, 1)
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

def browse(browser, folder):
    "What the browser has to say of the pages in a folder"
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Server, directory=str(folder)))
    server.pages, server.done, server.report = sorted(o.name for o in Path(folder).glob('*.html')), threading.Event(), None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
                   '--disable-extensions', '--window-size=1400,1000', f'--user-data-dir={profile}', f'http://127.0.0.1:{server.server_port}/harness']
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try: server.done.wait(PATIENCE)
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    return server.pages, server.report

def main():
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"SKIPPED: the pages were not opened, as none of {', '.join(BROWSERS)} is on the PATH (Debian: apt install chromium)")
        return True
    if preview.katex() is None and not os.environ.get('CI'): # as in check_site: nothing is left out in continuous integration
        print('SKIPPED: the pages were not opened, as npm could not bring KaTeX, which they need')
        return True
    with tempfile.TemporaryDirectory() as tmp:
        if not preview.build(Path(tmp)/'pages'): return False
        pages, found = browse(browser, Path(tmp)/'pages')
    if found is None: found = [f'{browser} did not finish {len(pages)} pages in {PATIENCE} s']
    print(f'{len(pages)} pages opened at {" and ".join(f"{w} pixels" for w in WIDTHS.values())}', *found, sep='\n')
    return pages and not found

if __name__ == '__main__': sys.exit(not main())
