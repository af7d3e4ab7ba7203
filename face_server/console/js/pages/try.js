// One picture and everything this server can tell about it.

import * as api from "../api.js";
import { count, t } from "../i18n.js";
import { h, put } from "../ui/dom.js";
import { drop } from "../ui/drop.js";
import { angles, attributes, liveness, quality, stages } from "../ui/face.js";
import { card, empty, explain, head, note, skeleton } from "../ui/parts.js";
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
      const answer = await api.post("look", { body: picture.bytes, query: { max_faces: 100, parsing: true }, signal });
      last = { picture, answer };
      draw(result, picture, answer, about);
    } catch (error) {
      if (!signal.aborted) put(result, note(explain(error), "bad"));
    }
  }
}

function draw(result, picture, answer, about) {
  const { faces } = answer;
  const shown = figure(picture, faces, { onchoose: choose });
  const row = chips(picture, faces, choose);
  const detail = h("div", { class: "stack" });
  if (answer.parsing) shown.parts(answer.parsing);
  put(result,
    h("div", { class: "columns" },
      h("div", { class: "stack" },
        card(null, h("div", { class: "stack" }, shown, faces.length > 1 ? row : null,
          h("div", { class: "row spread" }, h("b", {}, t(faces.length === 1 ? "try.one_face" : "try.faces", { n: count(faces.length) })), switches(shown, answer)),
          answer.parsing && legend(answer.parsing))),
        stages(answer)),
      detail),
    snippets("look", { photo: picture.bytes }));

  function choose(index) {
    const face = faces[index];
    shown.choose(index);
    row.choose(index);
    put(detail, quality(face, about.gates), liveness(face, about.gates), attributes(face), angles(face));
  }
  if (faces.length) choose(0);
  else put(detail, card(null, empty("try", t("try.none"), t("try.none_text"))));
}

function switches(shown, answer) {
  const one = (what, on) => {
    const input = h("input", { type: "checkbox", checked: on, onchange: () => shown.toggle(what, input.checked) });
    return h("label", { class: "check" }, input, t(`try.${what}`));
  };
  return h("div", { class: "row" }, one("boxes", true), one("points", false), one("pose", false), answer.parsing && one("parsing", false));
}

const legend = (parsing) =>
  h("details", { class: "small" }, h("summary", { class: "quiet" }, t("try.parts")), h("div", { class: "legend" },
    parsing.labels.map((label, index) => index > 0 && h("span", {}, h("i", { style: { background: partColour(index) } }), t(`class.${label}`) === `class.${label}` ? label : t(`class.${label}`)))));
