// Small plots of the last minutes, and where their values are kept.

import { h, setText, svg } from "./dom.js";

/** For how many seconds values are kept. */
export const WINDOW = 300;
const WIDTH = 300, HEIGHT = 64, FLOOR = 62, TOP = 6;

/** Values over time. Where none came for a while, a plot has a gap. */
export class Series {
  constructor() {
    this.points = [];
  }

  add(at, value) {
    const { points } = this;
    points.push([at, value]);
    while (points.length && points[0][0] < at - WINDOW) points.shift();
  }

  get last() {
    return this.points.at(-1)?.[1];
  }
}

/**
 * A plot of one or two series with its title and last values.
 *
 * @param {string} title What is shown.
 * @param {Array} lines For each line its name, its `Series` and, as a class, its colour.
 * @param {function} format How a value is written.
 * @param {number} least The smallest top of the scale.
 */
export class Plot {
  constructor(title, lines, format, least) {
    this._lines = lines;
    this._format = format;
    this._least = least;
    this._paths = lines.map(([, , kind]) => [svg("path", { class: `area ${kind}` }), svg("path", { class: `line ${kind}` })]);
    this._values = lines.map(([name, , kind]) => [h("b", {}), h(`span.key.${kind}`, {}, name)]);
    this._top = h("span.top", {});
    this._at = h("span.at", {});
    this._cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT, hidden: true });
    this._hover = null;
    this._picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title} since the page was opened, for 5 minutes at most` },
      svg("line", { class: "floor", x1: 0, x2: WIDTH, y1: FLOOR, y2: FLOOR }),
      this._paths.flat(),
      this._cross,
    );
    this._picture.addEventListener("pointermove", (event) => this._point(event));
    this._picture.addEventListener("pointerleave", () => this._leave());
    const values = h("p.values", {}, this._values.map(([value, name]) => h("span", {}, name, value)));
    this.element = h(
      "figure.plot.card",
      {},
      h("figcaption", {}, h("h3", {}, title), values),
      h("div.picture", {}, this._top, this._picture),
      h("p.axis", { "aria-hidden": "true" }, h("span", {}, "−5 min"), this._at, h("span", {}, "now")),
    );
  }

  /** Draws what has come meanwhile. */
  draw(now) {
    this._now = now;
    const start = now - WINDOW;
    let top = this._least;
    for (const [, series] of this._lines) for (const [, value] of series.points) if (value > top) top = value;
    this._scale = top = nice(top);
    setText(this._top, this._format(top));
    this._lines.forEach(([, series], index) => {
      const [area, line] = this._paths[index];
      const runs = runsOf(series.points, start, top);
      line.setAttribute("d", runs.map((run) => `M${run.map((point) => point.join(" ")).join("L")}`).join(""));
      area.setAttribute("d", runs.map((run) => `M${run[0][0]} ${FLOOR}L${run.map((point) => point.join(" ")).join("L")}L${run.at(-1)[0]} ${FLOOR}Z`).join(""));
    });
    this._tell();
  }

  _tell() {
    const at = this._hover === null ? null : this._now - WINDOW + this._hover * WINDOW;
    this._lines.forEach(([, series], index) => {
      const value = at === null ? series.last : nearest(series.points, at);
      setText(this._values[index][0], value === undefined ? "–" : this._format(value));
    });
    setText(this._at, at === null ? "" : `${Math.round(this._now - at)} s ago`);
  }

  _point(event) {
    const box = this._picture.getBoundingClientRect();
    this._hover = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    for (const name of ["x1", "x2"]) this._cross.setAttribute(name, this._hover * WIDTH);
    this._cross.removeAttribute("hidden");
    this._tell();
  }

  _leave() {
    this._hover = null;
    this._cross.setAttribute("hidden", "");
    this._tell();
  }
}

/** The runs of points without a gap, as places in the picture. */
function runsOf(points, start, top) {
  const runs = [];
  let before = -Infinity;
  for (const [at, value] of points) {
    if (at - before > 6) runs.push([]);
    before = at;
    const x = ((at - start) / WINDOW) * WIDTH;
    runs.at(-1).push([x.toFixed(1), (FLOOR - (Math.max(0, value) / top) * (FLOOR - TOP)).toFixed(1)]);
  }
  return runs;
}

function nearest(points, at) {
  let found, distance = 4;
  for (const [time, value] of points) {
    if (Math.abs(time - at) < distance) [found, distance] = [value, Math.abs(time - at)];
  }
  return found;
}

/** A round number that is not smaller: 1, 2 or 5 times a power of ten. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value * 0.999) * power;
}
