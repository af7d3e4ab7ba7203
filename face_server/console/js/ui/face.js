// What is known of one face: quality against the gates, liveness, attributes.

import { number, percent, t } from "../i18n.js";
import { h } from "./dom.js";
import { card, facts, note, tag } from "./parts.js";

export const LEVELS = ["LOW", "NORMAL", "HIGH"];
const OCCLUDED = ["left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek", "chin_contour"];

// One value on its scale, with a mark at each gate. `most`: the value must not be above the limit.
function meter(name, value, shown, full, limits, most) {
  const passes = (limit) => (most ? value <= limit : value >= limit);
  const kind = passes(limits.HIGH) ? "" : passes(limits.NORMAL) ? "warn" : "bad";
  const share = (number) => `${Math.max(0, Math.min(1, number / full)) * 100}%`;
  return h("div", { class: "meter" }, h("span", {}, name),
    h("div", { class: "track", role: "img", "aria-label": `${name} ${shown}. ${LEVELS.map((level) => `${level} ${passes(limits[level]) ? t("gate.passes") : t("gate.refused")}`).join(", ")}` },
      h("div", { class: `fill ${kind}`, style: { width: share(value) } }),
      LEVELS.map((level) => h("span", { class: "mark", title: `${level} ${limits[level]}`, style: { left: share(limits[level]) } }))),
    h("span", { class: "value" }, shown));
}

const by = (gates, name) => Object.fromEntries(LEVELS.map((level) => [level, gates[level][name]]));

export function quality(face, gates) {
  const found = face.quality;
  if (!found) return null;
  const limits = gates.quality;
  return card(t("quality.title"),
    h("div", { class: "stack tight" },
      meter(t("quality.blur"), found.blur, number(found.blur, 2), 1, by(limits, "blur"), true),
      meter(t("quality.illumination"), found.illumination, number(found.illumination), 255, by(limits, "illumination"), false),
      found.occlusion && h("h3", {}, t("quality.occlusion")),
      found.occlusion && OCCLUDED.map((part) => meter(t(`part.${part}`), found.occlusion[part], percent(found.occlusion[part]), 1, by(limits, "occlusion"), true)),
      h("div", { class: "row spread small" }, h("span", {}, t("quality.completeness")), tag(found.completeness ? t("quality.whole") : t("quality.cut"), found.completeness ? "good" : "warn")),
      h("p", { class: "quiet small" }, t("quality.marks")),
      verdicts(face.gates.quality)));
}

export function liveness(face, gates) {
  if (face.liveness === null) return null;
  return card(t("liveness.title"),
    h("div", { class: "stack tight" },
      meter(t("liveness.score"), face.liveness, number(face.liveness, 3), 1, gates.liveness, false),
      facts([["LOW", String(gates.liveness.LOW), t("liveness.frr", { n: t("one_in", { n: "10,000" }) })], ["NORMAL", String(gates.liveness.NORMAL), t("liveness.frr", { n: t("one_in", { n: "1,000" }) })], ["HIGH", String(gates.liveness.HIGH), t("liveness.frr", { n: t("one_in", { n: "100" }) })]]),
      verdicts(face.gates.liveness)));
}

// Which gate takes this face and which does not, and why.
export function verdicts(found) {
  const reasons = LEVELS.filter((level) => found[level]).map((level) => [level, found[level]]);
  return h("div", { class: "stack tight" },
    h("div", { class: "row" }, LEVELS.map((level) => tag(level, found[level] ? "bad" : "good", found[level] ? "close" : "check"))),
    reasons.length ? note(reasons.map(([level, why]) => `${level}: ${reason(why)}`).join(" · ")) : null);
}

export const reason = (why) => t("gate.why", { what: t(`defect.${why.defect}`), value: number(why.value, why.value > 2 ? 0 : 2), limit: String(why.limit) });

const word = (group, choice) => choice && [t(`${group}.${choice.type}`), percent(choice.probability)];
const share = (value) => (value === null || value === undefined ? null : percent(value));

export function attributes(face) {
  const found = face.attributes;
  const rows = [
    [t("attribute.age"), found.age === null ? null : number(found.age)],
    ...["gender", "expression", "emotion", "glasses", "face_shape", "face_type", "race"].map((name) => [t(`attribute.${name}`), ...(word(name, found[name]) ?? [null])]),
    [t("attribute.mask"), share(found.mask)],
    [t("attribute.eyes"), found.eyes && `${percent(found.eyes.left)} / ${percent(found.eyes.right)}`],
    [t("attribute.mouth_open"), share(found.mouth_open)],
    [t("attribute.beauty"), found.beauty === null ? null : number(found.beauty)],
    [t("attribute.probability"), percent(face.probability, 1)],
    [t("attribute.size"), `${number(face.box.width)} × ${number(face.box.height)}`],
  ];
  return card(t("attribute.title"), facts(rows), h("p", { class: "quiet small mono after" }, `face_token ${face.token}`));
}

export function angles(face) {
  if (!face.pose) return null;
  return card(t("pose.title"), facts(["yaw", "pitch", "roll"].map((axis) => [t(`pose.${axis}`), `${number(face.pose[axis], 1)}°`]).concat([[t("pose.rotation"), `${face.rotation}°`]])));
}

// Where the time went.
export function stages(answer) {
  const found = Object.entries(answer.stages).filter(([, value]) => value >= 0.05);
  const total = Math.max(answer.milliseconds, found.reduce((sum, [, value]) => sum + value, 0));
  return card(t("time.title"),
    h("div", { class: "stack tight" },
      h("div", { class: "stages", role: "img", "aria-label": found.map(([name, value]) => `${name} ${number(value, 1)} ms`).join(", ") },
        found.map(([, value], index) => h("i", { class: `tone-${index % 8}`, style: { width: `${(value / total) * 100}%` } }))),
      h("div", { class: "legend" }, found.map(([name, value], index) => h("span", {}, h("i", { class: `tone-${index % 8}` }), stageName(name), " ", h("b", {}, `${number(value, 1)} ms`))),
        h("span", {}, t("time.total"), " ", h("b", {}, `${number(answer.milliseconds, 1)} ms`))),
      h("p", { class: "quiet small mono" }, `log_id ${answer.log_id}`)));
}

export function stageName(name) {
  const key = `stage.${name}`;
  return t(key) === key ? name : t(key);
}
