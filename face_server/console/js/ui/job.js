// A job of the server, watched until it is over.

import * as api from "../api.js";
import { count, t } from "../i18n.js";
import { h, put } from "./dom.js";
import { button } from "./parts.js";

const OVER = ["done", "failed", "cancelled", "interrupted"];

export async function watch(started, place, signal) {
  let job = started;
  while (!OVER.includes(job.state) && !signal.aborted) {
    put(place, progress(job));
    await new Promise((resolve) => setTimeout(resolve, 700));
    job = await api.get(`jobs/${job.id}`, {}, signal);
  }
  return job;
}

// A job that has just ended cannot be cancelled, which needs no complaint.
const progress = (job) => h("div", { class: "stack tight" },
  h("div", { class: "progress", role: "progressbar", "aria-label": t("checks.title"), "aria-valuemax": job.total ?? 1, "aria-valuenow": job.done }, h("i", { style: { width: `${job.total ? (100 * job.done) / job.total : 10}%` } })),
  h("div", { class: "row spread" }, h("span", { class: "quiet small" }, t("checks.progress", { done: count(job.done), total: job.total === null ? "…" : count(job.total) })),
    button(t("cancel"), { class: "little", onclick: () => api.post(`jobs/${job.id}/cancel`).catch(() => {}) })));
