// The picture of a registered face, where the operator keeps pictures.

import { keepsPictures, pictureUrl } from "../api.js";
import { h, icon, put } from "./dom.js";

export function thumbnail(app, face, alt = "") {
  const node = h("span", { class: "avatar" }, icon("library"));
  if (face) {
    keepsPictures().then((kept) => kept && put(node, h("img", { src: pictureUrl(app, face), alt, class: "avatar", loading: "lazy", onerror: () => put(node, icon("library")) })));
  }
  return node;
}
