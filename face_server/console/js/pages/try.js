// One picture and everything this server can tell about it.

import * as api from "../api.js";
import { count, t } from "../i18n.js";
import { h, put } from "../ui/dom.js";
import { drop } from "../ui/drop.js";
import { angles, attributes, liveness, quality, stages } from "../ui/face.js";
import { card, empty, failed, head, skeleton } from "../ui/parts.js";
import { chips, figure, partColour } from "../ui/picture.js";
import { snippets } from "../ui/snippets.js";

let last = null; // the picture shown before, for whoever comes back to this page

export async function show(root, { signal }) {
  const about = await api.aboutServer();
  const result = h("div", { class: "stack" });
  const zone = drop({ title: t("try.drop"), signal, onpicture: (picture) => look(picture) });
  put(root, head(t("try.title"), t("try.text")), zone, result);
  if (last) {
    zone.classList.add("bar");
    draw(result, last.picture, last.answer, about);
  }

  async function look(picture) {
    put(result, h("div", { class: "columns" }, skeleton(420), skeleton(420)));
    try {
      const answer = await api.post("look", { body: picture.bytes, query: { max_faces: 100 }, signal });
      last = { picture, answer };
      draw(result, picture, answer, about);
    } catch (error) {
      if (!signal.aborted) put(result, failed(error, () => look(picture)));
    }
  }
}

function draw(result, picture, answer, about) {
  const { faces } = answer;
  const shown = figure(picture, faces, { onchoose: choose });
  const row = chips(picture, faces, choose);
  const detail = h("div", { class: "stack" });
  const more = h("div", { class: "stack" });
  put(result,
    h("div", { class: "columns" },
      h("div", { class: "stack" },
        card(null, h("div", { class: "stack" }, shown, faces.length > 1 ? row : null,
          h("div", { class: "row spread" }, h("b", {}, t(faces.length === 1 ? "try.one_face" : "try.faces", { n: count(faces.length) })), faces.length ? switches(shown, picture, about) : null))),
        stages(answer), more),
      detail),
    snippets("look", { photo: picture.bytes }));

  function choose(index) {
    const face = faces[index];
    shown.choose(index);
    row.choose(index);
    put(more, attributes(face));
    put(detail, quality(face, about.gates), liveness(face, about.gates), angles(face));
  }
  if (faces.length) choose(0);
  else put(detail, card(null, empty("try", t("try.none"), t("try.none_text"))));
}

function switches(shown, picture, about) {
  const colours = h("div", {});
  const one = (what, on, changed = shown.toggle) => {
    const input = h("input", { type: "checkbox", checked: on, onchange: () => changed(what, input.checked) });
    return h("label", { class: "check" }, input, t(`try.${what}`));
  };
  let asked = null; // the parts of every face are a picture each: only fetched when somebody wants to see them
  const parts = async (what, on) => {
    asked ??= api.post("look", { body: picture.bytes, query: { max_faces: 20, parsing: true } });
    const found = (await asked).faces.map(({ parsing }) => parsing).filter(Boolean);
    await shown.parts(found);
    shown.toggle(what, on);
    put(colours, on && found.length ? legend(found[0].labels) : null);
  };
  return h("div", { class: "stack tight" }, h("div", { class: "row" }, one("boxes", true), one("points", false), one("pose", false), about.pack.capabilities.includes("parsing") && one("parsing", false, parts)), colours);
}

const legend = (labels) =>
  h("div", { class: "legend" }, labels.map((label, index) => index > 0 && h("span", {}, h("i", { style: { background: partColour(index) } }), t(`class.${label}`) === `class.${label}` ? label : t(`class.${label}`))));
