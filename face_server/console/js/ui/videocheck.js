// The video check of the Baidu contract: a session's code, a clip of it being read out, a score.

import { sendTo } from "../api.js";
import { number, t } from "../i18n.js";
import { h, put } from "./dom.js";
import { base64, film } from "./drop.js";
import { button, explain, facts, note, skeleton, tag } from "./parts.js";

const SECONDS = 4;

async function call(path, body) {
  const answer = await (await sendTo(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
  if (answer.err_no) throw new Error(`${answer.err_no} ${answer.err_msg}`);
  return answer.result;
}

const recordable = () => ["video/mp4", "video/webm;codecs=vp8", "video/webm"].find((type) => window.MediaRecorder?.isTypeSupported(type));

export function videoCheck({ signal, onresult = () => {} }) {
  const place = h("div", { class: "stack" });
  begin();
  return place;

  function begin(trouble) {
    put(place, h("p", { class: "quiet" }, t("h5.text", { n: SECONDS })), trouble && note(trouble, "bad"), h("div", {}, button(t("h5.start"), { class: "primary", onclick: check }, "live")));
  }

  async function check() {
    let end = () => {};
    try {
      const { session_id: session, code } = await call("face-api/v3/face/sessioncode", { appid: "default" });
      const video = h("video", { playsinline: true, muted: true, class: "mirror" });
      const bar = h("i", {});
      put(place, h("p", { class: "quiet" }, t("h5.read")), h("div", { class: "spoken" }, code), h("div", { class: "stage" }, video), h("div", { class: "progress" }, bar));
      end = await film(video, { video: { facingMode: "user", width: { ideal: 640 } } });
      if (signal?.aborted) return end();
      const clip = await record(video.srcObject, (share) => (bar.style.width = `${share * 100}%`));
      end();
      put(place, h("p", { class: "quiet" }, t("h5.judging")), skeleton(120));
      const result = await call("face-api/face/liveness", { session_id: session, video_base64: await base64(clip) });
      onresult(result);
      return draw(result);
    } catch (error) {
      end();
      return begin(explain(error));
    }
  }

  function draw({ score, thresholds, pic_list: pictures }) {
    const passed = score >= thresholds["frr_1e-3"];
    put(place, h("div", { class: "verdict" }, h("div", { class: "big" }, number(score, 3)), tag(t(passed ? "h5.living" : "h5.not_living"), passed ? "good" : "bad")),
      facts(Object.entries(thresholds).map(([name, limit]) => [name, String(limit), score >= limit ? t("gate.passes") : t("gate.refused")])),
      h("div", { class: "row" }, pictures.map(({ pic }) => h("img", { class: "avatar", alt: t("h5.best"), src: `data:image/jpeg;base64,${pic}` }))),
      h("div", {}, button(t("again"), { onclick: check }, "refresh")));
  }
}

function record(stream, tell) {
  const type = recordable();
  if (!type) throw new Error(t("h5.no_recorder"));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 1_500_000 });
  const chunks = [];
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const started = performance.now();
  const ticking = setInterval(() => tell(Math.min(1, (performance.now() - started) / 1000 / SECONDS)), 80);
  return new Promise((resolve) => {
    recorder.onstop = () => { clearInterval(ticking); resolve(new Blob(chunks, { type })); };
    recorder.start();
    setTimeout(() => recorder.stop(), SECONDS * 1000);
  });
}
