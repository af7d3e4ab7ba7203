// The same question in the words of each vendor: curl, Python, and what this server answers.

import { t } from "../i18n.js";
import * as requests from "../requests.js";
import { h, put } from "./dom.js";
import { card, code, explain, note, segments, skeleton, tag } from "./parts.js";

export function snippets(question, photos) {
  let [dialect, view] = ["baidu", "answer"];
  const body = h("div", {});
  const answers = new Map();

  async function draw() {
    if (view !== "answer") return put(body, code(requests[view](question, dialect)));
    const asked = dialect;
    if (!answers.has(asked)) {
      put(body, skeleton(180));
      answers.set(asked, requests.ask(question, asked, photos).catch((error) => ({ status: 0, body: explain(error) })));
    }
    const found = await answers.get(asked);
    if (asked !== dialect || view !== "answer") return undefined;
    const text = typeof found.body === "string" ? found.body : JSON.stringify(requests.shortened(found.body), null, 2);
    return put(body, h("div", { class: "stack tight" }, h("div", { class: "row" }, tag(`HTTP ${found.status}`, found.status === 200 ? "good" : "bad"), h("span", { class: "mono quiet" }, requests.request(question, asked).path)), text ? code(text) : note(t("requests.nothing"))));
  }
  draw();
  return card(t("requests.title"), h("div", { class: "stack" },
    h("p", { class: "quiet small" }, t("requests.text")),
    h("div", { class: "row spread" },
      segments(t("requests.dialect"), requests.DIALECTS.map((name) => [name, t(`dialect.${name}`)]), dialect, (next) => ((dialect = next), draw())),
      segments(t("requests.view"), [["answer", t("requests.answer")], ["curl", "curl"], ["python", "Python"]], view, (next) => ((view = next), draw()))),
    body));
}
