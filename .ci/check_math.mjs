// Reads [{tex, display}] from stdin as JSON; writes the list of [index, error] of those that KaTeX cannot set.
import katex from "katex";
import { readFileSync } from "fs";

// Anything KaTeX only warns of (an unknown symbol, a comment) is an error here; a plain line break in display mode is not.
const strict = code => code === "newLineInDisplayMode" ? "ignore" : "error";
const errors = JSON.parse(readFileSync(0, "utf8")).flatMap(({ tex, display }, i) => {
  try { katex.renderToString(tex, { displayMode: display, throwOnError: true, strict }); return []; }
  catch (e) { return [[i, e.message]]; }
});
console.log(JSON.stringify(errors));
