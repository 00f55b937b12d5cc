/** The studio: describe, choose, watch, and work on what came of it. */

import { $ } from "./api.js";
import "./describe.js";
import { addPrompt, choices, named, plan, prompts } from "./draw.js";
import { recent } from "./jobs.js";
import { keep, kept, putBack } from "./kept.js";
import { families } from "./picture.js";
import { watch } from "./watch.js";

const SECONDS = 15;

async function health() {
  try {
    const body = await (await fetch("/health")).json();
    const down = Object.entries(body.servers).filter(([, state]) => state !== "serving").map(([name, state]) => `${name} ${state}`);
    $("state").className = body.status;
    $("state").textContent = down.join(", ") || "all servers serve";
  } catch {
    $("state").className = "degraded";
    $("state").textContent = "the gateway can't be reached";
  }
}

putBack();
for (const [number, prompt] of (kept.prompts ?? []).entries()) {
  addPrompt(prompt);
  if (prompt.chosen) $(`p${number}`).checked = true;
}
keep(() => ({ prompts: prompts(), sizes: named() }));
addEventListener("hashchange", () => watch(location.hash.slice(1)));
if (location.hash.length > 1) watch(location.hash.slice(1));
else recent();
choices().then(() => { putBack(); plan(); }, (error) => { $("plan").textContent = error.message; });
families().catch(() => {});
health();
setInterval(() => { if (!document.hidden) health(); }, 1000 * SECONDS);
