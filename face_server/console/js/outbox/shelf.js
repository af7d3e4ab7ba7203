// Where photos wait that are not sent yet: the browser's own database, so that they outlive a reload.
// A note says where a photo belongs and what became of it; the photo lies beside it, so that changing a note moves no photo.

const NAME = "face-outbox";
const AT_ONCE = 50; // photos in one transaction

let base = null;
let last = 0;
const spare = new Map(); // photos the browser had no room for, by ids below zero: they are lost with the page

function open() {
  base ??= new Promise((resolve) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("notes", { keyPath: "id", autoIncrement: true });
      asked.result.createObjectStore("files");
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => resolve(null); // a private window can have none
  }).catch(() => null);
  return base;
}

async function inside(work) {
  const database = await open();
  if (!database) return undefined;
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(["notes", "files"], "readwrite");
    const asked = work(transaction.objectStore("notes"), transaction.objectStore("files"));
    transaction.oncomplete = () => resolve(asked?.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const notes = async () => (await inside((table) => table.getAll())) ?? [];
export const file = async (id) => spare.get(id) ?? inside((_, files) => files.get(id));

// Takes [note, file] pairs and gives the notes their ids.
export async function keep(pairs) {
  let lasting = Boolean(await open());
  for (let at = 0; at < pairs.length; at += AT_ONCE) {
    const some = pairs.slice(at, at + AT_ONCE);
    lasting = lasting && (await put(some).then(() => true, () => false));
    if (!lasting) for (const [note, content] of some) spare.set((note.id = --last), content);
  }
}

const put = (pairs) => inside((table, files) => {
  for (const [note, content] of pairs) {
    const asked = table.add(note);
    asked.onsuccess = () => files.put(content, (note.id = asked.result));
  }
});

// `done`: the photo is not needed any more.
export async function change(changed, done = false) {
  if (done) for (const { id } of changed) spare.delete(id);
  await inside((table, files) => {
    for (const note of changed.filter(({ id }) => id > 0)) {
      table.put(note);
      if (done) files.delete(note.id);
    }
  });
}

export async function drop(dropped) {
  for (const { id } of dropped) spare.delete(id);
  await inside((table, files) => {
    for (const { id } of dropped) {
      table.delete(id);
      files.delete(id);
    }
  });
}
