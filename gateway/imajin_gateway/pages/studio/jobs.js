/** Earlier jobs, newest first, and those of other tabs as they go on. */

import { $, ask, make } from "./api.js";

const SECONDS = { busy: 3, idle: 30 };
let timer;
let size = 10;
/** Reads the list anew, and again in a while. */
export async function recent() {
  clearTimeout(timer);
  let busy = false;
  try {
    const { jobs, nextPageToken } = await (await ask(`/jobs?pageSize=${size}`)).json();
    busy = jobs.some((job) => ["queued", "processing"].includes(job.status));
    $("jobs").replaceChildren(...jobs.map(row));
    $("no-jobs").hidden = jobs.length > 0;
    $("older").hidden = !nextPageToken || size >= 100;
  } catch { /* The list stays as it was; the state above says what is wrong. */ }
  if (!document.hidden) timer = setTimeout(recent, 1000 * (busy ? SECONDS.busy : SECONDS.idle));
}

function row(job) {
  const images = Object.values(job.images).filter((image) => image.url);
  const smallest = images.sort((one, other) => one.bytes - other.bytes)[0];
  const running = job.status === "processing" ? ` ${Math.round(100 * (job.progress?.fraction ?? 0))} %` : "";
  return make("tr", {},
    make("td", {}, make("a", { href: `#${job.job_id}`, title: `Job ${job.job_id}` }, smallest ? make("img", { src: smallest.url, alt: "", loading: "lazy" }) : "open")),
    make("td", { textContent: job.status + running }), make("td", {}, make("a", { href: `#${job.job_id}`, textContent: job.prompt || job.job_id })),
    make("td", { className: "soft", textContent: job.createTime ? new Date(job.createTime).toLocaleString() : "" }));
}

$("older").addEventListener("click", () => { size = Math.min(size + 30, 100); recent(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) recent(); });
