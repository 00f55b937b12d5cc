/** A mask painted over a picture: what is painted is white in it. */

import { $ } from "./api.js";

const canvas = $("mask");
const pen = canvas.getContext("2d");
let strokes = [];

/** Nothing painted, on a picture of this many pixels. */
export function blank(width, height) {
  canvas.width = width;
  canvas.height = height;
  strokes = [];
}

/** The mask as a PNG, black but where it was painted; null where nothing was. */
export function painted() {
  if (!strokes.length) return null;
  const sheet = new OffscreenCanvas(canvas.width, canvas.height), context = sheet.getContext("2d");
  context.fillRect(0, 0, sheet.width, sheet.height);
  for (const stroke of strokes) draw(context, stroke, "white");
  return sheet.convertToBlob({ type: "image/png" });
}

function draw(context, { points, width }, colour) {
  Object.assign(context, { strokeStyle: colour, lineWidth: width, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  context.moveTo(...points[0]);
  for (const point of points) context.lineTo(...point);
  context.stroke();
}

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const stroke of strokes) draw(pen, stroke, "#f97316");
}

function place(event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [((event.clientX - left) / width) * canvas.width, ((event.clientY - top) / height) * canvas.height];
}

let stroke;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  stroke = { points: [place(event)], width: ($("brush").valueAsNumber / 100) * Math.max(canvas.width, canvas.height) };
  strokes.push(stroke);
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  stroke.points.push(place(event));
  redraw();
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { stroke = undefined; });
$("undo").addEventListener("click", () => { strokes.pop(); redraw(); });
$("clear").addEventListener("click", () => { strokes = []; redraw(); });
