// People by dropping a folder: name/photo.jpg becomes a face of the user `name`. What is refused is listed and can be sent again.

import { count, t } from "../../i18n.js";
import * as outbox from "../../outbox/outbox.js";
import { h, put } from "../../ui/dom.js";
import { button, card, explain, field, note, select, table } from "../../ui/parts.js";

const PICTURE = /\.(jpe?g|png|bmp|webp|gif|tiff?)$/i;
const LEVELS = ["NONE", "LOW", "NORMAL", "HIGH"];
const SHOWN = 200; // of those that were refused

export function folder({ app, group, signal, done }) {
  const input = h("input", { type: "file", multiple: true, webkitdirectory: true, class: "hidden-text", tabindex: "-1", "aria-label": t("folder.choose"), onchange: () => take(input, "webkitRelativePath") });
  const single = h("input", { type: "file", multiple: true, accept: "image/*", class: "hidden-text", tabindex: "-1", "aria-label": t("folder.photos"), onchange: () => take(single, "name") });
  const state = h("div", { class: "stack tight" });
  const gates = { quality: "NONE", liveness: "NONE" };
  const gate = (name) => field(t(`${name}.title`), select(t(`${name}.title`), LEVELS.map((level) => [level, level]), "NONE", (level) => (gates[name] = level)));
  const zone = h("div", { class: "drop bar", role: "group", "aria-label": t("folder.title") },
    h("div", { class: "grow stack tight" }, h("b", {}, t("folder.drop")), h("p", { class: "quiet small" }, t("folder.text"))),
    h("div", { class: "row" }, button(t("folder.choose"), { class: "primary", onclick: () => input.click() }, "folder"), button(t("folder.photos"), { onclick: () => single.click() }, "photo")), input, single);
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    send((await Promise.all(entries.map(walk))).flat());
  });
  let taking = false;
  let moving = null; // what shows the progress while there is some
  outbox.watch(draw, signal);
  draw();
  return card(t("folder.title"), h("div", { class: "stack" }, zone, h("div", { class: "row" }, gate("quality"), gate("liveness")), state));

  function take(from, path) {
    const files = [...from.files].map((file) => ({ file, path: file[path] || file.name }));
    from.value = ""; // the same folder can be chosen again
    send(files);
  }

  function send(files) {
    const photos = files.filter(({ path }) => PICTURE.test(path)).sort((a, b) => a.path.localeCompare(b.path));
    if (!photos.length) return put(state, note(t("folder.nothing"), "warn"));
    put(state, note(t("folder.keeping", { n: count(photos.length) })));
    taking = true;
    return outbox.add(app, group, gates, photos.map((one) => ({ ...one, user: userOf(one.path) }))).finally(() => ((taking = false), draw()));
  }

  function draw() {
    const now = outbox.of(app, group);
    if (taking && !now.left.length) return undefined;
    if (now.left.length) {
      if (!moving) put(state, ...(moving = progress(() => outbox.stop(app, group))).nodes);
      return moving.tell(now);
    }
    if (moving) done();
    moving = null;
    return now.total ? report(now) : put(state);
  }

  function report({ added, stopped, refused }) {
    const again = [...refused, ...stopped];
    put(state, note(t("folder.done", { n: count(added) }) + (stopped.length ? ` ${t("folder.left", { n: count(stopped.length) })}` : ""), added ? "good" : "warn"),
      refused.length > 0 && h("div", { class: "stack tight" }, h("h3", {}, t("folder.refused", { n: count(refused.length) })),
        table([[t("folder.file")], [t("folder.reason")], ["", "n"]], refused.slice(0, SHOWN).map((one) => [h("span", { class: "mono" }, one.path), explain(one.error), button(t("again"), { class: "little", onclick: () => outbox.again([one]) })]))),
      h("div", { class: "row" }, again.length > 0 && button(t("folder.retry", { n: count(again.length) }), { onclick: () => outbox.again(again) }, "refresh"),
        button(t("folder.dismiss"), { class: "plain", onclick: () => outbox.clear(app, group) })));
  }
}

function progress(stop) {
  const bar = h("i", {});
  const whole = h("div", { class: "progress", role: "progressbar", "aria-label": t("folder.title"), "aria-valuemin": 0 }, bar);
  const text = h("span", { class: "quiet small" });
  const hint = h("p", { class: "quiet small", role: "status" });
  const tell = ({ total, left, refused, away, lasting }) => {
    const finished = total - left.length;
    bar.style.width = `${(finished / total) * 100}%`;
    whole.setAttribute("aria-valuemax", total);
    whole.setAttribute("aria-valuenow", finished);
    text.textContent = t("folder.progress", { done: count(finished), total: count(total), refused: count(refused.length) });
    const said = t(away ? "folder.away" : lasting ? "folder.lasting" : "folder.fleeting");
    if (hint.textContent !== said) hint.textContent = said; // or it would be read aloud with every photo
  };
  return { nodes: [whole, h("div", { class: "row spread" }, text, button(t("folder.stop"), { class: "little", onclick: stop })), hint], tell };
}

// The folder a picture lies in names the person; a picture that lies nowhere names itself.
export function userOf(path) {
  const steps = path.split("/").filter(Boolean);
  return steps.length > 1 ? steps.at(-2) : steps[0].replace(/\.[^.]+$/, "");
}

async function walk(entry) {
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: entry.fullPath }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(walk))).flat();
}
