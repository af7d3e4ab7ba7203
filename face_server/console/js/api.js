// The admin API of this server. Addresses are seen from this file, so that it also works behind a proxy's folder.

export const ROOT = new URL("../../", import.meta.url);
const BASE = new URL("admin/v1/", ROOT).href;

export class Failure extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.parameter = body?.error?.parameter ?? "";
    this.logId = body?.log_id;
  }
}

function csrf() {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith("face_csrf="));
  return found ? decodeURIComponent(found.slice("face_csrf=".length)) : "open";
}

let signIn = null;
export const onSignIn = (handler) => (signIn = handler);

async function send(method, path, { query, body, json, signal } = {}) {
  const address = query ? `${path}?${parameters(query)}` : path;
  const headers = method === "GET" ? {} : { "X-CSRF-Token": csrf() };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  else if (body) headers["Content-Type"] = "application/octet-stream";
  const answer = await fetch(BASE + address, { method, headers, body: json === undefined ? body : JSON.stringify(json), signal });
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's page of an error is no JSON; the status says enough.
  }
  if (answer.ok) return content;
  const failure = new Failure(answer.status, content);
  if (answer.status === 401 && path !== "session" && signIn) signIn(failure);
  throw failure;
}

function parameters(query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") found.append(name, one);
    }
  }
  return found;
}

export const get = (path, query, signal) => send("GET", path, { query, signal });
export const post = (path, options) => send("POST", path, options);
export const patch = (path, json) => send("PATCH", path, { json });
export const replace = (path, query, json) => send("PUT", path, { query, json });
export const remove = (path, query) => send("DELETE", path, { query });
export const pictureUrl = (app, face) => `${BASE}faces/${face}/picture?${parameters({ app, quiet: true })}`;

export const sendTo = (path, options) => fetch(new URL(path, ROOT), options);

let kept = null;
// Whether asking for pictures of registered faces can succeed at all.
export const keepsPictures = () =>
  (kept ??= get("settings").then(({ items }) => items.find(({ name }) => name === "store_pictures")?.value !== "none", () => true));

let about = null;
export const aboutServer = () => (about ??= get("about").catch((error) => ((about = null), Promise.reject(error))));

export async function all(path, query, most = 1000) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(path, { ...query, cursor, limit: 200 });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}
