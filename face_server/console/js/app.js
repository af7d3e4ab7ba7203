// The frame around the pages: navigation, language, theme, who is signed in.

import { enter, may } from "./account.js";
import * as api from "./api.js";
import { choose, language, t } from "./i18n.js";
import * as outbox from "./outbox/outbox.js";
import { h, icon, put } from "./ui/dom.js";
import { button, complain, explain, field, iconButton, note, skeleton } from "./ui/parts.js";

const PAGES = {
  try: () => import("./pages/try.js"),
  compare: () => import("./pages/compare.js"),
  library: () => import("./pages/library.js"),
  search: () => import("./pages/search.js"),
  live: () => import("./pages/live.js"),
  server: () => import("./pages/server.js"),
  settings: () => import("./pages/settings.js"),
};

const main = document.getElementById("main");
const nav = h("nav", { class: "nav", "aria-label": t("nav.label") });
let leave = new AbortController();
let session = null;

function shell() {
  document.title = t("brand");
  document.getElementById("skip").textContent = t("nav.skip");
  const dot = h("span", { class: "dot" });
  const health = h("span", {}, t("health.asking"));
  nav.replaceChildren(...Object.keys(PAGES).map((name) => h("a", { href: `#${name}`, "data-page": name }, icon(name), h("span", {}, t(`nav.${name}`)))));
  const account = h("span", {});
  put(document.getElementById("side"),
    h("a", { class: "brand", href: "#try" }, h("img", { src: "console/icon.svg", alt: "" }), t("brand")),
    nav,
    h("div", { class: "side-foot" },
      h("div", { class: "health" }, dot, health),
      h("div", { class: "row" },
        button(language === "zh" ? "English" : "中文", { class: "plain little", lang: language === "zh" ? "en" : "zh-CN", onclick: () => choose(language === "zh" ? "en" : "zh") }),
        themeButton(), account)));
  if (session && !session.open) put(account, iconButton("leave", t("session.leave", { name: session.name }), { class: "plain little", onclick: signOut }));
  watchHealth(dot, health);
}

async function signOut() {
  await api.remove("session");
  await outbox.empty();
  location.reload();
}

function themeButton() {
  const root = document.documentElement;
  const dark = () => root.dataset.theme === "dark";
  const node = iconButton(dark() ? "sun" : "moon", t("theme.change"), {
    class: "plain little",
    onclick: () => {
      root.dataset.theme = dark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      put(node, icon(dark() ? "sun" : "moon"));
    },
  });
  return node;
}

let watching = 0;
function watchHealth(dot, text) {
  clearInterval(watching);
  const look = async () => {
    if (document.hidden) return;
    const ready = await api.sendTo("readyz").then((answer) => answer.ok, () => false);
    dot.className = `dot ${ready ? "good" : "bad"}`;
    text.textContent = t(ready ? "health.ready" : "health.not_ready");
  };
  look();
  watching = setInterval(look, 15000);
}

async function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const page = PAGES[name] ? name : "try";
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  for (const link of nav.children) link.toggleAttribute("aria-current", link.dataset.page === page);
  for (const link of nav.children) if (link.dataset.page === page) link.setAttribute("aria-current", "page");
  const root = h("div", { class: "page" }, skeleton(34), skeleton(260));
  put(main, root);
  document.title = `${t(`nav.${page}`)} · ${t("brand")}`;
  try {
    const module = await PAGES[page]();
    if (!signal.aborted) await module.show(root, { signal, path: rest.map(decodeURIComponent) });
  } catch (error) {
    if (!signal.aborted && error.status !== 401) put(root, h("h1", {}, t(`nav.${page}`)), note(explain(error), "bad"), h("div", {}, button(t("again"), { onclick: show }, "refresh")));
  }
}

function signIn(reason) {
  leave.abort();
  const name = h("input", { class: "input", autocomplete: "username", required: true, value: "admin" });
  const password = h("input", { class: "input", type: "password", autocomplete: "current-password", required: true });
  const trouble = h("div", {});
  const form = h("form", { class: "card stack", onsubmit: async (event) => {
    event.preventDefault();
    try {
      session = await api.post("session", { json: { name: name.value, password: password.value } });
      begin();
    } catch (error) {
      put(trouble, note(explain(error), "bad"));
    }
  } }, h("div", { class: "brand" }, h("img", { src: "console/icon.svg", alt: "" }), t("brand")), h("h1", {}, t("session.title")), field(t("session.name"), name), field(t("session.password"), password), trouble, h("button", { class: "button primary", type: "submit" }, t("session.enter")));
  if (reason?.code === "no_password") put(trouble, note(explain(reason), "warn"));
  put(document.getElementById("side"));
  put(main, h("div", { class: "page sign-in" }, form));
  password.focus();
}

function begin() {
  enter(session);
  shell();
  show();
  if (may("operator")) outbox.resume(session.name);
}

window.addEventListener("hashchange", () => session && show().then(() => main.focus({ preventScroll: true })));
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") complain(event.reason);
  event.preventDefault();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => event.preventDefault()); // a picture dropped beside its place must not replace the page
api.onSignIn((failure) => signIn(failure));

try {
  session = await api.get("session");
  begin();
} catch (error) {
  if (error.status === 401) signIn(error);
  else put(main, h("div", { class: "page" }, note(explain(error), "bad")));
}
