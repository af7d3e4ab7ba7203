// People by dropping a folder: name/photo.jpg becomes a face of the user `name`. What is refused is listed and can be sent again.

import * as api from "../../api.js";
import { count, t } from "../../i18n.js";
import { h, put } from "../../ui/dom.js";
import { button, card, explain, field, note, select, table } from "../../ui/parts.js";

const AT_ONCE = 3;
const PICTURE = /\.(jpe?g|png|bmp|webp|gif|tiff?)$/i;
const LEVELS = ["NONE", "LOW", "NORMAL", "HIGH"];

export function folder({ app, group, signal, done }) {
  const input = h("input", { type: "file", multiple: true, webkitdirectory: true, class: "hidden-text", tabindex: "-1", "aria-label": t("folder.choose"), onchange: () => send([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }))) });
  const single = h("input", { type: "file", multiple: true, accept: "image/*", class: "hidden-text", tabindex: "-1", "aria-label": t("folder.photos"), onchange: () => send([...single.files].map((file) => ({ file, path: file.name }))) });
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
  return card(t("folder.title"), h("div", { class: "stack" }, zone, h("div", { class: "row" }, gate("quality"), gate("liveness")), state));

  async function send(files) {
    const waiting = files.filter(({ path }) => PICTURE.test(path)).sort((a, b) => a.path.localeCompare(b.path));
    const refused = [];
    let [added, stopped] = [0, false];
    const total = waiting.length;
    if (!total) return put(state, note(t("folder.nothing"), "warn"));
    const bar = h("i", {});
    const progress = h("div", { class: "progress", role: "progressbar", "aria-label": t("folder.title"), "aria-valuemin": 0, "aria-valuemax": total }, bar);
    const text = h("span", { class: "quiet small" });
    put(state, progress, h("div", { class: "row spread" }, text, button(t("folder.stop"), { class: "little", onclick: () => (stopped = true) })));
    const tell = () => {
      const finished = added + refused.length;
      bar.style.width = `${(finished / total) * 100}%`;
      progress.setAttribute("aria-valuenow", finished);
      text.textContent = t("folder.progress", { done: count(finished), total: count(total), refused: count(refused.length) });
    };
    tell();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      while (waiting.length && !stopped && !signal.aborted) {
        const one = waiting.shift();
        try {
          await api.post("faces", { body: one.file, query: { app, group, user: userOf(one.path), ...gates } });
          added++;
        } catch (error) {
          refused.push({ ...one, error });
        }
        tell();
      }
    }));
    if (signal.aborted) return undefined;
    report(added, refused, waiting);
    return done();
  }

  function report(added, refused, left) {
    const again = [...refused, ...left];
    const known = refused.length > 200 ? refused.slice(0, 200) : refused;
    put(state, note(t("folder.done", { n: count(added) }) + (left.length ? ` ${t("folder.left", { n: count(left.length) })}` : ""), added ? "good" : "warn"),
      refused.length > 0 && h("div", { class: "stack tight" }, h("h3", {}, t("folder.refused", { n: count(refused.length) })),
        table([[t("folder.file")], [t("folder.reason")], ["", "n"]], known.map((one) => [h("span", { class: "mono" }, one.path), explain(one.error), button(t("again"), { class: "little", onclick: () => send([one]) })]))),
      again.length > 0 && h("div", {}, button(t("folder.retry", { n: count(again.length) }), { onclick: () => send(again) }, "refresh")));
  }
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
