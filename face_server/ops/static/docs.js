// Shows openapi.json: every interface with its fields, and a form to try it. No other file, no other host.

const page = document.getElementById("operations");
const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** A schema with its reference followed. */
function resolve(api, schema) {
  const path = schema?.$ref?.replace("#/", "").split("/");
  return path ? path.reduce((place, key) => place[key], api) : schema ?? {};
}

function typeOf(api, schema) {
  const found = resolve(api, schema);
  const options = found.anyOf ?? found.oneOf;
  if (options) return options.map((option) => typeOf(api, option)).join(" | ");
  if (found.type === "array") return `${typeOf(api, found.items)}[]`;
  return [found.type ?? "any", found.format ? `(${found.format})` : ""].join(" ").trim();
}

function limits(schema) {
  const said = [];
  if (schema.enum) said.push(`one of ${schema.enum.join(", ")}`);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.minimum !== undefined) said.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`up to ${schema.maximum}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) said.push(schema.pattern);
  return said.join("; ");
}

function table(api, rows) {
  const head = make("tr", {}, ...["name", "type", "", "meaning"].map((text) => make("th", { textContent: text })));
  const body = rows.map(({ name, schema, required, description }) => {
    const found = resolve(api, schema);
    const about = [description ?? schema?.description ?? found.description, limits(found)].filter(Boolean).join(" - ");
    const texts = [typeOf(api, schema), required ? "required" : "", about];
    return make("tr", {}, make("td", {}, make("code", { textContent: name })), ...texts.map((text) => make("td", { textContent: text })));
  });
  return make("div", { className: "table" }, make("table", {}, head, ...body));
}

function fields(api, schema) {
  const found = resolve(api, schema);
  const object = found.type === "array" ? resolve(api, found.items) : found;
  const required = new Set(object.required ?? []);
  return Object.entries(object.properties ?? {}).map(([name, part]) => ({ name, schema: part, required: required.has(name) }));
}

/** A body to begin with: the example of the interface, or its required fields. */
function example(api, media) {
  const given = media?.example ?? Object.values(media?.examples ?? {})[0]?.value ?? resolve(api, media?.schema).example;
  if (given !== undefined) return given;
  const parts = fields(api, media?.schema).filter((field) => field.required);
  const body = Object.fromEntries(parts.map(({ name, schema }) => [name, resolve(api, schema).example ?? ""]));
  return resolve(api, media?.schema).type === "array" ? [body] : body;
}

const asText = (value) => JSON.stringify(value, null, 2);

function asBase64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Puts a picture into every field named image, in an object or in the objects of an array. */
function withPicture(text, picture) {
  const body = JSON.parse(text || "{}");
  for (const part of [body].flat()) part.image = picture;
  return asText(body);
}

function shorten(key, value) {
  return typeof value === "string" && value.length > 400 ? `${value.slice(0, 60)}... (${value.length} characters)` : value;
}

function tryForm(api, method, path, operation) {
  const media = resolve(api, operation.requestBody)?.content?.["application/json"];
  const query = make("input", { placeholder: "query: name=value&name=value" });
  const body = make("textarea", { spellcheck: false, value: method === "get" ? "" : asText(example(api, media)) });
  const picture = make("input", { type: "file", accept: "image/*", title: "a picture for the fields named image" });
  const answer = make("pre", { hidden: true });
  let chosen = "";
  picture.onchange = async () => { chosen = picture.files[0] ? await asBase64(picture.files[0]) : ""; };
  const send = make("button", { textContent: "Send" });
  send.onclick = async () => {
    answer.hidden = false;
    const begun = performance.now();
    try {
      const content = method === "get" ? undefined : chosen ? withPicture(body.value, chosen) : body.value;
      const target = path.replace(/^\//, "") + (query.value ? `?${query.value}` : "");
      const reply = await fetch(target, { method: method.toUpperCase(), body: content, headers: content ? { "Content-Type": "application/json" } : {} });
      const text = await reply.text();
      const spent = Math.round(performance.now() - begun);
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), shorten, 2); } catch { /* not every answer is JSON */ }
      answer.textContent = `${reply.status}, ${spent} ms\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  const row = make("div", { className: "try" }, query, method === "get" ? null : picture, send);
  return make("section", {}, make("h3", { textContent: "Try it" }), method === "get" ? null : body, row, answer);
}

function content(api, method, path, operation) {
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(api, parameter));
  const body = Object.values(resolve(api, operation.requestBody)?.content ?? {})[0];
  const rows = [...parameters, ...fields(api, body?.schema)];
  const answers = Object.entries(operation.responses ?? {}).map(([code, response]) => {
    const media = Object.values(resolve(api, response).content ?? {})[0];
    const shown = media?.example ?? Object.values(media?.examples ?? {})[0]?.value;
    return make("div", {}, `${code}: ${resolve(api, response).description ?? ""}`, shown === undefined ? null : make("pre", { textContent: asText(shown) }));
  });
  return make(
    "div", {},
    make("p", { className: "text", textContent: operation.description ?? "" }),
    ...(rows.length ? [make("h3", { textContent: "Fields" }), table(api, rows)] : []),
    ...(answers.length ? [make("h3", { textContent: "Answers" }), ...answers] : []),
    tryForm(api, method, path, operation),
  );
}

function operationNode(api, method, path, operation) {
  const summary = make(
    "summary", {},
    make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
    make("span", { className: "path", textContent: path }),
    make("span", { className: "title", textContent: operation.summary ?? "" }),
  );
  const node = make("details", {}, summary);
  node.dataset.words = `${method} ${path} ${operation.summary ?? ""} ${operation.description ?? ""}`.toLowerCase();
  // Filled when it is opened: a long list must show at once.
  node.addEventListener("toggle", () => node.append(content(api, method, path, operation)), { once: true });
  return node;
}

function show(api) {
  document.title = document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = item[method].tags?.[0] ?? "general";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationNode(api, method, path, item[method]));
    }
  }
  const about = make("p", { className: "text", textContent: api.info.description ?? "" });
  const sections = [...groups].map(([tag, nodes]) => make("section", {}, make("h2", { textContent: tag }), ...nodes));
  page.replaceChildren(about, ...sections);
}

document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const node of page.querySelectorAll("details")) {
    node.hidden = !words.every((word) => node.dataset.words.includes(word));
  }
  for (const section of page.querySelectorAll("main > section")) {
    section.hidden = !section.querySelector("details:not([hidden])");
  }
});

fetch("openapi.json")
  .then((reply) => reply.json())
  .then(show)
  .catch((error) => page.replaceChildren(`openapi.json cannot be read: ${error}`));
