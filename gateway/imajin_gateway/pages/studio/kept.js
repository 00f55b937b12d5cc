/** What was typed stays when the page is loaded again, in this tab. */

import { $ } from "./api.js";

const KEY = "imajin-studio";
const FIELDS = ["description", "category", "region", "style", "count", "more", "model", "seed", "overlay", "steps", "guidance", "scheduler", "format"];
const stored = () => { try { return JSON.parse(sessionStorage.getItem(KEY)) ?? {}; } catch { return {}; } };
/** What was kept when the page was loaded: `prompts`, `sizes`, and the fields by their id. */
export const kept = stored();

/** Puts back what was typed. Options of a list must be there by now. */
export function putBack() {
  for (const id of FIELDS) if (kept[id]) $(id).value = kept[id];
}

/** Keeps it from now on. `more` gives what isn't a field. */
export function keep(more) {
  const write = () => {
    const fields = Object.fromEntries(FIELDS.map((id) => [id, $(id).value]));
    try { sessionStorage.setItem(KEY, JSON.stringify({ ...fields, ...more() })); } catch { /* A browser that stores nothing. */ }
  };
  addEventListener("pagehide", write);
  document.addEventListener("visibilitychange", write);
}
