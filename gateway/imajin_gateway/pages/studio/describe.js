/** A description becomes prompts, as they are written. */

import { $, ask, events, make, reveal, show } from "./api.js";
import { addPrompt, clearPrompts } from "./draw.js";

let stop;
$("describe").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, button = form.querySelector("button");
  show(form);
  stop = new AbortController();
  button.disabled = true;
  $("describe-stop").hidden = false;
  $("analysis").hidden = false;
  $("found").replaceChildren(make("span", { className: "soft", textContent: "Reading it …" }));
  $("reasoning").textContent = "";
  clearPrompts();
  const filters = { region: $("region").value, style: $("style").value };
  const body = { description: $("description").value, category: $("category").value, filters, locale: navigator.language, count: $("count").valueAsNumber || 0 };
  try {
    const answer = await ask("/analyze-context", body, { headers: { accept: "text/event-stream" }, signal: stop.signal });
    for await (const [name, data] of events(answer)) {
      if (name === "classification") classified(data);
      else if (name === "reasoning_delta") $("reasoning").textContent += data;
      else if (name === "prompt") addPrompt(data);
      else if (name === "result" && data.generationConfig?.style) $("choose").dataset.style = data.generationConfig.style;
    }
    $("choose").scrollIntoView({ block: "nearest" });
  } catch (error) {
    show(form, error);
    $("analysis").hidden = !$("reasoning").textContent;
  } finally {
    button.disabled = false;
    $("describe-stop").hidden = true;
  }
});
$("describe-stop").addEventListener("click", () => stop?.abort());
$("skip").addEventListener("click", () => {
  if (!$("description").reportValidity()) return;
  clearPrompts();
  addPrompt({ name: "As described", prompt: $("description").value, negativePrompt: "" });
  reveal($("choose"));
});

function classified(found) {
  $("found").replaceChildren();
  const chip = (text, note) => make("span", { className: "chip" }, text, make("small", { textContent: note }));
  for (const culture of found.cultures) $("found").append(chip(culture.displayName || culture.name, `${Math.round(culture.confidence * 100)} %`));
  for (const kind of ["occasions", "attire", "food", "places", "periods"]) for (const name of found[kind]) $("found").append(chip(name, kind));
  for (const name of found.avoid.slice(0, 4)) $("found").append(chip(name, "avoid"));
  if (!$("found").children.length) $("found").append(chip("no culture named", ""));
}
