// The people of one group, page by page: a page costs the same at ten people and at a hundred thousand.

import { may } from "../../account.js";
import * as api from "../../api.js";
import { count, number, t, time } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { drop } from "../../ui/drop.js";
import { button, card, complain, dialog, empty, explain, head, iconButton, note, skeleton, table } from "../../ui/parts.js";
import { thumbnail } from "../../ui/thumbnail.js";
import { checks } from "./checks.js";
import { deleting } from "./deleting.js";
import { folder } from "./folder.js";

const PAGE = 50;

export async function showGroup(root, { app, group, signal, go, crumbs }) {
  let about = await find();
  if (!about) throw Object.assign(new Error(t("error.group_missing")), { code: "group_missing" });
  const list = h("div", {}, skeleton(300));
  const trail = []; // the cursors of the pages before this one
  let prefix = "";
  const search = h("input", { class: "input", type: "search", placeholder: t("library.find_id"), "aria-label": t("library.find_id"), oninput: later(() => { prefix = search.value.trim(); trail.length = 0; page(null); }, 250) });
  const counts = h("span", {});
  const tell = () => (counts.textContent = t("library.counts", { users: count(about.users), faces: count(about.faces) }));
  const refresh = async () => {
    trail.length = 0;
    about = (await find()) ?? about;
    tell();
    await page(null);
  };
  const adding = may("operator") && folder({ app, group, signal, done: refresh });
  put(root, crumbs(app, group),
    head(group, counts, may("operator") && button(t("library.delete_group"), { class: "danger", onclick: removeGroup }, "trash")),
    adding,
    card(t("library.people"), h("div", { class: "stack" }, h("div", { class: "row" }, h("div", { class: "grow" }, search), button(t("library.find_face"), { onclick: byFace }, "search")), list)),
    may("operator") && checks({ app, group, signal, go }));
  tell();
  await page(null);

  async function find() {
    const { items } = await api.get("groups", { app, prefix: group, limit: 200 }, signal);
    return items.find((one) => one.group === group);
  }

  async function page(cursor) {
    const asked = prefix;
    try {
      const found = await api.get("users", { app, group, prefix, cursor, limit: PAGE }, signal);
      if (asked === prefix) draw(found, cursor);
    } catch (error) {
      if (!signal.aborted) put(list, note(explain(error), "bad"));
    }
  }

  function draw(found, cursor) {
    const users = found.items.filter(({ deletion }) => !deletion);
    if (!users.length && !trail.length && !found.next) {
      return put(list, prefix ? empty("search", t("library.nobody_found"), t("library.nobody_found_text", { prefix })) : empty("photo", t("library.no_people"), may("operator") ? t("library.no_people_text") : ""));
    }
    const rows = users.map((one) => [
      h("div", { class: "row" }, thumbnail(app, one.face_id), h("a", { href: `#library/${[app, group, one.user].map(encodeURIComponent).join("/")}` }, one.user)),
      one.info, count(one.faces), h("span", { class: "quiet small" }, time(one.updated)),
      may("operator") && iconButton("trash", t("library.delete_user", { user: one.user }), { class: "plain little", onclick: () => removeUser(one) }),
    ]);
    return put(list, h("div", { class: "stack" }, table([[t("library.user")], [t("library.info"), "wide"], [t("library.faces"), "n"], [t("library.changed"), "wide"], ["", "n"]], rows),
      h("div", { class: "row spread" },
        button(t("previous"), { disabled: !trail.length, onclick: () => page(trail.pop()) }),
        h("span", { class: "quiet small" }, t("library.page", { n: count(trail.length + 1) })),
        button(t("next"), { disabled: !found.next, onclick: () => { trail.push(cursor); page(found.next); } }))));
  }

  async function removeUser(one) {
    const gone = await deleting({ path: "users", query: { app, group, user: one.user }, title: t("library.delete_user", { user: one.user }), text: t("library.delete_user_text", { faces: count(one.faces), group }), restored: refresh });
    if (gone) refresh();
  }

  async function removeGroup() {
    const gone = await deleting({ path: "groups", query: { app, group }, title: t("library.delete_group_title", { group }), text: t("library.delete_group_text", { users: count(about.users), faces: count(about.faces) }), restored: () => go(app, group) });
    if (gone) go(app);
  }

  async function byFace() {
    const found = h("div", { class: "candidates" });
    const chosen = await dialog(t("library.find_face"), (close) => {
      const look = async (picture) => {
        put(found, skeleton(90));
        try {
          const answer = await api.post("search", { body: picture.bytes, query: { app, group, max_faces: 1, candidates: 8, threshold: 0 } });
          const matches = answer.faces[0]?.candidates ?? [];
          put(found, matches.length ? matches.map((one) => h("button", { type: "button", class: "tile", onclick: () => close(one.user) }, h("span", { class: "row" }, thumbnail(app, one.face_id), h("b", { class: "grow" }, one.user), number(one.score, 1)))) : note(t(answer.faces.length ? "search.no_candidates" : "try.none")));
        } catch (error) {
          put(found, note(explain(error), "bad"));
        }
      };
      return [drop({ title: t("library.find_face_drop"), paste: false, onpicture: look }), found];
    });
    if (chosen) go(app, group, chosen);
  }
}

function later(work, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(() => Promise.resolve(work()).catch(complain), milliseconds); };
}
