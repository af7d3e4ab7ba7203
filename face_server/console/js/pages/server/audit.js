// The audit log: who changed what, when, and from where.

import * as api from "../../api.js";
import { t, time } from "../../i18n.js";
import { h, newId, put } from "../../ui/dom.js";
import { button, card, explain, field, note, skeleton, table, tag } from "../../ui/parts.js";

const LINES = 10; // of a page

// `tell` shows the story of a request.
export function audit(signal, tell) {
  const known = h("datalist", { id: newId("apps") });
  const list = h("div", {}, skeleton(120));
  const more = h("div", { class: "row" });
  let app = "";
  let rows = [];
  let asked = 0; // an answer for an app that is no longer chosen comes too late

  async function read(cursor = null) {
    const mine = ++asked;
    try {
      const found = await api.get("audit", { app, cursor, limit: LINES }, signal);
      if (mine === asked) draw(cursor ? [...rows, ...found.items] : found.items, found.next);
    } catch (error) {
      if (mine === asked && !signal.aborted) put(list, note(explain(error), "bad"));
    }
  }
  function draw(items, next) {
    rows = items;
    put(list, rows.length ? table([[t("audit.who")], [t("audit.what")]], rows.map((one) => line(one, tell))) : h("p", { class: "quiet" }, t("audit.none")));
    put(more, next && button(t("more"), { onclick: () => read(next) }));
  }
  async function choices() {
    const { items } = await api.get("apps", { limit: 200 }, signal);
    put(known, items.map((one) => h("option", { value: one.app })));
  }
  // Free text, because apps that are gone still have lines.
  const filter = h("input", { class: "input", type: "search", list: known.id, placeholder: t("audit.all_apps"), onchange: () => ((app = filter.value.trim()), read()) });
  choices().catch((error) => !signal.aborted && put(list, note(explain(error), "bad")));
  read();
  return card(t("audit.title"), h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("audit.text")), h("div", {}, field(t("audit.app"), filter), known), list, more));
}

function line(one, tell) {
  const about = Object.entries(one.target).map(([name, value]) => `${name}: ${value}`).join(", ");
  return [
    h("div", {}, one.name || one.role, h("div", { class: "quiet small" }, [one.name && one.role, one.source].filter(Boolean).join(" · ")), h("div", { class: "quiet small" }, time(one.time))),
    h("div", {}, one.action, " ", one.outcome !== "ok" && tag(one.outcome, "warn"), h("div", { class: "quiet small", style: { "overflow-wrap": "anywhere" } }, about),
      one.log_id > 0 && button(String(one.log_id), { class: "little mono", onclick: () => tell(one.log_id) })),
  ];
}
