// Score against the share of strangers who reach it, from the calibration of the pack.

import { oneIn, t } from "../i18n.js";
import { s } from "./dom.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [250, 76, 16, 30, 34];

// The points that were measured, as [score, exponent of the rate], from everybody (score 0) on.
function measured(calibration) {
  const points = calibration.far.filter(({ rate }) => rate > 0).map(({ score, rate }) => [score, Math.log10(rate)]).sort((a, b) => a[0] - b[0]);
  return [[0, 0], ...points];
}

// The share of strangers at a score: between measured points the exponent is taken as linear; beyond the last one only a bound is known.
export function strangers(calibration, score) {
  const points = measured(calibration);
  const above = points.findIndex(([at]) => at >= score);
  if (above === 0) return { share: 1, bound: false };
  if (above < 0) return { share: 10 ** points.at(-1)[1], bound: true };
  const [[from, low], [to, high]] = [points[above - 1], points[above]];
  return { share: 10 ** (low + ((score - from) / (to - from)) * (high - low)), bound: false };
}

export function strangersText(calibration, score) {
  const { share, bound } = strangers(calibration, score);
  return t(bound ? "curve.fewer_than" : "curve.about", { share: oneIn(share) });
}

// Drawn for both widths, so that its letters keep their size on a phone; the page shows the one that fits.
export const curve = (calibration, score) => [drawn(calibration, score, 640, "wide"), drawn(calibration, score, 330, "small")];

function drawn(calibration, score, width, kind) {
  const points = measured(calibration);
  const lowest = points.at(-1)[1];
  const x = (value) => LEFT + (value / 100) * (width - LEFT - RIGHT);
  const y = (exponent) => TOP + (exponent / lowest) * (HEIGHT - TOP - BOTTOM);
  const line = points.map(([at, exponent], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(exponent).toFixed(1)}`).join("");
  const end = x(points.at(-1)[0]);
  const here = Math.log10(strangers(calibration, score).share);
  const right = score < 75;
  return s("svg", { class: `curve ${kind}`, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": t("curve.label", { score: score.toFixed(1), strangers: strangersText(calibration, score) }) },
    points.slice(1).map(([, exponent]) => [
      s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(exponent), y2: y(exponent) }),
      s("text", { x: LEFT - 8, y: y(exponent) + 4, "text-anchor": "end" }, oneIn(10 ** exponent)),
    ]),
    s("text", { x: LEFT - 8, y: y(0) + 4, "text-anchor": "end" }, oneIn(1)),
    [0, 20, 40, 60, 80, 100].map((value) => s("text", { x: x(value), y: HEIGHT - 12, "text-anchor": "middle" }, String(value))),
    s("path", { class: "area", d: `${line}L${end} ${HEIGHT - BOTTOM}L${LEFT} ${HEIGHT - BOTTOM}Z` }),
    s("path", { class: "line", d: line }),
    s("line", { class: "here", x1: x(score), x2: x(score), y1: TOP - 8, y2: HEIGHT - BOTTOM }),
    s("circle", { class: "spot", cx: x(score), cy: y(here), r: 7 }),
    s("text", { class: "strong", x: x(score) + (right ? 9 : -9), y: TOP - 12, "text-anchor": right ? "start" : "end" }, score.toFixed(1)));
}
