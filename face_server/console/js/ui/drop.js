// Where a picture comes in: dropped, pasted, chosen or taken.

import { t } from "../i18n.js";
import { h, icon, newId } from "./dom.js";
import { button, dialog, say } from "./parts.js";

const LARGEST_SIDE = 4000;
const LARGEST_BYTES = 7_000_000; // base64 makes a third more of it, and vendors refuse above ten megabytes

// A picture: its bytes, an address for <img>, and its size when it is upright.
export async function load(file) {
  const image = await decode(file);
  const { naturalWidth: width, naturalHeight: height } = image;
  if (file.size <= LARGEST_BYTES && Math.max(width, height) <= LARGEST_SIDE) {
    return { bytes: file, name: file.name || "photo.jpg", image, url: image.src, width, height };
  }
  const shrunk = await shrink(image, LARGEST_SIDE);
  URL.revokeObjectURL(image.src);
  return load(new File([shrunk], file.name || "photo.jpg", { type: "image/jpeg" }));
}

async function decode(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(image.src);
    throw new Error(t("drop.no_picture", { name: file.name || "" }));
  }
  return image;
}

function shrink(image, side) {
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = h("canvas", { width: Math.round(image.naturalWidth * scale), height: Math.round(image.naturalHeight * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}

// `onpicture` gets one loaded picture. `paste`: this one takes what is pasted anywhere on the page.
export function drop({ title, onpicture, paste = true, compact = false, signal }) {
  const id = newId("file");
  const input = h("input", { type: "file", accept: "image/*", id, class: "hidden-text", tabindex: "-1", "aria-label": t("drop.choose"), onchange: () => (take(input.files), (input.value = "")) });
  const zone = h("div", { class: compact ? "drop bar" : "drop", role: "group", "aria-label": title },
    h("div", { class: "glyph" }, icon("photo")),
    h("div", { class: "stack tight grow hint" }, h("h2", {}, title), h("p", { class: "quiet small" }, t("drop.hint"))),
    h("div", { class: "row" },
      h("b", { class: "name" }, title),
      button(t("drop.choose"), { class: "primary", onclick: () => input.click() }),
      button(t("drop.camera"), { onclick: async () => { const shot = await takePhoto(); if (shot) await one(shot); } }, "camera")),
    input);

  async function one(file) {
    try {
      onpicture(await load(file));
      zone.classList.add("bar");
    } catch (error) {
      say(error.message, { kind: "bad", seconds: 6 });
    }
  }
  function take(files) {
    const first = [...files].find((file) => file.type.startsWith("image/")) ?? files[0];
    if (first) one(first);
  }
  let depth = 0;
  zone.addEventListener("dragenter", (event) => { event.preventDefault(); depth++; zone.classList.add("over"); });
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("dragleave", () => { if (--depth <= 0) zone.classList.remove("over"); });
  zone.addEventListener("drop", (event) => { event.preventDefault(); depth = 0; zone.classList.remove("over"); take(event.dataTransfer.files); });
  if (paste) document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files); }, { signal });
  zone.show = (file) => one(file);
  return zone;
}

export const canFilm = () => Boolean(navigator.mediaDevices?.getUserMedia);

export async function film(video, constraints) {
  if (!canFilm()) throw new Error(t("camera.insecure"));
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    throw new Error(t(error.name === "NotAllowedError" ? "camera.denied" : "camera.none"));
  }
  video.srcObject = stream;
  await video.play();
  return () => stream.getTracks().forEach((track) => track.stop());
}

export function frame(video, side = 1280) {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  const canvas = h("canvas", { width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale) });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

async function takePhoto() {
  const video = h("video", { playsinline: true, muted: true });
  let stop = () => {};
  const shot = await dialog(t("drop.camera"), (close) => {
    film(video, { video: { facingMode: "user", width: { ideal: 1280 } } }).then((ended) => (stop = ended)).catch((error) => { say(error.message, { kind: "bad" }); close(); });
    return [h("div", { class: "figure" }, video),
      h("div", { class: "actions" }, button(t("drop.shoot"), { class: "primary", onclick: async () => { if (video.videoWidth) close(new File([await frame(video, 2000)], "camera.jpg", { type: "image/jpeg" })); } }, "camera"))];
  });
  stop();
  return shot;
}
