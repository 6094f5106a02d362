// Loads each page into a frame, at the width of a desk and of a phone, light and dark, looks at it, and reports
// what is wrong.
// PAGES, WIDTHS, TAUGHT and FOUR_SCREENS are set before this.
const anchors = {},
  found = [];
const say = (page, where, what) => found.push(`${page} (${where}): ${what}`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const short = (o) => o.textContent.trim().replace(/\s+/g, " ").slice(0, 60);

async function load(page, width, theme) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  await new Promise((done) => {
    frame.onload = done;
    frame.src = `${page}?${theme}`;
    document.body.append(frame);
  });
  const doc = frame.contentDocument,
    view = frame.contentWindow;
  for (let i = 0; i < 100 && [...doc.querySelectorAll(".math")].some((o) => !o.querySelector(".katex")); i++)
    await pause(50); // KaTeX may come from afar
  if (view.quartoToggleColorScheme && !doc.body.classList.contains(`quarto-${theme}`)) {
    view.quartoToggleColorScheme();
    await pause(300);
  }
  await Promise.all(
    [...doc.images].map(
      (o) =>
        o.complete ||
        new Promise((r) => {
          o.onload = o.onerror = r;
        }),
    ),
  );
  await pause(30);
  return frame;
}

function* ancestors(o) {
  for (let p = o.parentElement; p && p.tagName !== "MAIN"; p = p.parentElement) yield p;
}
function* texts(doc, root = doc.body) {
  const walk = doc.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) if (n.data.trim()) yield n;
}

// --- What is looked for: each takes a document and yields what is wrong with it
function glyphs(doc, text) {
  const range = doc.createRange();
  range.selectNodeContents(text);
  return range.getBoundingClientRect();
}
function* formulas(doc) {
  for (const o of doc.querySelectorAll(".katex-error")) yield "formula: " + o.title;
  const bare = [...doc.querySelectorAll(".math")].filter((o) => !o.querySelector(".katex"));
  if (bare.length) yield `${bare.length} formulas are not set, the first is ${short(bare[0])}`;
  for (const n of texts(doc))
    if (
      !n.parentElement.closest(".katex, .math, pre, code, script, style, svg") &&
      /\\[A-Za-z]{2,}|\$[^$]+\$/.test(n.data)
    )
      yield "LaTeX: " + n.data.trim().slice(0, 100);
  for (const o of doc.querySelectorAll(".katex-display .katex-html")) {
    const tag = o.querySelector(":scope > :is(.katex-tag, .tag) > .mord")?.getBoundingClientRect(),
      parts = [...o.querySelectorAll(":scope > :is(.katex-base, .base)")].flatMap((b) =>
        [...texts(doc, b)].map((n) => glyphs(doc, n)),
      );
    if (
      tag &&
      parts.some(
        (b) => b.right > tag.left + 1 && b.left < tag.right - 1 && b.bottom > tag.top && b.top < tag.bottom,
      )
    )
      yield "an equation's number is printed over it: " + short(o);
  }
}

function* pictures(doc) {
  for (const o of doc.images) {
    if (!o.naturalWidth) yield "broken picture " + o.src.slice(0, 100);
    if (!o.alt) yield "picture without alternative text: " + o.src.slice(0, 100);
  }
}

function* gaps(doc, page) {
  // no four screens without a picture on the pages that teach; equations and what is folded count as text
  if (!TAUGHT.includes(page)) return;
  const main = doc.querySelector("main").getBoundingClientRect(),
    drawn = [...doc.querySelectorAll("main :is(img, svg, canvas)")]
      .filter((o) => !o.closest("svg svg, .katex, button, a.source-link"))
      .map((o) => o.getBoundingClientRect())
      .filter((b) => b.width >= 200 && b.height >= 60)
      .sort((a, b) => a.top - b.top);
  let bottom = main.top;
  for (const b of [...drawn, { top: main.bottom, bottom: main.bottom }]) {
    if (b.top - bottom > FOUR_SCREENS)
      yield `${Math.round(b.top - bottom)} pixels without a picture, ${Math.round(bottom - main.top)} below the top`;
    bottom = Math.max(bottom, b.bottom);
  }
}

function* knobs(doc) {
  // a slider moved to its other end changes its picture and what it says
  for (const o of doc.querySelectorAll(".moving input[type=range]")) {
    const picture = o.closest(".moving").querySelector("img"),
      before = [picture.src, o.nextElementSibling.value];
    o.value = o.value === o.max ? o.min : o.max;
    o.dispatchEvent(new Event("input"));
    if (picture.src === before[0] || o.nextElementSibling.value === before[1])
      yield `the slider ${o.name} changes nothing`;
  }
  for (const o of doc.querySelectorAll(".moving svg [role=slider]")) {
    const before = o.getAttribute("cy");
    o.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp" }));
    if (o.getAttribute("cy") === before) yield `the dot "${o.getAttribute("aria-label")}" cannot be moved`;
  }
}

function* width(doc) {
  const root = doc.documentElement;
  if (root.scrollWidth <= root.clientWidth + 1) return;
  const wide = [...doc.querySelectorAll("main *")].find(
    (o) =>
      o.getBoundingClientRect().right > root.clientWidth + 1 &&
      ![...ancestors(o)].some((p) => doc.defaultView.getComputedStyle(p).overflowX !== "visible"),
  );
  yield (
    `${root.scrollWidth} pixels wide, the screen has ${root.clientWidth}` +
    (wide ? `: <${wide.tagName.toLowerCase()} class="${wide.className}"> ${short(wide)}` : "")
  );
}

function* structure(doc) {
  if (!doc.querySelector("h1")) yield "no title";
  const bar = doc.querySelector("#quarto-header")?.getBoundingClientRect().height || 0;
  if (parseFloat(doc.defaultView.getComputedStyle(doc.documentElement).scrollPaddingTop) < bar)
    yield "the bar hides headings that links lead to: scroll-padding-top";
  const ids = [...doc.querySelectorAll("main [id]")].filter((o) => !o.closest("svg")).map((o) => o.id);
  const twice = [...new Set(ids.filter((o, i) => ids.indexOf(o) < i))];
  if (twice.length) yield `anchors that stand twice: ${twice.slice(0, 8).join(", ")}`;
  for (const o of doc.querySelectorAll("details"))
    if (
      /^\s*Solution/.test(o.querySelector("summary")?.textContent) &&
      o.closest(".cell")?.querySelector(".cell-output")
    )
      yield "a solution shows its result below the fold: " + short(o);
}

function channels(colour) {
  const c = colour.match(/[\d.]+/g).map(Number);
  return [c[0], c[1], c[2], c[3] ?? 1];
}
function over(top, below) {
  return [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
}
function luminance(c) {
  const [r, g, b] = c.map((x) => ((x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(o, view) {
  // the colour behind an element
  const layers = [];
  for (; o; o = o.parentElement) {
    const c = channels(view.getComputedStyle(o).backgroundColor);
    layers.push(c);
    if (c[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
}
function* contrast(doc) {
  // WCAG's ratio; the colours of highlighted code are the theme's
  const view = doc.defaultView,
    seen = new Set();
  for (const n of texts(doc, doc.querySelector("main"))) {
    const o = n.parentElement;
    if (o.closest(".katex, .math, pre.sourceCode, script, style, svg") || !o.getClientRects().length)
      continue;
    const behind = ground(o, view),
      [dark, light] = [
        luminance(over(channels(view.getComputedStyle(o).color), behind)),
        luminance(behind),
      ].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05),
      kind = `${o.tagName} ${o.className} ${view.getComputedStyle(o).color} ${behind}`;
    if (ratio < 4.5 && !seen.has(kind)) {
      seen.add(kind);
      yield `contrast of ${ratio.toFixed(1)} (4.5 is wanted): <${o.tagName.toLowerCase()} class="${o.className}"> ${short(o)}`;
    }
  }
}

async function look() {
  const links = [];
  for (const page of PAGES)
    for (const [name, wide, theme, checks] of [
      ["desk", WIDTHS.desk, "light", [formulas, pictures, gaps, knobs, width, structure, contrast]],
      ["desk, dark", WIDTHS.desk, "dark", [contrast]],
      ["phone", WIDTHS.phone, "light", [formulas, width]],
    ]) {
      const frame = await load(page, wide, theme),
        doc = frame.contentDocument;
      (frame.contentWindow.problems ?? ["it has no <head>"]).forEach((o) => say(page, name, o));
      for (const check of checks) for (const what of check(doc, page)) say(page, name, what);
      if (name === "desk") {
        anchors[page] = new Set([...doc.querySelectorAll("[id]")].map((o) => o.id));
        for (const o of doc.links)
          if (o.origin === location.origin && !o.closest(".anchor-link, .anchorjs-link"))
            links.push([page, o.pathname, decodeURIComponent(o.hash.slice(1))]);
      }
      frame.remove();
    }
  const base = location.pathname.replace(/[^/]*$/, "");
  for (const [page, path, hash] of links) {
    const to = decodeURIComponent(path).startsWith(base)
      ? decodeURIComponent(path).slice(base.length) || "index.html"
      : path;
    if (!(to in anchors)) {
      if (!(await fetch(path, { method: "HEAD" })).ok) say(page, "link", path + " does not exist");
    } else if (hash && ![...anchors[to]].some((o) => o.toLowerCase() === hash.toLowerCase()))
      say(page, "link", `${to} has no #${hash}`);
  }
  return [...new Set(found)];
}
look()
  .catch((e) => ["the check itself: " + e.stack])
  .then((o) => fetch("report", { method: "POST", body: JSON.stringify(o) }));
