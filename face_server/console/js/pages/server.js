// What the server does right now, what went wrong last, and the story of one request.

import { may } from "../account.js";
import * as api from "../api.js";
import { bytes, count, number, oneIn, percent, t, time } from "../i18n.js";
import { h, put, s } from "../ui/dom.js";
import { stageName } from "../ui/face.js";
import { button, card, empty, explain, facts, field, head, note, skeleton, table, tag } from "../ui/parts.js";
import { audit } from "./server/audit.js";

const EVERY = 2000;
const KEPT = 90; // points of the curve: three minutes
const GOOD = new Set(["0", "200", "222207", "40312"]);

export async function show(root, { signal }) {
  const about = await api.aboutServer();
  const now = h("div", { class: "stack" });
  const errors = h("div", {}, skeleton(80));
  const story = h("div", {});
  const wanted = h("input", { class: "input", inputmode: "numeric", required: true, placeholder: "log_id" });
  const tell = async (id) => {
    try {
      put(story, told(await api.get(`server/stories/${encodeURIComponent(id)}`)));
    } catch (error) {
      put(story, note(explain(error), "warn"));
    }
  };
  const rates = [];
  let before = null;
  put(root, head(t("server.title"), t("server.text", { version: about.version, device: about.device })), now,
    card(t("server.errors"), errors),
    card(t("server.story"), h("div", { class: "stack" }, h("form", { class: "row low", onsubmit: (event) => { event.preventDefault(); tell(wanted.value.trim()); } }, h("div", { class: "grow" }, field(t("server.story_text"), wanted)), h("button", { class: "button", type: "submit" }, t("server.tell"))), story)),
    may("operator") && audit(signal, tell));

  async function look() {
    const found = await api.get("server", {}, signal);
    const at = performance.now();
    const total = found.requests.reduce((sum, one) => sum + one.count, 0);
    const speeds = before ? speed(found.requests, before.requests, (at - before.at) / 1000) : new Map();
    if (before) rates.push(((total - before.total) * 1000) / (at - before.at));
    if (rates.length > KEPT) rates.shift();
    before = { total, requests: found.requests, at };
    replace(now, numbers(found, rates), card(t("server.rate"), spark(rates)), requests(found, speeds), latency(found), batches(found), h("div", { class: "halves" }, h("div", { class: "stack" }, galleries(found), workers(found), gpus(found), licence(found)), space(found, about)));
  }
  async function watch() {
    while (!signal.aborted) {
      if (!document.hidden) {
        await look();
        put(errors, failures((await api.get("server/errors", { limit: 20 }, signal)).items, tell));
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }
  put(now, skeleton(120), skeleton(200));
  watch().catch((error) => !signal.aborted && put(now, note(explain(error), "bad")));
}

// New numbers in the same places: whoever had moved a table to the side, or stood on it, still does.
function replace(place, ...children) {
  const tables = () => [...place.querySelectorAll(".scroll")];
  const moved = tables().map((one) => one.scrollLeft);
  const stood = tables().indexOf(document.activeElement);
  put(place, ...children);
  tables().forEach((one, index) => (one.scrollLeft = moved[index] ?? 0));
  if (stood >= 0) tables()[stood]?.focus({ preventScroll: true });
}

// Requests a second of each dialect, and of each of its codes.
function speed(now, before, seconds) {
  const add = (found, name, n) => found.set(name, (found.get(name) ?? 0) + n);
  const sum = (rows) => rows.reduce((found, one) => add(add(found, one.dialect, one.count), `${one.dialect} ${one.code}`, one.count), new Map());
  const earlier = sum(before);
  return new Map([...sum(now)].map(([name, total]) => [name, (total - (earlier.get(name) ?? 0)) / seconds]));
}

const big = (label, value, aside) => h("div", { class: "figure-number" }, h("span", {}, label), h("b", {}, value), aside && h("small", {}, aside));
const plain = (value) => (value === null || value === undefined ? "–" : number(value, value < 10 ? 1 : 0));
const ms = (value) => (value === null || value === undefined ? "–" : `${number(value, value < 10 ? 1 : 0)} ms`);

function numbers(found, rates) {
  const { lanes } = found;
  return h("div", { class: "numbers" },
    big(t("server.state"), t(found.ready ? "health.ready" : "health.not_ready"), found.uptime !== null && t("server.uptime", { time: duration(found.uptime) })),
    big(t("server.per_second"), rates.length ? number(rates.at(-1), 1) : "–"),
    big(t("server.queue"), count(lanes.queue), t("server.wait", { ms: ms(found.queue_wait.p95) })),
    big(t("server.lanes"), `${lanes.alive} / ${lanes.count}`, t("server.restarts", { n: count(lanes.restarts) })),
    big(t("server.memory"), known(found.memory.resident_bytes)));
}

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function spark(values) {
  if (values.length < 2) return h("p", { class: "quiet small" }, t("server.collecting"));
  const top = Math.max(1, ...values);
  const points = values.map((value, index) => `${(index / (values.length - 1)) * 600} ${110 - (value / top) * 100}`);
  return h("div", {}, s("svg", { class: "spark", viewBox: "0 0 600 112", preserveAspectRatio: "none", role: "img", "aria-label": t("server.rate_label", { now: number(values.at(-1), 1), most: number(Math.max(...values), 1) }) },
    s("path", { class: "under", d: `M0 110L${points.join("L")}L600 110Z` }), s("path", { d: `M${points.join("L")}` })),
  h("p", { class: "quiet small" }, t("server.most", { n: number(Math.max(...values), 1) })));
}

function requests(found, speeds) {
  const groups = new Map();
  for (const one of found.requests) {
    const row = groups.get(one.dialect) ?? { total: 0, failed: new Map() };
    row.total += one.count;
    if (!GOOD.has(String(one.code))) row.failed.set(one.code, (row.failed.get(one.code) ?? 0) + one.count);
    groups.set(one.dialect, row);
  }
  if (!groups.size) return card(t("server.requests"), empty("server", t("server.quiet"), t("server.quiet_text")));
  return card(t("server.requests"), table([[t("requests.dialect")], [t("server.count"), "n"], [t("server.per_second"), "n"], [t("server.codes")]],
    [...groups].map(([name, row]) => [dialectName(name), count(row.total), number(speeds.get(name) ?? 0, 1),
      h("div", { class: "row" }, row.failed.size ? [...row.failed].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([code, n]) => tag(failing(code, n, speeds.get(`${name} ${code}`)), "warn")) : tag(t("server.no_failures"), "good"))])));
}

const failing = (code, n, rate) => (rate ? t("server.code_rate", { code, n: count(n), rate: number(rate, 1) }) : `${code} · ${count(n)}`);

const dialectName = (name) => (t(`dialect.${name}`) === `dialect.${name}` ? name : t(`dialect.${name}`));

function latency(found) {
  const rows = [...found.latency].sort((a, b) => b.count - a.count).slice(0, 12);
  const line = (name, one) => [name, count(one.count), plain(one.mean), plain(one.p50), plain(one.p95), plain(one.p99)];
  return card(t("server.latency"), rows.length ? table([[t("server.interface")], [t("server.count"), "n"], [t("server.mean"), "n wide"], ["p50 ms", "n"], ["p95 ms", "n"], ["p99 ms", "n"]],
    [...rows.map((one) => line(`${dialectName(one.dialect)} ${one.interface}`, one)), ...found.stages.map((one) => line(h("span", { class: "quiet" }, stageName(one.stage)), one)), line(h("span", { class: "quiet" }, t("server.queue_wait")), found.queue_wait)]) : h("p", { class: "quiet" }, t("server.quiet_text")));
}

function batches(found) {
  return card(t("server.batches"), found.batches.length ? table([[t("server.model")], [t("server.executions"), "n"], [t("server.rows"), "n"], [t("server.batch_mean"), "n"], [t("server.sizes"), "wide"]],
    found.batches.map((one) => [one.model, count(one.executions), count(one.rows), number(one.mean, 2), h("div", { class: "legend" }, one.sizes.map((size) => h("span", {}, `${size.most === null ? "…" : count(size.most)}: ${count(size.count)}`)))])) : h("p", { class: "quiet" }, t(found.workers ? "server.batches_away" : "server.no_batches")),
  found.refused.length > 0 && h("div", { class: "row" }, h("span", { class: "quiet small" }, t("server.refused")), found.refused.map((one) => tag(`${one.reason} · ${count(one.count)}`, "warn"))));
}

function galleries(found) {
  const { count: all, faces, bytes: size, evictions } = found.all_galleries;
  return card(t("server.galleries"), h("div", { class: "stack tight" }, found.galleries.length > 0 && h("p", { class: "quiet small" }, t("server.galleries_sum", { n: count(all), faces: count(faces), size: bytes(size), gone: count(evictions) })), found.galleries.length ? table([[t("library.app")], [t("library.group")], [t("library.faces"), "n"], [t("server.memory"), "n"]],
    found.galleries.map((one) => [one.app, one.group, count(one.faces), bytes(one.bytes)])) : h("p", { class: "quiet" }, t("server.no_galleries"))));
}

function workers({ workers: found }) {
  if (!found) return null;
  return card(t("server.workers"), facts([["Redis", up(found.redis)], [t("server.workers"), count(found.count)], [t("server.worker_lanes"), count(found.lanes)], [t("server.bus_waiting"), count(found.waiting)], [t("server.bus_away"), count(found.away)]]));
}

function gpus({ gpus: found }) {
  if (!found.length) return null;
  return card("GPU", table([[t("server.device")], [t("server.memory"), "n"], [t("server.gpu_of"), "n"], [t("server.gpu_busy"), "n"]],
    found.map((one) => [h("div", {}, one.device, h("div", { class: "quiet small" }, one.name)), bytes(one.used_bytes), bytes(one.memory_bytes), one.busy === null ? "–" : percent(one.busy)])));
}

function licence({ licence: found }) {
  if (!found) return null;
  return card(t("server.licence"), facts([[t("server.licence_service"), up(found.up)], [t("server.seats"), found.seats === null ? null : `${count(found.taken)} / ${count(found.seats)}`]]));
}

const up = (answers) => (answers ? tag(t("server.up"), "good") : tag(t("server.down"), "bad"));
const known = (value) => (value === null ? "–" : bytes(value));

function space(found, { pack }) {
  const { database, disk } = found;
  return card(t("server.space"), h("div", { class: "stack" },
    facts([[t("server.database"), [database.kind === "postgres" ? "Postgres " : "SQLite ", up(database.up)]], [t("server.database_size"), known(disk.database_bytes)], [t("server.disk"), known(disk.free_bytes), disk.total_bytes !== null && t("server.disk_of", { total: bytes(disk.total_bytes) })], [t("server.pack"), pack.name, pack.licence]]),
    accuracy(pack)));
}

export function accuracy(pack) {
  if (!pack.calibration) return note(t("server.no_calibration"));
  return table([[t("accuracy.rate")], [t("accuracy.score"), "n"], [t("compare.cosine"), "n"]], pack.calibration.far.map((one) => [oneIn(one.rate), number(one.score), number(one.cosine, 4)]));
}

function failures(items, tell) {
  if (!items.length) return empty("check", t("server.no_errors"), t("server.no_errors_text"));
  return table([["log_id"], [t("server.interface")], [t("server.code")], [t("server.took"), "n wide"]],
    items.map((one) => [h("div", {}, button(String(one.log_id), { class: "little mono", onclick: () => tell(one.log_id) }), h("div", { class: "quiet small" }, time(one.time))), `${dialectName(one.dialect)} ${one.interface}`, h("div", { style: { "min-width": "74px" } }, tag(`${one.code}`, "bad")), ms(one.milliseconds)]));
}

function told(one) {
  return h("div", { class: "stack tight" }, facts([[t("server.when"), time(one.time)], [t("server.interface"), `${dialectName(one.dialect)} ${one.interface}`], [t("server.path"), one.path], [t("server.code"), String(one.code), `HTTP ${one.status}`], [t("server.took"), ms(one.milliseconds)], [t("server.gone"), one.gone ? t("yes") : null]]),
    h("div", { class: "legend" }, Object.entries(one.stages).map(([name, value], index) => h("span", {}, h("i", { class: `tone-${index % 8}` }), stageName(name), " ", h("b", {}, ms(value))))));
}
