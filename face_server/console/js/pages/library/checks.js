// Looking through a group: for people who are in it twice, for faces that look like somebody else, for what a gate would refuse.

import * as api from "../../api.js";
import { count, number, percent, t } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { button, card, explain, note, table } from "../../ui/parts.js";
import { watch } from "../../ui/job.js";
import { thumbnail } from "../../ui/thumbnail.js";

export function checks({ app, group, signal, go }) {
  const place = h("div", { class: "stack tight" });
  const start = async (kind) => {
    try {
      const job = await watch(await api.post("jobs", { json: { kind, app, group, ...(kind === "duplicates" ? { score: 90 } : {}) } }), place, signal);
      if (job.state !== "done") return put(place, note(job.error ?? t("checks.ended", { state: job.state }), "warn"));
      return draw(kind, await api.get(`jobs/${job.id}/result`, { limit: 100 }, signal), job.rows);
    } catch (error) {
      return signal.aborted || put(place, note(explain(error), "bad"));
    }
  };

  function draw(kind, { columns, items }, rows) {
    if (kind === "gates") return put(place, refusals(items));
    if (!items.length) return put(place, note(t(`checks.no_${kind}`), "good"));
    const at = (name) => columns.indexOf(name);
    const person = (row, user, face) => h("button", { type: "button", class: "button plain", onclick: () => go(app, group, String(row[at(user)])) }, thumbnail(app, row[at(face)]), String(row[at(user)]));
    const scores = columns.filter((name) => name.endsWith("score"));
    return put(place, h("p", { class: "quiet small" }, t("checks.found", { n: count(rows ?? items.length) })),
      table([[t("library.user")], [t("checks.other")], ...scores.map((name) => [t(`checks.${name}`), "n"])],
        items.map((row) => [person(row, "user", "face_id"), person(row, "other_user", "other_face_id"), ...scores.map((name) => (row[at(name)] === null ? "–" : number(row[at(name)], 1)))])));
  }

  // Rows of gate, level, refused, judged, not_judged.
  const refusals = (items) => [table([[t("checks.gate")], [t("checks.level")], [t("checks.refused"), "n"]],
    items.map(([gate, level, refused, judged]) => [t(`${gate}.title`), level, judged ? `${count(refused)} (${percent(refused / judged, 1)})` : "–"])),
  items.length > 0 && h("p", { class: "quiet small" }, t("checks.judged", { n: count(items[0][3]), left: count(items[0][4]) }))];

  return card(t("checks.title"), h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("checks.text")),
    h("div", { class: "row" }, button(t("checks.duplicates"), { onclick: () => start("duplicates") }), button(t("checks.doubtful"), { onclick: () => start("doubtful") }),
      button(t("checks.gates"), { onclick: () => start("gates") })), place));
}
