// The gates and scores of one app: what they would have done to the faces that are enrolled is shown before they change.

import { may } from "../../account.js";
import * as api from "../../api.js";
import { count, percent, t } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { LEVELS } from "../../ui/face.js";
import { watch } from "../../ui/job.js";
import { button, card, complain, confirm, explain, field, note, say, select, skeleton, table } from "../../ui/parts.js";

const MEASURES = [["occlusion", "≤"], ["blur", "≤"], ["illumination", "≥"], ["completeness", "≥"], ["liveness", "≥"]];
const SCORES = ["search", "compare"];

export function gates(signal, ...below) {
  const place = h("div", { class: "stack" }, skeleton(200));
  fill(place, signal);
  return card(t("settings.gates"), h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("settings.gates_text")), place, ...below));
}

async function fill(place, signal) {
  try {
    const apps = (await api.all("apps", {})).map(({ app }) => app);
    const body = h("div", { class: "stack" }, skeleton(200));
    const choose = (app) => show(body, app, signal);
    const first = apps.includes("default") ? "default" : apps[0];
    put(place, field(t("library.app"), select(t("library.app"), apps.map((app) => [app, app]), first, choose)), body);
    await choose(first);
  } catch (error) {
    if (!signal.aborted) put(place, note(explain(error), "bad"));
  }
}

async function show(body, app, signal) {
  const query = { app };
  draw(await api.get("gates", query, signal));

  function draw({ limits }) {
    const known = Object.fromEntries(limits.map((one) => [one.name, one]));
    const below = h("div", { class: "stack tight", "aria-live": "polite" });
    const fields = {};
    const cell = (name, label) => (may("admin") ? (fields[name] = input(known[name], label, () => put(below))) : said(known[name]));
    const title = (name) => t(name === "liveness" ? "liveness.title" : `quality.${name}`);
    const rows = MEASURES.map(([name, sign]) => [`${title(name)} ${sign}`, ...LEVELS.map((level) => cell(`${level.toLowerCase()}.${name}`, `${title(name)}, ${level}`))]);
    const scores = SCORES.map((name) => [t(`gates.${name}`), cell(`threshold.${name}`, t(`gates.${name}`))]);
    put(body, table([[t("checks.gate")], ...LEVELS.map((level) => [level, "n"])], rows),
      table([[t("gates.score")], ["≥", "n"]], scores), h("p", { class: "quiet small" }, t("gates.score_text")),
      may("admin") && h("div", { class: "row" }, button(t("gates.try"), { class: "primary", onclick: () => Object.values(fields).every((node) => node.reportValidity()) && attempt(proposed(fields), below) }),
        limits.some((one) => one.own) && button(t("gates.reset"), { onclick: reset })), below);
  }

  async function attempt(own, place) {
    try {
      const job = await watch(await api.post("jobs", { json: { kind: "gates", app, own } }), place, signal);
      const found = job.state === "done" ? refusals(await api.get(`jobs/${job.id}/result`, {}, signal)) : note(job.error ?? t("checks.ended", { state: job.state }), "warn");
      put(place, found, h("div", { class: "row" }, button(t("save"), { class: "primary", onclick: () => save(own) }), button(t("cancel"), { onclick: () => put(place) })));
    } catch (error) {
      if (!signal.aborted) put(place, note(explain(error), "bad"));
    }
  }

  const save = (own) => change(() => api.replace("gates", query, { own }));
  async function reset() {
    if (await confirm(t("gates.reset"), t("gates.reset_text", { app }), t("gates.reset"))) await change(() => api.remove("gates", query));
  }
  async function change(work) {
    try {
      draw(await work());
      say(t("gates.saved"));
    } catch (error) {
      complain(error);
    }
  }
}

const proposed = (fields) => Object.fromEntries(Object.entries(fields).filter(([, node]) => node.value.trim() !== "").map(([name, node]) => [name, Number(node.value)]));
const usual = (limit) => (limit.contract === null ? t("gates.vendor") : String(limit.contract));
const said = (limit) => (limit.value === null ? t("gates.vendor") : String(limit.value));

const input = (limit, label, oninput) => h("input", {
  class: "input figure", type: "number", step: "any", min: limit.least, max: limit.most, "aria-label": label, placeholder: usual(limit), value: limit.own ? limit.value : "", oninput,
});

const words = (gate, level) => (SCORES.includes(gate) ? [t(`gates.${gate}`), t(`gates.${level}`)] : [t(`${gate}.title`), level]);

// What is refused now, and what would be then, with the same pictures.
function refusals({ columns, items }) {
  const at = (row, name) => row[columns.indexOf(name)];
  const share = (row, name) => (at(row, "judged") ? `${count(at(row, name))} (${percent(at(row, name) / at(row, "judged"), 1)})` : "–");
  return [table([[t("checks.gate")], [t("checks.level")], [t("gates.now"), "n"], [t("gates.then"), "n"]],
    items.map((row) => [...words(at(row, "gate"), at(row, "level")), share(row, "refused"), share(row, "refused_then")])),
  items.length > 0 && h("p", { class: "quiet small" }, t("checks.judged", { n: count(at(items[0], "judged")), left: count(at(items[0], "not_judged")) }))];
}
