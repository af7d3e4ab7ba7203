// One person: the faces, the text kept with them, and the groups they are in.

import { may } from "../../account.js";
import * as api from "../../api.js";
import { count, t, time } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { drop } from "../../ui/drop.js";
import { button, card, complain, empty, field, head, iconButton, say, select, tag } from "../../ui/parts.js";
import { thumbnail } from "../../ui/thumbnail.js";
import { deleting } from "./deleting.js";

export async function showUser(root, { app, group, user, signal, go, crumbs }) {
  const [one, groups] = await Promise.all([api.get("user", { app, group, user }, signal), api.all("groups", { app })]);
  const faces = h("div", { class: "gallery" });
  const info = h("input", { class: "input", value: one.info, maxlength: 256 });
  const others = groups.map((each) => each.group).filter((name) => name !== group && !one.groups.includes(name));
  const reload = () => showUser(root, { app, group, user, signal, go, crumbs });
  let target = others[0] ?? "";
  const changing = () => h("form", { class: "stack", onsubmit: keep }, field(t("library.info_label"), info), h("div", {}, h("button", { class: "button primary", type: "submit" }, t("save"))));
  const copying = () => (others.length ? h("div", { class: "row low" }, field(t("library.copy_to"), select(t("library.copy_to"), others.map((name) => [name, name]), target, (next) => (target = next))), button(t("library.copy"), { onclick: copy }, "copy")) : h("p", { class: "quiet small" }, t("library.no_other")));
  put(root, crumbs(app, group, user),
    head(user, t("library.since", { time: time(one.created) }), may("operator") && button(t("library.delete_user", { user: "" }).trim(), { class: "danger", onclick: removeUser }, "trash")),
    card(t("library.faces"), h("div", { class: "stack" }, faces, may("operator") && drop({ title: t("library.add_face"), compact: true, signal, onpicture: add }))),
    h("div", { class: "halves" },
      card(t("library.info"), may("operator") ? changing() : h("p", {}, one.info || "–")),
      card(t("library.groups"), h("div", { class: "stack" }, h("div", { class: "row" }, one.groups.map((name) => tag(name, name === group ? "accent" : ""))), may("operator") && copying()))));
  await list();

  async function list() {
    const found = (await api.all("faces", { app, group, user })).filter(({ deletion }) => !deletion);
    put(faces, found.length ? found.map(shown) : empty("photo", t("library.no_faces"), may("operator") ? t("library.no_faces_text") : ""));
  }

  function shown(face) {
    const place = thumbnail(app, face.picture ? face.face_id : null, t("library.face_of", { user }));
    place.className = "crop avatar large";
    return h("figure", {}, place, h("figcaption", {}, h("span", {}, `${face.face_id}`, h("br"), time(face.created)),
      may("operator") && iconButton("trash", t("library.delete_face", { id: face.face_id }), { class: "plain little", onclick: () => removeFace(face) })));
  }

  async function add(picture) {
    try {
      await api.post("faces", { body: picture.bytes, query: { app, group, user } });
      say(t("library.face_added"));
      await list();
    } catch (error) {
      complain(error);
    }
  }

  async function keep(event) {
    event.preventDefault();
    await api.patch("users", { app, group, user, info: info.value });
    say(t("saved"));
  }

  async function copy() {
    try {
      await api.post("users/copy", { json: { app, user, source: group, target } });
      say(t("library.copied", { target }));
      await reload();
    } catch (error) {
      complain(error);
    }
  }

  async function removeFace(face) {
    if (await deleting({ path: `faces/${face.face_id}`, query: { app }, title: t("library.delete_face", { id: face.face_id }), text: t("library.delete_face_text", { user }), restored: list })) await list();
  }

  async function removeUser() {
    const gone = await deleting({ path: "users", query: { app, group, user }, title: t("library.delete_user", { user }), text: t("library.delete_user_text", { faces: count(one.faces), group }), restored: () => go(app, group, user) });
    if (gone) go(app, group);
  }
}
