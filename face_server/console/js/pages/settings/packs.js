// Packs of models: what there is and how good it is; installing, verifying, calibrating, and new templates after a change.

import { may } from "../../account.js";
import * as api from "../../api.js";
import { bytes, count, number, oneIn, t, time } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { watch } from "../../ui/job.js";
import { button, card, complain, dialog, explain, facts, field, note, select, skeleton, table, tag } from "../../ui/parts.js";

export function packs(signal) {
  const list = h("div", {}, skeleton(120));
  const place = h("div", { class: "stack tight", "aria-live": "polite" });
  const draw = async () => {
    try {
      const { items } = await api.get("packs", {}, signal);
      put(list, table([[t("pack.name")], [t("packs.state")], [t("pack.licence")], [t("packs.size"), "n"], [""]], items.map(row)));
    } catch (error) {
      if (!signal.aborted) put(list, note(explain(error), "bad"));
    }
  };
  const run = (path, json, ended) => follow(() => api.post(path, { json }), place, signal, async (job) => {
    await draw();
    return ended(job);
  });

  const row = (one) => [
    h("div", {}, one.name, one.version && h("span", { class: "quiet small" }, ` ${one.version}`)),
    h("div", { class: "row" }, one.in_use && tag(t("packs.in_use"), "accent"), tag(t(`packs.state_${one.state.replace(" ", "_")}`), one.problem ? "bad" : ""),
      one.verified && tag(one.verified.problems ? t("packs.wrong", { n: count(one.verified.problems) }) : t("packs.verified", { time: time(one.verified.time) }), one.verified.problems ? "bad" : "good")),
    one.licence, bytes(one.bytes),
    h("div", { class: "row" }, (one.card || one.far.length > 0) && button(t("packs.card"), { class: "little", onclick: () => show(one) }), ...(may("admin") ? actions(one) : [])),
  ];

  const actions = (one) => (one.state === "available" ? [button(t("packs.install"), { class: "little", onclick: () => install(one) })]
    : [button(t("packs.verify"), { class: "little", onclick: () => verify(one) }), one.embedding_id && button(t("packs.calibrate"), { class: "little", onclick: () => calibrate(one) })]);

  const verify = (one) => run("packs/verify", { pack: one.name }, ({ columns, items }) =>
    (items.length ? table(columns.map((name) => [t(`packs.${name}`)]), items) : note(t("packs.all_good", { name: one.name }), "good")));

  async function install(one) {
    const file = archive();
    const agreed = h("input", { type: "checkbox", required: true });
    const json = await asked(t("packs.install_name", { name: one.name }), file, (upload) => ({ pack: one.name, accept_license: true, ...upload }), [
      h("pre", { class: "code", tabindex: "0" }, one.terms), field(t("packs.zip"), file), h("label", { class: "row" }, agreed, t("packs.accept"))]);
    if (json) await run("packs/install", json, () => note(t("packs.installed", { name: one.name }), "good"));
  }

  async function calibrate(one) {
    const file = archive();
    const folder = h("input", { class: "input", type: "text" });
    const json = await asked(t("packs.calibrate_name", { name: one.name }), file, (upload) => ({ pack: one.name, ...(upload ?? { pictures: folder.value.trim() }) }), [
      h("p", { class: "quiet" }, t("packs.calibrate_text")), field(t("packs.people_zip"), file), field(t("packs.folder"), folder)]);
    if (json) await run("packs/calibrate", json, ({ items }) => [note(t("packs.calibrated"), "good"), rates(items.map(([rate, cosine]) => [rate, cosine]))]);
  }

  draw();
  return card(t("packs.title"), h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("packs.text")), list, place, may("operator") && again(signal)));
}

// Faces of another pack get new templates, app by app.
function again(signal) {
  const place = h("div", { class: "stack tight", "aria-live": "polite" });
  const apps = h("div", {});
  let app = "default";
  api.all("apps", {}).then((found) => put(apps, select(t("library.app"), found.map((one) => [one.app, one.app]), app, (chosen) => (app = chosen))), complain);
  const start = () => follow(() => api.post("jobs", { json: { kind: "reextract", app } }), place, signal, ({ items, job }) => [
    note(t("packs.renewed", { n: count(job.done - job.rows), left: count(job.rows) }), job.rows ? "warn" : "good"),
    items.length > 0 && table([[t("library.group")], [t("library.user")], [t("packs.reason")]], items.map((one) => [one[1], one[2], t(`packs.${one[5]}`)]))]);
  return h("div", { class: "stack tight" }, h("h3", {}, t("packs.again")), h("p", { class: "quiet small" }, t("packs.again_text")),
    h("div", { class: "row" }, apps, button(t("packs.again_start"), { onclick: start })), place);
}

async function follow(start, place, signal, ended) {
  try {
    const job = await watch(await start(), place, signal);
    if (signal.aborted) return;
    if (job.state !== "done") put(place, note(job.error ?? t("checks.ended", { state: job.state }), "warn"));
    else put(place, await ended({ job, ...(await api.get(`jobs/${job.id}/result`, { limit: 100 }, signal)) }));
  } catch (error) {
    if (!signal.aborted) put(place, note(explain(error), "bad"));
  }
}

const archive = () => h("input", { class: "input", type: "file", accept: ".zip" });

// What a form gives: the file of its archive is sent first, if there is one.
const asked = (title, file, build, content) => dialog(title, (close) => {
  const send = h("button", { class: "button primary", type: "submit" }, t("packs.start"));
  const submit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      close(build(file.files.length ? { upload: (await api.post("uploads", { body: file.files[0] })).upload } : undefined));
    } catch (error) {
      send.disabled = false;
      complain(error);
    }
  };
  return h("form", { class: "stack", onsubmit: submit }, ...content, h("div", { class: "actions" }, button(t("cancel"), { onclick: () => close() }), send));
});

const rates = (far) => facts(far.map(([rate, cosine]) => [t("packs.far", { rate: oneIn(rate) }), number(cosine, 3)]));

async function show(one) {
  try {
    const { tables } = one.card ? await api.get("packs/card", { pack: one.name }) : { tables: [] };
    await dialog(t("packs.card_of", { name: one.name }), () => h("div", { class: "stack" }, rates(one.far),
      tables.map((found) => h("div", { class: "stack tight" }, h("h3", {}, found.title), table(found.columns.map((name) => [name]), found.rows)))));
  } catch (error) {
    complain(error);
  }
}
