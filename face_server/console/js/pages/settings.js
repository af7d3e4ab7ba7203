// Keys of the apps, the gates and thresholds, the installed pack, and every setting as it is now.

import { may } from "../account.js";
import * as api from "../api.js";
import { number, t, time } from "../i18n.js";
import { h, put } from "../ui/dom.js";
import { button, card, code, complain, confirm, dialog, empty, explain, facts, field, head, note, skeleton, table, tag } from "../ui/parts.js";
import { accuracy } from "./server.js";
import { gates } from "./settings/gates.js";
import { packs } from "./settings/packs.js";

export async function show(root, { signal }) {
  const about = await api.aboutServer();
  const keys = h("div", {}, skeleton(120));
  const all = h("div", {}, skeleton(200));
  put(root, head(t("settings.title"), t("settings.text")),
    may("admin") && card(t("keys.title"), keys),
    h("div", { class: "halves" }, h("div", { class: "stack" }, gates(signal, rejects(about)), card(t("accuracy.title"), accuracy(about.pack))), pack(about)),
    packs(signal),
    card(t("settings.all"), all));
  if (may("admin")) showKeys(keys, signal);
  const { items } = await api.get("settings", {}, signal);
  settings(all, items);
}

async function showKeys(place, signal) {
  try {
    const found = await api.all("keys", {});
    const rows = found.map((one) => [h("span", { class: "mono" }, one.key), one.app, h("span", { class: "quiet small" }, time(one.created)),
      h("div", { class: "row" }, button(t("keys.rotate"), { class: "little", onclick: () => rotate(one) }, "refresh"), button(t("delete"), { class: "little danger", onclick: () => drop(one) }))]);
    put(place, h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("keys.text")),
      rows.length ? table([[t("keys.key")], [t("library.app")], [t("keys.created")], [""]], rows) : empty("settings", t("keys.none"), t("keys.none_text")),
      h("div", {}, button(t("keys.new"), { onclick: create }, "plus"))));
  } catch (error) {
    if (!signal.aborted) put(place, note(error.code === "not_available" ? t("keys.not_available") : explain(error)));
  }

  async function create() {
    const app = h("input", { class: "input", required: true, value: "default" });
    const name = await dialog(t("keys.new"), (close) => h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); close(app.value.trim()); } }, field(t("library.app"), app),
      h("div", { class: "actions" }, button(t("cancel"), { onclick: () => close() }), h("button", { class: "button primary", type: "submit" }, t("library.create")))));
    if (name) await act(() => api.post("keys", { json: { app: name } }));
  }
  async function rotate(one) {
    if (await confirm(t("keys.rotate"), t("keys.rotate_text", { key: one.key }), t("keys.rotate"))) await act(() => api.post("keys/rotate", { json: { key: one.key, overlap_hours: 24 } }));
  }
  async function drop(one) {
    if (await confirm(t("keys.delete"), t("keys.delete_text", { key: one.key, app: one.app }), t("delete"))) await act(() => api.remove("keys", { key: one.key }));
  }
  async function act(work) {
    try {
      const made = await work();
      if (made?.secret) await once(made);
      await showKeys(place, signal);
    } catch (error) {
      complain(error);
    }
  }
}

const once = (made) => dialog(t("keys.once"), (close) => [
  note(t("keys.once_text"), "warn"),
  h("div", { class: "stack tight" }, h("h3", {}, t("keys.key")), code(made.key), h("h3", {}, t("keys.secret")), code(made.secret)),
  h("div", { class: "actions" }, button(t("keys.kept"), { class: "primary", onclick: () => close() })),
]);

const rejects = ({ false_rejects: found }) => facts(Object.entries(found).map(([name, value]) => [`${t("liveness.title")}: ${refusing(name)}`, `≥ ${value}`]));

// "frr_1e-4" is the limit that refuses one real face in ten thousand.
function refusing(name) {
  const share = Number(name.replace("frr_", ""));
  return share > 0 ? t("liveness.frr", { n: t("one_in", { n: number(Math.round(1 / share)) }) }) : name;
}

function pack({ pack: found }) {
  return card(t("settings.pack"), h("div", { class: "stack" },
    facts([[t("pack.name"), `${found.name} ${found.version}`], [t("pack.licence"), found.licence], [t("pack.dimensions"), found.dimensions ? number(found.dimensions) : null], [t("pack.source"), found.source]]),
    found.notice ? note(found.notice) : null,
    table([[t("pack.role")], [t("pack.files")], [t("pack.licence")]], found.roles.map((one) => [one.name, h("span", { class: "mono" }, one.files.join(", ")), one.licence]))));
}

function settings(place, items) {
  const list = h("div", {});
  const changed = (one) => JSON.stringify(one.value) !== JSON.stringify(one.default);
  const shown = (value) => (value === null || value === "" ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const search = h("input", { class: "input", type: "search", placeholder: t("settings.find"), "aria-label": t("settings.find"), oninput: () => draw(search.value.trim().toLowerCase()) });
  const draw = (word) => put(list, table([[t("settings.variable")], [t("settings.value")], [t("settings.default"), "wide"]],
    items.filter((one) => one.name.includes(word) || one.variable.toLowerCase().includes(word)).map((one) => [h("span", { class: "mono" }, one.variable), changed(one) ? tag(shown(one.value), "accent") : shown(one.value), h("span", { class: "quiet" }, shown(one.default))])));
  draw("");
  put(place, h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("settings.all_text")), search, list));
}
