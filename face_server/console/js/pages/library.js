// Apps, groups, users, faces. The address says where we are: #library/APP/GROUP/USER.

import { may } from "../account.js";
import * as api from "../api.js";
import { count, t, time } from "../i18n.js";
import { h, icon, put } from "../ui/dom.js";
import { button, card, complain, dialog, empty, field, head, select, skeleton } from "../ui/parts.js";
import { showGroup } from "./library/group.js";
import { showUser } from "./library/user.js";

export const go = (...path) => (location.hash = ["library", ...path.map(encodeURIComponent)].join("/"));

export async function show(root, context) {
  const [app, group, user] = context.path;
  if (user !== undefined) return showUser(root, { ...context, app, group, user, go, crumbs });
  if (group !== undefined) return showGroup(root, { ...context, app, group, go, crumbs });
  return showGroups(root, app ?? "default", context);
}

export function crumbs(app, group, user) {
  const step = (text, ...path) => h("button", { type: "button", onclick: () => go(...path) }, text);
  return h("nav", { class: "crumbs", "aria-label": t("library.where") }, step(app, app), group !== undefined && ["/", user === undefined ? h("b", {}, group) : step(group, app, group)], user !== undefined && ["/", h("b", {}, user)]);
}

async function showGroups(root, app, { signal }) {
  const apps = (await api.all("apps", {})).map((one) => one.app);
  if (!apps.includes(app)) apps.push(app);
  const list = h("div", {}, skeleton(200));
  const create = () => may("operator") && button(t("library.new_group"), { class: "primary", onclick: () => newGroup(app, (group) => go(app, group)) }, "plus");
  put(root, head(t("library.title"), t("library.text"), create()),
    h("div", { class: "row" }, field(t("library.app"), select(t("library.app"), apps.map((name) => [name, name]), app, (next) => go(next)))), list);
  await page(null, []);

  async function page(cursor, tiles) {
    const found = await api.get("groups", { app, cursor, limit: 60 }, signal).catch((error) => {
      if (error.code === "app_missing") return { items: [], next: null };
      throw error;
    });
    tiles.push(...found.items.filter(({ deletion }) => !deletion).map((one) => tile(app, one)));
    if (!tiles.length) return put(list, card(null, empty("library", t("library.no_groups"), may("operator") ? t("library.no_groups_text") : "", create())));
    const more = found.next && button(t("more"), { onclick: () => page(found.next, tiles).catch(complain) });
    return put(list, h("div", { class: "stack" }, h("div", { class: "tiles" }, tiles), h("div", { class: "row" }, more)));
  }
}

function tile(app, one) {
  return h("button", { type: "button", class: "tile", onclick: () => go(app, one.group) },
    h("span", { class: "row spread" }, h("b", {}, one.group), icon("folder")),
    h("span", { class: "quiet small" }, t("library.counts", { users: count(one.users), faces: count(one.faces) })),
    h("span", { class: "quiet small" }, t("library.updated", { time: time(one.updated) })));
}

async function newGroup(app, done) {
  const name = h("input", { class: "input", required: true, maxlength: 48, pattern: "[A-Za-z0-9_\\-]+", title: t("library.group_rule") });
  const group = await dialog(t("library.new_group"), (close) => h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); close(name.value.trim()); } },
    field(t("library.group_name"), name), h("p", { class: "quiet small" }, t("library.group_rule")),
    h("div", { class: "actions" }, button(t("cancel"), { onclick: () => close() }), h("button", { class: "button primary", type: "submit" }, t("library.create")))));
  if (!group) return;
  try {
    await api.post("groups", { json: { app, group } });
    done(group);
  } catch (error) {
    complain(error);
  }
}

