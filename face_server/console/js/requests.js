// The same question as each vendor's clients ask it: to send it, and to print it as curl and Python.

import { ROOT, sendTo } from "./api.js";
import { base64 } from "./ui/drop.js";

const FIELDS = "age,gender,expression,glasses,quality,landmark,face_type,eye_status";
const PHOTO = (name) => ({ photo: name }); // stands for the picture's base64
const DATA = (name) => ({ photo: name, head: "data:image/jpeg;base64," });
const json = (path, body) => ({ method: "POST", path, kind: "json", body });
const form = (path, body) => ({ method: "POST", path, kind: "form", body });
const parts = (path, body) => ({ method: "POST", path, kind: "multipart", body });
const image = (name) => ({ image: PHOTO(name), image_type: "BASE64" });
const sid = { app_id: "default", app_secret: "SECRET" };

export const DIALECTS = ["baidu", "cloudwalk", "facebox", "sid", "enn", "cloud"];

const QUESTIONS = {
  look: {
    baidu: () => json("face-api/v3/face/detect?appid=default", { ...image("photo"), max_face_num: 10, face_field: FIELDS }),
    cloudwalk: () => form("face/tool/detect", { img: PHOTO("photo"), app_id: "default", app_secret: "SECRET" }),
    facebox: () => json("api/face/compare", { image1: DATA("photo"), image2: DATA("photo") }),
    sid: () => json("staticdb/search/feature", { ...sid, img: PHOTO("photo") }),
    enn: () => parts("cv/face/face_check", { image: PHOTO("photo"), max_num: "10" }),
    cloud: () => json("rest/2.0/face/v3/detect", { ...image("photo"), max_face_num: 10, face_field: FIELDS }),
  },
  compare: {
    baidu: () => json("face-api/v3/face/match?appid=default", [image("first"), image("second")]),
    cloudwalk: () => form("face/tool/compare", { imgA: PHOTO("first"), imgB: PHOTO("second"), app_id: "default", app_secret: "SECRET" }),
    facebox: () => json("api/face/compare", { image1: DATA("first"), image2: DATA("second") }),
    sid: () => json("staticdb/search/compare", { ...sid, imgA: PHOTO("first"), imgB: PHOTO("second") }),
    enn: () => parts("cv/face/face_compare", { image: PHOTO("first"), image_1: PHOTO("second") }),
    cloud: () => json("rest/2.0/face/v3/match", [image("first"), image("second")]),
  },
};

const SDK = {
  look: ["detect", 'photo, "BASE64", {"max_face_num": 10, "face_field": "' + FIELDS + '"}'],
  compare: ["match", '[{"image": first, "image_type": "BASE64"}, {"image": second, "image_type": "BASE64"}]'],
};

export const request = (question, dialect) => ({ ...QUESTIONS[question][dialect](), question, dialect });

// Walks the body and replaces each picture by what `give` makes of it.
function filled(value, give) {
  if (Array.isArray(value)) return value.map((one) => filled(one, give));
  if (value?.photo) return give(value);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, give)]));
  return value;
}

export async function ask(question, dialect, photos) {
  const asked = request(question, dialect);
  const texts = Object.fromEntries(await Promise.all(Object.entries(photos).map(async ([name, blob]) => [name, await base64(blob)])));
  let path = asked.path;
  if (dialect === "cloud") {
    const token = await sendTo("oauth/2.0/token?grant_type=client_credentials&client_id=default&client_secret=SECRET");
    const found = await reading(token);
    if (!found.body?.access_token) return found;
    path += `?access_token=${encodeURIComponent(found.body.access_token)}`;
  }
  const options = { method: asked.method };
  if (asked.kind === "multipart") {
    options.body = new FormData();
    for (const [name, value] of Object.entries(asked.body)) options.body.append(name, value.photo ? photos[value.photo] : value, ...(value.photo ? ["photo.jpg"] : []));
  } else {
    const body = filled(asked.body, ({ photo, head = "" }) => head + texts[photo]);
    options.body = asked.kind === "form" ? new URLSearchParams(body) : JSON.stringify(body);
    if (asked.kind === "json") options.headers = { "Content-Type": "application/json" };
  }
  return reading(await sendTo(path, options));
}

async function reading(answer) {
  const text = await answer.text();
  try {
    return { status: answer.status, body: JSON.parse(text) };
  } catch {
    return { status: answer.status, body: text };
  }
}

// An answer to read: texts of kilobytes are cut, long rows of points as well.
export function shortened(value) {
  if (typeof value === "string") return value.length > 160 ? `${value.slice(0, 60)}… (${value.length})` : value;
  if (Array.isArray(value)) return value.length > 6 ? [...value.slice(0, 4).map(shortened), `… (${value.length})`] : value.map(shortened);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shortened(one)]));
  return value;
}

export function curl(question, dialect) {
  const asked = request(question, dialect);
  const address = ROOT.href + asked.path;
  if (asked.kind === "multipart") {
    return [`curl '${address}'`, ...Object.entries(asked.body).map(([name, value]) => `  -F '${name}=${value.photo ? `@${value.photo}.jpg` : value}'`)].join(" \\\n");
  }
  if (asked.kind === "form") {
    const [words, photos] = [[], []];
    for (const [name, value] of Object.entries(asked.body)) (value.photo ? photos : words).push([name, value]);
    const files = photos.map(([, { photo }]) => `base64 -w0 ${photo}.jpg > ${photo}.txt`);
    return [...files, [`curl '${address}'`, ...photos.map(([name, { photo }]) => `  --data-urlencode '${name}@${photo}.txt'`), ...words.map(([name, value]) => `  -d '${name}=${value}'`)].join(" \\\n")].join("\n");
  }
  const body = JSON.stringify(filled(asked.body, ({ photo, head = "" }) => `${head}$(base64 -w0 ${photo}.jpg)`), null, 2);
  const token = dialect === "cloud" ? `TOKEN=$(curl -s '${ROOT.href}oauth/2.0/token?grant_type=client_credentials&client_id=API_KEY&client_secret=SECRET_KEY' \\\n  | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')\n` : "";
  const target = dialect === "cloud" ? `"${address}?access_token=$TOKEN"` : `'${address}'`;
  return `${token}curl ${target} -H 'Content-Type: application/json' -d @- <<END\n${body}\nEND`;
}

export function python(question, dialect) {
  const asked = request(question, dialect);
  const names = Object.keys(question === "look" ? { photo: 1 } : { first: 1, second: 1 });
  const reads = names.map((name) => `${name} = base64.b64encode(open("${name}.jpg", "rb").read()).decode()`).join("\n");
  if (dialect === "cloud") {
    const [method, given] = SDK[question];
    const here = ROOT.href.replace(/\/$/, "");
    return [
      "# pip install baidu-aip chardet", "import base64", "", "from aip import AipFace", "", "# The SDK's addresses are constants of its classes: let them lead here.",
      "for owner in AipFace.__mro__[:-1]:", "    for name, value in list(vars(owner).items()):", '        if isinstance(value, str) and "aip.baidubce.com" in value:',
      `            setattr(owner, name, value.replace("https://aip.baidubce.com", "${here}"))`, "", reads,
      'client = AipFace("APP_ID", "API_KEY", "SECRET_KEY")', `print(client.${method}(${given}))`,
    ].join("\n");
  }
  const address = ROOT.href + asked.path;
  if (asked.kind === "multipart") {
    const files = Object.entries(asked.body).filter(([, value]) => value.photo).map(([name, value]) => `"${name}": open("${value.photo}.jpg", "rb")`);
    const words = Object.entries(asked.body).filter(([, value]) => !value.photo).map(([name, value]) => `"${name}": "${value}"`);
    return `import requests\n\nanswer = requests.post(\n    "${address}",\n    files={${files.join(", ")}},${words.length ? `\n    data={${words.join(", ")}},` : ""}\n)\nprint(answer.json())`;
  }
  return `import base64\nimport requests\n\n${reads}\nanswer = requests.post(\n    "${address}",\n    ${asked.kind === "form" ? "data" : "json"}=${written(asked.body)},\n)\nprint(answer.json())`;
}

function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (value?.photo) return value.head ? `"${value.head}" + ${value.photo}` : value.photo;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `"${name}": ${written(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}
