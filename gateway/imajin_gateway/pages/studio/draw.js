/** A prompt and sizes become a job. */

import { $, ask, make, reveal, show } from "./api.js";
import { kept } from "./kept.js";

const USUAL = ["hero", "og", "sidebar", "square"];
let models = [];

export function clearPrompts() { $("prompts").replaceChildren(); }

/** Adds a prompt that can be chosen and changed; the first one is chosen. */
export function addPrompt({ name, prompt, negativePrompt }) {
  const number = $("prompts").children.length;
  const radio = make("input", { type: "radio", name: "prompt", checked: !number, id: `p${number}` });
  const text = make("textarea", { value: prompt, maxLength: 4000, required: true });
  text.setAttribute("aria-label", `Prompt ${name}`);
  const not = make("input", { type: "text", value: negativePrompt ?? "", maxLength: 4000, placeholder: "nothing" });
  const choose = () => { radio.checked = true; };
  text.addEventListener("focus", choose);
  not.addEventListener("focus", choose);
  const label = make("label", { htmlFor: radio.id }, make("b", { textContent: name }));
  $("prompts").append(make("div", { className: "prompt" }, radio, label, text, make("span"), make("label", { className: "not" }, "Not: ", not)));
  $("choose").hidden = false;
  plan();
}

/** The prompts as they stand, for the next time the page is loaded. */
export function prompts() {
  return [...$("prompts").children].map((row) => ({
    name: row.querySelector("b").textContent, prompt: row.querySelector("textarea").value, negativePrompt: row.querySelector(".not input").value,
    chosen: row.querySelector("[type=radio]").checked,
  }));
}

/** Asks which sizes, models and schedulers there are. */
export async function choices() {
  const { sizes } = await (await ask("/sizes")).json();
  const checked = kept.sizes ?? USUAL;
  for (const [name, { width, height }] of Object.entries(sizes)) {
    const box = make("input", { type: "checkbox", value: name, checked: checked.includes(name) });
    $("sizes").append(make("label", { className: "chip" }, box, name, make("small", { textContent: `${width}×${height}` })));
  }
  ({ models } = await (await ask("/models")).json());
  for (const model of models) $("model").append(make("option", { value: model.name, textContent: `${model.name}${model.loaded ? " (loaded)" : ""}` }));
  schedulers();
}

function schedulers() {
  const model = models.find((each) => ($("model").value ? each.name === $("model").value : each.isDefault));
  const before = $("scheduler").value;
  $("scheduler").replaceChildren(make("option", { value: "", textContent: "the model's" }), ...(model?.schedulers ?? []).map((name) => make("option", { textContent: name })));
  $("scheduler").value = model?.schedulers?.includes(before) ? before : "";
  $("steps").placeholder = model?.defaultSteps || "the model's";
  $("guidance").placeholder = model?.defaultGuidanceScale ?? "the model's";
}

export const named = () => [...$("sizes").querySelectorAll(":checked")].map((box) => box.value);
export const wanted = () => [...new Set([...named(), ...$("more").value.split(",").map((size) => size.trim()).filter(Boolean)])];

let planned = 0;
/** Says which bases will be drawn. */
export async function plan() {
  const turn = ++planned, sizes = wanted();
  if (!sizes.length) { $("plan").textContent = "Choose at least one size."; return; }
  try {
    const { bases, crops } = await (await ask("/generate/batch-sizes:plan", { sizes, model: $("model").value })).json();
    const most = Math.max(...crops.map((crop) => crop.upscale));
    if (turn === planned) $("plan").textContent = `${crops.length} size${crops.length > 1 ? "s" : ""} from ${bases.length} base${bases.length > 1 ? "s" : ""}: ` + bases.map((base) => `${base.name} ${base.width}×${base.height}`).join(", ") + (most > 1 ? `; enlarged up to ${most.toFixed(1)} times` : "") + ".";
  } catch (error) { if (turn === planned) $("plan").textContent = error.message; }
}

/** Puts a job's prompt, sizes and seed into the form. */
export function takeOver(job) {
  clearPrompts();
  addPrompt({ name: "As drawn before", prompt: job.prompt, negativePrompt: "" });
  const names = Object.keys(job.images), boxes = [...$("sizes").querySelectorAll("input")];
  // One that was cancelled early has no images to tell its sizes by.
  if (names.length) {
    for (const box of boxes) box.checked = names.includes(box.value);
    $("more").value = names.filter((name) => /^\d+x\d+$/.test(name)).join(", ");
  }
  $("seed").value = job.seed ?? "";
  plan();
  reveal($("choose"));
  $("choose").scrollIntoView({ block: "start" });
}

$("draw").addEventListener("change", (event) => { if (event.target === $("model")) schedulers(); plan(); });
$("draw").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, button = form.querySelector("button:not([type])");
  show(form);
  const row = form.querySelector("input[name=prompt]:checked").closest(".prompt");
  const body = { prompt: row.querySelector("textarea").value, negativePrompt: row.querySelector(".not input").value, sizes: wanted(), model: $("model").value };
  for (const [field, id] of [["seed", "seed"], ["steps", "steps"], ["guidanceScale", "guidance"]]) if ($(id).value) body[field] = $(id).valueAsNumber;
  for (const field of ["scheduler", "format"]) if ($(field).value) body[field] = $(field).value;
  if ($("overlay").value) body.textOverlay = { text: $("overlay").value };
  const style = $("style").value || $("choose").dataset.style;
  if (style && !body.model) body.style = style;
  button.disabled = true;
  try {
    const { job_id: id } = await (await ask("/generate/batch-sizes", body, { headers: { "idempotency-key": crypto.randomUUID?.() ?? String(Math.random()) } })).json();
    location.hash = id;
  } catch (error) { show(form, error); } finally { button.disabled = false; }
});
