// A picture with what was found in it: boxes, points, axes of the head, parts of the face.

import { t } from "../i18n.js";
import { h, s } from "./dom.js";

// Colours of the parsing classes, by number; the first is the background and stays clear.
const PARTS = [null, [255, 205, 148], [120, 90, 60], [80, 160, 255], [255, 140, 80], [230, 70, 100], [150, 90, 220], [60, 220, 200], [250, 220, 60], [120, 200, 90]];
export const partColour = (index) => { const colour = PARTS[index % PARTS.length]; return colour ? `rgb(${colour.join(" ")})` : "transparent"; };

export function figure(picture, faces, { onchoose, label, shows = { boxes: true } } = {}) {
  const over = s("svg", { class: "over", viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" });
  const canvas = h("canvas", { class: "over", hidden: true });
  const node = h("div", { class: "figure" }, h("div", { class: "fit" }, h("img", { src: picture.url, alt: label ?? t("picture.alt", { n: faces.length }) }), canvas, over));
  let chosen = 0;
  const unit = Math.max(picture.width, picture.height) / 700; // one pixel of a picture as wide as the page shows it

  function draw() {
    over.replaceChildren(...faces.flatMap((face, index) => [
      shows.points && points(face, unit),
      shows.pose && face.pose && axes(face),
      shows.boxes && box(face, index),
      face.label && name(face, unit),
    ].filter(Boolean)));
  }
  const box = (face, index) => s("rect", {
    x: face.box.left, y: face.box.top, width: face.box.width, height: face.box.height, rx: face.box.width * 0.06,
    class: `box ${index === chosen && onchoose ? "chosen" : ""} ${face.tone ?? ""}`, onclick: onchoose ? () => onchoose(index) : null,
  });
  node.choose = (index) => ((chosen = index), draw());
  node.toggle = (what, on) => { shows[what] = on; if (what === "parsing") canvas.hidden = !on; draw(); };
  node.parts = (maps) => paint(canvas, maps);
  node.redraw = (next) => ((faces = next), draw());
  draw();
  return node;
}

function points(face, unit) {
  const found = face.landmarks?.p106 ?? face.landmarks?.p72 ?? face.landmarks?.p68 ?? face.points ?? [];
  return s("g", { class: "point", "stroke-width": unit * 0.4 }, found.map(({ x, y }) => s("circle", { cx: x, cy: y, r: Math.max(unit * 1.2, face.box.width / 90) })));
}

// The three axes of the head, as a viewer sees them.
function axes({ box, pose }) {
  const [yaw, pitch, roll] = [pose.yaw, -pose.pitch, pose.roll].map((degrees) => (degrees * Math.PI) / 180);
  const length = box.width * 0.55;
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const turn = (a, b) => [a * Math.cos(roll) - b * Math.sin(roll), a * Math.sin(roll) + b * Math.cos(roll)];
  const ends = {
    x: turn(Math.cos(yaw), Math.sin(yaw) * Math.sin(pitch)),
    y: turn(0, -Math.cos(pitch)),
    z: turn(Math.sin(yaw), -Math.sin(pitch) * Math.cos(yaw)),
  };
  return s("g", {}, Object.entries(ends).map(([axis, [dx, dy]]) => s("line", { class: `axis ${axis}`, x1: x, y1: y, x2: x + dx * length, y2: y + dy * length })));
}

function name(face, unit) {
  const size = Math.max(13 * unit, Math.min(face.box.width / 5, 22 * unit));
  return s("text", { class: "label", x: face.box.left, y: Math.max(face.box.top - size * 0.4, size), "font-size": size, "stroke-width": size / 5 }, face.label);
}

// Each face has a map of the whole picture; they are laid over one another.
async function paint(canvas, maps) {
  for (const [index, map] of maps.entries()) {
    const image = new Image();
    image.src = `data:image/png;base64,${map.png}`;
    await image.decode();
    const layer = h("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    colour(layer.getContext("2d", { willReadFrequently: true }), image);
    if (!index) [canvas.width, canvas.height] = [layer.width, layer.height];
    canvas.getContext("2d").drawImage(layer, 0, 0);
  }
}

function colour(context, image) {
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const found = data[at] ? PARTS[data[at] % PARTS.length] ?? PARTS[1] : null;
    data[at + 3] = found ? 255 : 0;
    if (found) [data[at], data[at + 1], data[at + 2]] = found;
  }
  context.putImageData(pixels, 0, 0);
}

// A face cut out of its picture, with some room around it.
export function crop(picture, box, size = 120) {
  const canvas = h("canvas", { class: "crop", width: size, height: size, "aria-hidden": "true" });
  const side = Math.max(box.width, box.height) * 1.35;
  canvas.getContext("2d").drawImage(picture.image, box.left + box.width / 2 - side / 2, box.top + box.height / 2 - side / 2, side, side, 0, 0, size, size);
  return canvas;
}

// A row of the faces of a picture, as buttons.
export function chips(picture, faces, onchoose) {
  const row = h("div", { class: "faces", role: "group", "aria-label": t("picture.faces") }, faces.map((face, index) =>
    h("button", { type: "button", class: "face-chip", "aria-label": t("picture.face_n", { n: index + 1 }), onclick: () => onchoose(index) }, crop(picture, face.box))));
  row.choose = (chosen) => [...row.children].forEach((chip, index) => chip.setAttribute("aria-pressed", String(index === chosen)));
  row.choose(0);
  return row;
}
