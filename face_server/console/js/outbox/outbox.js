// Photos on their way into groups. They leave one after the other, whichever page is shown, and go on after a reload of the
// page or a restart of the server. Of several tabs one sends. A photo that was sent twice is one face: the server knows it again.

import * as api from "../api.js";
import * as shelf from "./shelf.js";

const NAME = "face-outbox";
const AT_ONCE = 3;
const [FIRST_WAIT, LONGEST_WAIT] = [400, 5000]; // milliseconds before the next try
const AWAY = [429, 502, 503, 504]; // the server, or a proxy in front of it, asks for patience

const told = new EventTarget();
let account = null;
let notes = []; // { id, by, app, group, gates, user, path, state: left | stopped | added | refused, begun, error }
let running = null;
let sending = false; // this tab is the one
let keeping = 0;
let away = false;

window.addEventListener("beforeunload", (event) => keeping && event.preventDefault());

const tell = () => told.dispatchEvent(new Event("change"));
export const watch = (handler, signal) => told.addEventListener("change", handler, { signal });

export function of(app, group) {
  const own = notes.filter((note) => note.app === app && note.group === group);
  const here = (state) => own.filter((note) => note.state === state);
  const [left, stopped, refused] = ["left", "stopped", "refused"].map(here);
  return { total: own.length, left, stopped, refused, added: here("added").length, away, lasting: left.every(({ id }) => id > 0) };
}

export async function resume(name) {
  account = name;
  await load();
  return go();
}

// `files` are { file, path, user } of one drop.
export async function add(app, group, gates, files) {
  const before = of(app, group);
  if (!before.left.length) await clear(app, group, ["added", "refused"]);
  const pairs = files.map(({ file, path, user }) => [{ by: account, app, group, gates: { ...gates }, user, path, state: "left", begun: false, error: null }, file]);
  keeping++;
  try {
    await shelf.keep(pairs);
  } finally {
    keeping--;
  }
  notes.push(...pairs.map(([note]) => note).filter(({ id }) => id < 0));
  await load();
  go();
}

export const stop = (app, group) => mark(of(app, group).left, "stopped");

export async function again(chosen) {
  await mark(chosen, "left");
  go();
}

export async function clear(app, group, states = ["added", "refused", "stopped"]) {
  const gone = notes.filter((note) => note.app === app && note.group === group && states.includes(note.state));
  notes = notes.filter((note) => !gone.includes(note));
  await shelf.drop(gone);
  tell();
}

// Who signs out leaves no photos on a machine that others use.
export async function empty() {
  const gone = notes;
  notes = [];
  await shelf.drop(gone);
}

async function load() {
  const found = (await shelf.notes()).filter(({ by }) => by === account);
  const known = new Map(notes.map((note) => [note.id, note]));
  notes = [...notes.filter(({ id }) => id < 0), ...found.map((note) => (sending && known.get(note.id)) || note)];
  tell();
}

async function mark(chosen, state) {
  for (const note of chosen) note.state = state;
  await write(chosen);
}

// A note that could not be written costs a second try after a reload, nothing more.
async function write(changed, done) {
  await shelf.change(changed, done).catch(() => undefined);
  tell();
}

function go() {
  running ??= alone(sendAll).finally(() => {
    running = null;
    if (account !== null && notes.some(({ state }) => state === "left")) go();
  });
  return running;
}

// Browsers lend locks to pages over TLS and from this machine only. Without one, two tabs may do the same work twice.
async function alone(work) {
  if (!navigator.locks) return work();
  const watching = setInterval(load, 1000); // what the other tab does meanwhile
  return navigator.locks.request(NAME, async () => {
    clearInterval(watching);
    await load();
    await work();
  });
}

async function sendAll() {
  sending = true;
  const taken = new Set();
  const next = () => notes.find((note) => note.state === "left" && !taken.has(note.id));
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let note = next(); note && account !== null; note = next()) {
        taken.add(note.id);
        await send(note);
      }
    }));
  } finally {
    sending = false;
  }
}

async function send(note) {
  let uncertain = note.begun; // an answer may have been lost
  note.begun = true;
  if (!uncertain) await write([note]);
  for (let wait = FIRST_WAIT; note.state === "left" && account !== null; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      await post(note);
      return settle(note, "added");
    } catch (error) {
      if (error.code === "face_exists" && uncertain) return settle(note, "added");
      if (error.status === 401) return void (account = null); // until somebody signs in
      if (!isAway(error)) return settle(note, "refused", error);
    }
    uncertain = true;
    away = true;
    tell();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  return undefined;
}

async function post({ id, app, group, user, gates }) {
  const content = await shelf.file(id);
  if (!content) throw Object.assign(new Error("The photo has gone."), { code: "photo_gone" });
  const body = await content.arrayBuffer(); // fails here, and not as if the network did, when the file has gone
  await api.post("faces", { body, query: { app, group, user, ...gates } });
  away = false;
}

const isAway = (error) => AWAY.includes(error.status) || (error instanceof TypeError && error.status === undefined);

async function settle(note, state, error) {
  Object.assign(note, { state, begun: false, error: error ? { code: error.code, message: error.message, logId: error.logId } : null });
  away = false;
  await write([note], state === "added");
}
