// The camera of this device: who is in front of it, and is it a living person. Below, the video check of the Baidu contract.

import * as api from "../api.js";
import { number, t } from "../i18n.js";
import { h, put } from "../ui/dom.js";
import { film, frame } from "../ui/drop.js";
import { button, card, explain, field, head, note, select, tag } from "../ui/parts.js";
import { videoCheck } from "../ui/videocheck.js";

const GAP = 120; // milliseconds between two pictures, so that a quick server is not kept busy by one page
const kept = { app: "default", threshold: 80 };

export async function show(root, { signal }) {
  const [about, apps] = await Promise.all([api.aboutServer(), api.all("apps", {})]);
  const video = h("video", { playsinline: true, muted: true, class: "mirror", hidden: true });
  const over = h("canvas", {});
  const idle = h("div", { class: "idle" }, h("p", {}, t("live.idle")), button(t("live.start"), { class: "primary", onclick: start }, "camera"));
  const told = h("div", { class: "row", role: "status" });
  const trouble = h("div", {});
  const stopButton = button(t("live.stop"), { hidden: true, onclick: () => stop() });
  let stop = () => {};
  const names = apps.length ? apps.map(({ app }) => app) : ["default"];
  if (!names.includes(kept.app)) kept.app = names[0];
  put(root, head(t("live.title"), t("live.text")),
    h("div", { class: "columns" },
      h("div", { class: "stack" }, h("div", { class: "stage" }, video, over, idle), h("div", { class: "row spread" }, told, stopButton), trouble),
      card(t("live.settings"), h("div", { class: "stack" }, field(t("library.app"), select(t("library.app"), names.map((name) => [name, name]), kept.app, (app) => (kept.app = app))),
        field(t("search.threshold"), threshold()), h("p", { class: "quiet small" }, t("live.privacy"))))),
    card(t("h5.title"), videoCheck({ signal }), h("p", { class: "quiet small after" }, t("h5.page"), " ", h("a", { href: "console/h5.html" }, "console/h5.html"))));
  signal.addEventListener("abort", () => stop());

  function threshold() {
    const value = h("b", {}, number(kept.threshold));
    const input = h("input", { type: "range", min: 40, max: 100, value: kept.threshold, oninput: () => { kept.threshold = Number(input.value); value.textContent = number(kept.threshold); } });
    return h("div", { class: "slider" }, input, value);
  }

  async function start() {
    put(trouble);
    try {
      const end = await film(video, { video: { facingMode: "user", width: { ideal: 1280 } } });
      let running = true;
      stop = () => { running = false; end(); video.hidden = true; idle.hidden = false; stopButton.hidden = true; over.getContext("2d").clearRect(0, 0, over.width, over.height); put(told); };
      if (signal.aborted) return stop();
      video.hidden = stopButton.hidden = false;
      idle.hidden = true;
      await watch(() => running);
    } catch (error) {
      stop();
      if (!signal.aborted) put(trouble, note(explain(error), "bad"));
    }
    return undefined;
  }

  async function watch(running) {
    let last = performance.now();
    let rate = 0;
    while (running()) {
      if (document.hidden) { await pause(500); continue; }
      const answer = await api.post("search", { body: await frame(video, 960), query: { app: kept.app, max_faces: 5, candidates: 1, threshold: 0 }, signal });
      if (!running()) return;
      draw(answer);
      const now = performance.now();
      rate = rate * 0.8 + (1000 / (now - last)) * 0.2;
      last = now;
      put(told, tag(t("live.rate", { n: number(rate, 1) })), tag(`${number(answer.milliseconds)} ms`), tag(t(answer.faces.length === 1 ? "try.one_face" : "try.faces", { n: answer.faces.length })));
      await pause(GAP);
    }
  }

  function draw({ width, height, faces }) {
    const sides = over.getBoundingClientRect();
    const scale = Math.min(sides.width / width, sides.height / height);
    const [left, top] = [(sides.width - width * scale) / 2, (sides.height - height * scale) / 2];
    const ratio = devicePixelRatio || 1;
    over.width = sides.width * ratio;
    over.height = sides.height * ratio;
    const pen = over.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "600 15px system-ui, sans-serif";
    for (const { face, candidates } of faces) {
      const living = face.liveness === null || face.liveness >= about.gates.liveness.NORMAL;
      const best = candidates[0]?.score >= kept.threshold ? candidates[0] : null;
      const [x, y, w, tall] = [left + (width - face.box.left - face.box.width) * scale, top + face.box.top * scale, face.box.width * scale, face.box.height * scale];
      pen.strokeStyle = !living ? "#fb7185" : best ? "#4ade80" : "#ffffff";
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.roundRect(x, y, w, tall, 10);
      pen.stroke();
      const text = !living ? t("live.not_living") : best ? `${best.info || best.user} ${number(best.score)}` : t("search.nobody");
      const room = pen.measureText(text).width + 16;
      pen.fillStyle = "rgb(0 0 0 / 70%)";
      pen.beginPath();
      pen.roundRect(x, Math.max(2, y - 30), room, 25, 8);
      pen.fill();
      pen.fillStyle = pen.strokeStyle;
      pen.fillText(text, x + 8, Math.max(2, y - 30) + 18);
    }
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
