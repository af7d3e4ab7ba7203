// One table of texts per language; a test finds keys that one of them lacks.

import en from "./i18n/en.js";
import zh from "./i18n/zh.js";

const TABLES = { en, zh };
export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const locale = language === "zh" ? "zh-CN" : "en-GB";

export function t(key, values = {}) {
  const text = TABLES[language][key] ?? TABLES.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

export const has = (key) => key in TABLES.en;

export function choose(next) {
  localStorage.setItem("language", next);
  location.reload();
}

export const number = (value, digits = 0) =>
  Number(value).toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const count = (value) => Number(value).toLocaleString(locale);
export const percent = (value, digits = 0) => `${number(value * 100, digits)} %`;
export const time = (seconds) =>
  new Date(seconds * 1000).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let step = 0;
  for (; value >= 1000 && step < 4; step++) value /= 1000;
  return `${number(value, step && value < 10 ? 1 : 0)} ${units[step]}`;
}

// A share as people say it: 1 in 12,000.
export function oneIn(share) {
  if (share >= 0.1) return percent(share);
  const many = 1 / share;
  const step = 10 ** Math.max(0, Math.floor(Math.log10(many)) - 1);
  return t("one_in", { n: count(Math.round(many / step) * step) });
}
