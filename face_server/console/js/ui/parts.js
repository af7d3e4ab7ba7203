// Small parts that every page uses.

import { t } from "../i18n.js";
import { h, icon, newId, put } from "./dom.js";

export const button = (text, props = {}, name) =>
  h("button", { type: "button", ...props, class: `button ${props.class ?? ""}` }, name && icon(name), text);

export const iconButton = (name, label, props = {}) =>
  h("button", { type: "button", ...props, class: `button icon-only ${props.class ?? ""}`, "aria-label": label, title: label }, icon(name));

export const card = (title, ...children) => {
  const id = newId("card");
  return h("section", { class: "card", "aria-labelledby": title ? id : null },
    title && h("div", { class: "card-head" }, h("h2", { id }, title)), ...children);
};

export const head = (title, text, ...actions) =>
  h("div", { class: "page-head" }, h("div", {}, h("h1", {}, title), text && h("p", {}, text)), actions.length ? h("div", { class: "row" }, ...actions) : null);

export const empty = (glyph, title, text, ...actions) =>
  h("div", { class: "empty" }, h("div", { class: "glyph" }, icon(glyph)), h("h2", {}, title), h("p", {}, text), h("div", { class: "row" }, ...actions));

export const skeleton = (height = 120) => h("div", { class: "skeleton", style: { height: `${height}px` }, role: "status", "aria-label": t("loading") });

export const tag = (text, kind = "", glyph) => h("span", { class: `tag ${kind}` }, glyph && icon(glyph), text);

export const note = (text, kind = "") => h("p", { class: `note ${kind}`, role: kind === "bad" ? "alert" : null }, text);

// What went wrong, and a way to ask again.
export const failed = (error, again) => h("div", { class: "stack" }, note(explain(error), "bad"), h("div", {}, button(t("again"), { onclick: again }, "refresh")));

export const field = (label, control) => h("label", { class: "field" }, label, control);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value, aside]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, aside && h("small", {}, ` ${aside}`)))));

// Words that exclude each other: `options` are [value, text] pairs.
export function segments(label, options, value, onchange) {
  const group = h("div", { class: "segments", role: "group", "aria-label": label });
  const show = (chosen) => {
    for (const one of group.children) one.setAttribute("aria-pressed", String(one.dataset.value === chosen));
  };
  for (const [word, text] of options) {
    group.append(h("button", { type: "button", "data-value": word, onclick: () => (show(word), onchange(word)) }, text));
  }
  show(value);
  return group;
}

export function select(label, options, value, onchange) {
  const node = h("select", { class: "input", "aria-label": label, onchange: () => onchange(node.value) },
    options.map(([word, text]) => h("option", { value: word }, text)));
  node.value = value;
  return node;
}

export function table(columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": columns.map(([text]) => text).filter(Boolean).join(", ") }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map(([text, kind]) => h("th", { class: kind, scope: "col" }, text || h("span", { class: "hidden-text" }, t("actions")))))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, index) => h("td", { class: columns[index][1] }, cell)))))));
}

export function code(text) {
  const copy = iconButton("copy", t("copy"), {
    class: "little",
    onclick: async () => {
      await copyText(text);
      put(copy, icon("check"));
      setTimeout(() => put(copy, icon("copy")), 1500);
      say(t("copied"));
    },
  });
  return h("div", { class: "code-wrap" }, h("pre", { class: "code", tabindex: "0" }, text), copy);
}

// The clipboard is closed to pages that did not come over TLS or from this machine.
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { value: text, class: "hidden-text" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function say(text, { kind = "", action, onaction, seconds = 4 } = {}) {
  const close = () => toast.remove();
  const toast = h("div", { class: `toast ${kind}` }, h("span", { class: "grow" }, text),
    action && h("button", { type: "button", onclick: () => (close(), onaction()) }, action));
  document.getElementById("toasts").append(toast);
  setTimeout(close, seconds * 1000);
  return close;
}

export const complain = (error) => say(explain(error), { kind: "bad", seconds: 8 });

export function explain(error) {
  const key = `error.${error.code}`;
  const known = error.code && t(key) !== key ? t(key) : error.message;
  return error.logId ? `${known} (log_id ${error.logId})` : known;
}

// A window in front. `build(close)` gives its content; the promise is what `close` was given.
export function dialog(title, build) {
  return new Promise((resolve) => {
    const id = newId("dialog");
    let result;
    const node = h("dialog", { "aria-labelledby": id, onclose: () => (node.remove(), resolve(result)) });
    const close = (value) => ((result = value), node.close());
    node.append(h("div", { class: "stack" }, h("div", { class: "row spread" }, h("h2", { id }, title),
      iconButton("close", t("close"), { class: "plain little", onclick: () => close() })), build(close)));
    document.body.append(node);
    node.showModal();
  });
}

export const confirm = (title, text, word) =>
  dialog(title, (close) => [
    h("p", { class: "quiet" }, text),
    h("div", { class: "actions" }, button(t("cancel"), { onclick: () => close(false) }), button(word, { class: "primary", onclick: () => close(true) })),
  ]);
