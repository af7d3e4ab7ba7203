// Two pictures: how alike, what that means, and which gate would refuse which.

import * as api from "../api.js";
import { number, t } from "../i18n.js";
import { curve, strangersText } from "../ui/curve.js";
import { h, put } from "../ui/dom.js";
import { base64, drop } from "../ui/drop.js";
import { stages, verdicts } from "../ui/face.js";
import { card, empty, failed, head, note, skeleton, tag } from "../ui/parts.js";
import { chips, figure } from "../ui/picture.js";
import { snippets } from "../ui/snippets.js";

const SIDES = ["first", "second"];
const pictures = {};
const FROM = 80; // the score that stands for a false accept rate of 1e-4

export async function show(root, { signal }) {
  const about = await api.aboutServer();
  const places = {};
  const result = h("div", { class: "stack" });
  for (const side of SIDES) {
    const picture = h("div", {});
    const zone = drop({ title: t(`compare.${side}`), paste: false, signal, onpicture: (found) => { pictures[side] = found; placed(side); } });
    places[side] = { picture, zone, card: h("section", { class: "card stack", "aria-label": t(`compare.${side}`) }, zone, picture) };
  }
  // What is pasted goes where a picture is missing, else to the second place.
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData.files[0];
    if (file) places[pictures.first ? "second" : "first"].zone.show(file);
  }, { signal });
  put(root, head(t("compare.title"), t("compare.text")), h("div", { class: "halves" }, SIDES.map((side) => places[side].card)), result);
  for (const side of SIDES) if (pictures[side]) placed(side, false);
  if (SIDES.every((side) => pictures[side])) compare();
  else put(result, card(null, empty("compare", t("compare.empty"), t("compare.empty_text"))));

  function placed(side, now = true) {
    places[side].zone.classList.add("bar");
    put(places[side].picture, figure(pictures[side], []));
    if (now && SIDES.every((one) => pictures[one])) compare();
  }

  async function compare() {
    put(result, skeleton(300));
    try {
      const [first, second] = await Promise.all(SIDES.map((side) => base64(pictures[side].bytes)));
      const answer = await api.post("compare", { json: { first, second }, query: { max_faces: 20 }, signal });
      draw(answer);
    } catch (error) {
      if (!signal.aborted) put(result, error.code === "no_face" ? note(t("compare.no_face", { side: t(`compare.${error.parameter || "first"}`) }), "bad") : failed(error, compare));
    }
  }

  function draw(answer) {
    const chosen = { first: 0, second: 0 };
    const judged = h("div", { class: "stack" });
    const shown = {};
    for (const side of SIDES) {
      const { faces } = answer[side];
      const pick = (index) => { chosen[side] = index; shown[side].figure.choose(index); shown[side].chips.choose(index); judge(); };
      shown[side] = { figure: figure(pictures[side], faces, { onchoose: pick }), chips: chips(pictures[side], faces, pick) };
      put(places[side].picture, h("div", { class: "stack tight" }, shown[side].figure, faces.length > 1 ? shown[side].chips : null));
    }
    const judge = () => put(judged, verdict(answer, chosen), gates(answer, chosen));
    judge();
    put(result, judged, stages(answer), snippets("compare", { first: pictures.first.bytes, second: pictures.second.bytes }));
  }

  function verdict(answer, chosen) {
    const score = answer.scores[chosen.first][chosen.second];
    const cosine = answer.cosines[chosen.first][chosen.second];
    const { calibration } = about.pack;
    return card(t("compare.score"), h("div", { class: "stack" },
      h("div", { class: "verdict" },
        h("div", {}, h("div", { class: "big" }, number(score, 1)), h("span", { class: "quiet small" }, `${t("compare.cosine")} ${number(cosine, 4)}`)),
        h("div", { class: "stack tight" }, h("div", {}, tag(t(score >= FROM ? "compare.same" : "compare.different"), score >= FROM ? "good" : "warn")),
          calibration && h("p", { class: "strangers" }, strangersText(calibration, score)))),
      calibration && curve(calibration, score),
      calibration && h("p", { class: "quiet small" }, t("curve.text"))));
  }

  function gates(answer, chosen) {
    return h("div", { class: "halves" }, SIDES.map((side) => {
    const face = answer[side].faces[chosen[side]];
    return card(t(`compare.gates_${side}`), h("div", { class: "stack" },
      h("div", { class: "stack tight" }, h("h3", {}, t("quality.title")), verdicts(face.gates.quality)),
      face.liveness === null ? null : h("div", { class: "stack tight" }, h("h3", {}, t("liveness.title")), verdicts(face.gates.liveness))));
    }));
  }
}
