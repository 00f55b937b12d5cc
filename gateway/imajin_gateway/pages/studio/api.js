/** Calls of the gateway, and small things for the page. */

export const $ = (id) => document.getElementById(id);

/** A node with its properties and children. */
export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** An answer; its error as one that people can read. `body` is JSON unless it is a form. */
export async function ask(path, body, options = {}) {
  const form = body instanceof FormData;
  const init = body === undefined ? {} : form ? { method: "POST", body } : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, { ...init, ...options, headers: { ...init.headers, ...options.headers } }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("the gateway can't be reached");
  });
  if (!answer.ok) throw await problem(answer);
  return answer;
}

async function problem(answer) {
  const body = await answer.json().catch(() => ({ error: answer.statusText, code: answer.status }));
  return new Error(`${body.error} (${body.code})`);
}

/** Shows an error in the nearest place for one, or takes it away. What was stopped by hand is none. */
export function show(place, error) {
  place.querySelector("[role=alert]").textContent = error && error.name !== "AbortError" ? error.message : "";
}

/** The events of an answer, as name and data. EventSource can't POST. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (!fields.data) continue;
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new Error(`${data.error} (${data.code})`);
      yield [fields.event, data];
    }
  }
}

/** Shows a section that was hidden, and brings it into view. */
export function reveal(section) {
  if (!section.hidden) return;
  section.hidden = false;
  section.scrollIntoView({ block: "start" });
}

export const kibibytes = (bytes) => `${(bytes / 1024).toFixed(bytes < 10240 ? 1 : 0)} KiB`;
