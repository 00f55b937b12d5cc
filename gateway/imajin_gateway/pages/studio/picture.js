/** One picture that is worked on: edited, made files of, asked where it comes from. */

import { $, ask, events, kibibytes, make, show } from "./api.js";
import { blank, painted } from "./mask.js";
import { phase } from "./phases.js";

const VERDICTS = {
  generated: "A model made it: a signer that is trusted here says so, and nothing was changed since.",
  "generated-untrusted": "A model made it, says a signer that isn't trusted here; nothing was changed since.",
  "generated-by-mark": "A model made it: its pixels hold the invisible mark.",
  "not-generated": "Its manifest holds, and says nothing of a model.",
  broken: "Its manifest is broken, or the picture was changed since it was signed.",
  none: "Nothing says that a model made it.",
};
let picture;
let stop;

/** Takes a picture to work on. Raises where it is none that the browser can show. */
export async function workOn(blob, name) {
  const url = URL.createObjectURL(blob), image = new Image();
  image.src = url;
  try { await image.decode(); } catch {
    URL.revokeObjectURL(url);
    throw new Error(`${name} is no picture that this browser can show`);
  }
  if (picture) URL.revokeObjectURL(picture.url);
  picture = { blob, name, url };
  $("original").src = url;
  blank(image.naturalWidth, image.naturalHeight);
  $("about").textContent = `${name}, ${image.naturalWidth}×${image.naturalHeight}, ${kibibytes(blob.size)}.`;
  $("work-said").textContent = "";
  $("made").replaceChildren();
  show($("picture"));
  $("picture").hidden = false;
  $("work").scrollIntoView({ block: "start" });
}

async function take(file) {
  if (!file) return;
  show($("drop"));
  try { await workOn(file, file.name || "pasted"); } catch (error) { show($("drop"), error); }
}
$("file").addEventListener("change", () => take($("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) $("work").addEventListener(kind, (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  if (kind === "drop") take(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => { if (event.clipboardData?.files.length) take(event.clipboardData.files[0]); });

function upload(spec) {
  const form = new FormData();
  form.set("spec", JSON.stringify(spec));
  form.set("image", picture.blob, picture.name);
  return form;
}

/** Runs `work` with the buttons off, and shows what goes wrong. */
async function busy(said, work) {
  const buttons = $("picture").querySelectorAll("form button:not(#edit-stop)");
  show($("picture"));
  $("work-said").textContent = said;
  for (const button of buttons) button.disabled = true;
  try { await work(); } catch (error) { $("work-said").textContent = error.name === "AbortError" ? "Cancelled." : ""; show($("picture"), error); } finally { for (const button of buttons) button.disabled = false; }
}

function addMade(name, image) {
  const bytes = Uint8Array.from(atob(image.imageData), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: `image/${image.format}` }), url = URL.createObjectURL(blob);
  const file = image.fileName || `${name}.${image.format}`;
  const facts = ` ${image.width}×${image.height} · ${image.format} · ${kibibytes(bytes.length)} `;
  const go = make("button", { type: "button", className: "link", textContent: "work on it", onclick: () => workOn(blob, file).catch((error) => show($("picture"), error)) });
  $("made").append(make("figure", {}, make("img", { src: url, alt: name, width: image.width, height: image.height }), make("figcaption", {}, make("b", { textContent: name }), facts, make("a", { href: url, download: file, textContent: "save" }), " ", go)));
}

$("strength").addEventListener("input", () => { $("strength-said").textContent = $("strength").valueAsNumber.toFixed(2); });
$("edit").addEventListener("submit", (event) => {
  event.preventDefault();
  busy("…", async () => {
    const spec = { prompt: $("edit-prompt").value, strength: $("strength").valueAsNumber, previewInterval: 4 };
    if ($("edit-seed").value) spec.seed = $("edit-seed").valueAsNumber;
    const form = upload(spec), mask = await painted();
    if (mask) form.set("mask", mask, "mask.png");
    stop = new AbortController();
    $("edit-preview").hidden = true;
    $("edit-stop").hidden = $("edit-watch").hidden = false;
    $("edit-fraction").value = 0;
    $("work-said").scrollIntoView({ block: "nearest" });
    try {
      const answer = await ask("/edit", form, { headers: { accept: "text/event-stream" }, signal: stop.signal });
      for await (const [name, data] of events(answer)) {
        if (name === "progress") { $("work-said").textContent = phase(data); $("edit-fraction").value = data.fraction; }
        else if (name === "preview") { $("edit-preview").src = `data:image/jpeg;base64,${data.imageData}`; $("edit-preview").hidden = false; }
        else if (name === "result") { addMade(spec.prompt, data); $("work-said").textContent = `Done, seed ${data.seed}, model ${data.model}.`; }
      }
    } finally { $("edit-stop").hidden = $("edit-watch").hidden = true; }
  });
});
$("edit-stop").addEventListener("click", () => stop?.abort());

$("process").addEventListener("submit", (event) => {
  event.preventDefault();
  const operations = [...event.target.querySelectorAll(":checked[type=checkbox]")].map((box) => box.value);
  if (!operations.length) { show($("picture"), new Error("Choose at least one thing to do.")); return; }
  busy("Encoding …", async () => {
    const answer = await (await ask("/process", upload({ operations, family: $("family").value }))).json();
    const all = [...(answer.imageData ? [["result", answer]] : []), ...[...answer.variants, ...answer.derivatives].map((image) => [image.name, image])];
    $("made").replaceChildren();
    for (const [name, image] of all) addMade(name, image);
    $("work-said").textContent = `${all.length} file${all.length === 1 ? "" : "s"}.`;
  });
});

$("verify").addEventListener("click", () => busy("Looking …", async () => {
  const { verdict, manifest, mark } = await (await ask("/verify", upload({}))).json();
  const facts = [manifest?.model && `model ${manifest.model}`, manifest?.signer && `signed by ${manifest.signer}`, mark?.contentId && `mark ${mark.contentId}`].filter(Boolean);
  $("work-said").textContent = (VERDICTS[verdict] ?? verdict) + (facts.length ? ` ${facts.join(", ")}.` : "");
}));

/** Asks which families of derivatives there are. */
export async function families() {
  const { families: known, defaultFamily } = await (await ask("/families")).json();
  $("family").replaceChildren(...Object.keys(known).map((name) => make("option", { textContent: name, selected: name === defaultFamily })));
}
