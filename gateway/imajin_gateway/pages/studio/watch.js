/** A job as it happens: the one that the address names. */

import { $, ask, kibibytes, make, reveal, show } from "./api.js";
import { takeOver } from "./draw.js";
import { recent } from "./jobs.js";
import { phase } from "./phases.js";
import { workOn } from "./picture.js";

let source;
let watched;
/** Watches the job `id` and no other; nothing where there is none. */
export function watch(id) {
  source?.close();
  if (!id) { $("job").hidden = true; return; }
  reveal($("job"));
  $("images").replaceChildren();
  $("preview").hidden = true;
  $("fraction").value = 0;
  $("phase").textContent = "…";
  $("cancel").hidden = $("cancel").disabled = false;
  $("again").hidden = true;
  show($("job"));
  const path = `/jobs/${encodeURIComponent(id)}`;
  source = new EventSource(`${path}/events`);
  const on = (name, handle) => source.addEventListener(name, (event) => handle(event.data && JSON.parse(event.data)));
  on("progress", (progress) => {
    $("phase").textContent = phase(progress);
    $("fraction").value = progress.fraction;
  });
  on("preview", (preview) => {
    $("preview").src = `data:image/jpeg;base64,${preview.imageData}`;
    $("preview").hidden = false;
  });
  on("image_ready", ({ name, image }) => addImage(name, image));
  on("job", finished);
  on("end", () => source.close());
  on("error", (error) => {
    if (error) show($("job"), new Error(`${error.error} (${error.code})`));
    else if (source.readyState === EventSource.CLOSED) ask(`${path}?images=urls`).then((answer) => answer.json()).then(finished, lost);
    else $("phase").textContent = "The connection broke; trying again …";
  });
  $("cancel").onclick = () => {
    $("cancel").disabled = true;
    $("phase").textContent = "Cancelling …";
    ask(`${path}:cancel`, undefined, { method: "POST" }).catch((error) => { $("cancel").disabled = false; show($("job"), error); });
  };
  recent();
}

function lost(error) {
  $("phase").textContent = "";
  $("cancel").hidden = $("preview").hidden = true;
  show($("job"), error);
}

function addImage(name, image) {
  if (!image.url || $("images").querySelector(`[data-name="${CSS.escape(name)}"]`)) return;
  const facts = `${image.width}×${image.height} · ${image.format ?? ""} · ${kibibytes(image.bytes)}` + (image.upscale > 1 ? ` · enlarged ${image.upscale.toFixed(1)}×` : "");
  const file = `${name}.${image.format ?? "bin"}`;
  const link = make("a", { href: image.url, target: "_blank" }, make("img", { src: image.url, alt: name, width: image.width, height: image.height }));
  const work = make("button", { type: "button", className: "link", textContent: "work on it", onclick: () => workOnUrl(image.url, file) });
  const figure = make("figure", {}, link, make("figcaption", {}, make("b", { textContent: name }), ` ${facts} `, make("a", { href: image.url, download: file, textContent: "save" }), " ", work));
  figure.dataset.name = name;
  $("images").append(figure);
}

async function workOnUrl(url, name) {
  try { await workOn(await (await ask(url)).blob(), name); } catch (error) { show($("job"), error); }
}

function finished(job) {
  for (const [name, image] of Object.entries(job.images)) addImage(name, image);
  watched = job;
  $("cancel").hidden = $("preview").hidden = true;
  $("again").hidden = !job.prompt;
  if (job.status === "completed") $("fraction").value = 1;
  const count = Object.keys(job.images).length;
  const bases = job.bases_generated ? ` from ${job.bases_generated} base${job.bases_generated > 1 ? "s" : ""}` : "";
  const seconds = job.endTime && job.startTime ? ` in ${((new Date(job.endTime) - new Date(job.startTime)) / 1000).toFixed(1)} s` : "";
  $("phase").textContent = { completed: `Done: ${count} image${count === 1 ? "" : "s"}${bases}${seconds}, seed ${job.seed}, model ${job.model}.`, failed: "It failed.", cancelled: "Cancelled." }[job.status] ?? `The job is ${job.status}.`;
  if (job.error) show($("job"), new Error(`${job.error.error} (${job.error.code})`));
  recent();
}

$("again").addEventListener("click", () => takeOver(watched));
