/** What a job does at the moment, in words. */

const PHASES = {
  queued: (p) => `In line, place ${p.position}`,
  waitingForVram: () => "Waiting for room on the card",
  loadingModel: (p) => `Loading ${p.model}${p.totalBytes ? `: ${Math.round((100 * p.loadedBytes) / p.totalBytes)} %` : ""}`,
  encodingPrompt: () => "Reading the prompt",
  denoising: (p) => `Drawing: step ${p.step} of ${p.totalSteps}`,
  decoding: () => "Turning latents into pixels",
  finishing: (p) => `Finishing: ${p.operation}`,
  analyzingSizes: () => "Grouping the sizes",
  detectingFocalPoint: () => "Looking for the subject",
  cropping: (p) => `Cutting: ${p.done} of ${p.total}`,
  processing: (p) => `Encoding: ${p.done} of ${p.total}`,
};

export function phase(progress) {
  const name = Object.keys(PHASES).find((known) => known in progress);
  const base = progress.bases ? `Base ${progress.base} of ${progress.bases} · ` : "";
  const left = progress.eta ? ` · about ${Math.ceil(parseFloat(progress.eta))} s left` : "";
  return base + (name ? PHASES[name](progress[name]) : "") + left;
}
