// The video check alone on a page, for integrators: what it found goes to the page that opened this one, if that is ours.

import { t } from "./i18n.js";
import { h, put } from "./ui/dom.js";
import { card } from "./ui/parts.js";
import { videoCheck } from "./ui/videocheck.js";

const tell = (result) => window.opener?.postMessage({ type: "face-liveness", score: result.score, thresholds: result.thresholds }, location.origin);

document.title = t("h5.title");
put(document.getElementById("main"), h("div", { class: "page narrow" }, h("h1", {}, t("h5.title")), card(null, videoCheck({ onresult: tell }))));
