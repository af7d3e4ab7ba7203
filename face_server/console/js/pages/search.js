// One picture with many faces: who is each, and what a threshold changes.

import * as api from "../api.js";
import { count, number, t } from "../i18n.js";
import { strangersText } from "../ui/curve.js";
import { h, put } from "../ui/dom.js";
import { drop } from "../ui/drop.js";
import { stages } from "../ui/face.js";
import { button, card, empty, failed, field, head, select, skeleton, tag } from "../ui/parts.js";
import { crop, figure } from "../ui/picture.js";
import { thumbnail } from "../ui/thumbnail.js";

const kept = { app: "default", group: "", threshold: 80, picture: null };

export async function show(root, { signal }) {
  const [about, apps] = await Promise.all([api.aboutServer(), api.all("apps", {})]);
  const names = apps.map(({ app }) => app);
  if (!names.includes(kept.app)) kept.app = names[0] ?? "default";
  const result = h("div", { class: "stack" });
  const groupPlace = h("div", {});
  const zone = drop({ title: t("search.drop"), signal, onpicture: (picture) => { kept.picture = picture; search(); } });
  const again = () => kept.picture && search();
  put(root, head(t("search.title"), t("search.text")),
    h("div", { class: "row" }, field(t("library.app"), select(t("library.app"), names.map((name) => [name, name]), kept.app, (app) => { kept.app = app; kept.group = ""; groups().then(again); })), groupPlace),
    zone, result);
  await groups();
  if (kept.picture) { zone.classList.add("bar"); search(); }

  async function groups() {
    const found = (await api.all("groups", { app: kept.app })).filter(({ deletion }) => !deletion);
    if (!found.some(({ group }) => group === kept.group)) kept.group = "";
    put(groupPlace, field(t("library.group"), select(t("library.group"), [["", t("search.every_group")], ...found.map(({ group, users }) => [group, `${group} (${count(users)})`])], kept.group, (group) => { kept.group = group; again(); })));
    if (!found.length && !kept.picture) put(result, card(null, empty("library", t("search.no_people"), t("search.no_people_text"), h("a", { class: "button primary", href: "#library" }, t("search.to_library")))));
  }

  async function search() {
    put(result, h("div", { class: "columns" }, skeleton(420), skeleton(420)));
    try {
      const query = { app: kept.app, group: kept.group, max_faces: 100, candidates: 3, threshold: 0 };
      draw(await api.post("search", { body: kept.picture.bytes, query, signal }));
    } catch (error) {
      if (!signal.aborted) put(result, failed(error, search));
    }
  }

  function draw(answer) {
    if (!answer.faces.length) return put(result, card(null, figure(kept.picture, [])), card(null, empty("search", t("try.none"), t("try.none_text"))));
    const shown = figure(kept.picture, []);
    const people = answer.faces.map(person);
    const summary = h("div", { class: "row" });
    put(result, card(t("search.threshold"), h("div", { class: "stack" }, slider(judge), summary)),
      h("div", { class: "columns" }, h("div", { class: "stack sticky" }, card(null, shown), stages(answer)), card(t("search.people"), h("div", {}, people.map(({ node }) => node)))));
    judge();

    function judge() {
      const known = answer.faces.filter(({ candidates }) => candidates[0]?.score >= kept.threshold).length;
      shown.redraw(answer.faces.map(({ face, candidates }) => {
        const best = candidates[0]?.score >= kept.threshold ? candidates[0] : null;
        return { ...face, label: best ? best.info || best.user : "", tone: best ? "good" : "" };
      }));
      people.forEach(({ update }) => update());
      put(summary, tag(t("search.known", { n: count(known) }), "good", "check"), tag(t("search.unknown", { n: count(answer.faces.length - known) })));
    }
    return undefined;
  }

  function person({ face, candidates }, index) {
    const list = h("div", { class: "candidates" });
    const title = h("b", {});
    const update = () => {
      const best = candidates[0]?.score >= kept.threshold;
      title.textContent = best ? candidates[0].info || candidates[0].user : t("search.nobody");
      put(list, candidates.length ? candidates.map((one, place) => candidate(one, place, best)) : h("p", { class: "quiet small" }, t("search.no_candidates")));
    };
    return { update, node: h("div", { class: "person", role: "group", "aria-label": t("picture.face_n", { n: index + 1 }) }, h("div", {}, crop(kept.picture, face.box)), h("div", { class: "stack tight" }, title, list)) };
  }

  function candidate(one, place, best) {
    return h("div", { class: `candidate ${one.score < kept.threshold ? "below" : place === 0 && best ? "first" : ""}` },
    thumbnail(kept.app, one.face_id),
    h("div", { class: "name" }, one.info || one.user, h("span", { class: "quiet small" }, one.info ? ` ${one.group} / ${one.user}` : ` ${one.group}`)),
    h("b", {}, number(one.score, 1)));
  }

  function slider(changed) {
    const { calibration } = about.pack;
    const value = h("b", {});
    const rate = h("p", { class: "quiet small" });
    const tell = () => {
      value.textContent = number(kept.threshold);
      rate.textContent = calibration ? strangersText(calibration, kept.threshold) : "";
    };
    const input = h("input", { type: "range", min: 0, max: 100, step: 1, value: kept.threshold, "aria-label": t("search.threshold"), oninput: () => { kept.threshold = Number(input.value); tell(); changed(); } });
    tell();
    const quick = calibration?.far.map(({ rate: far, score }) => button(`${number(score)} · ${t("search.far")} ${far}`, { class: "little", onclick: () => { input.value = score; input.dispatchEvent(new Event("input")); } })) ?? [];
    return h("div", { class: "stack tight" }, h("div", { class: "slider" }, input, value), rate, h("div", { class: "row" }, quick));
  }
}
