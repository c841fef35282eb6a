// @ts-check
// A photograph in, a car out: what is painted over is transparent, and the server fills it in.

import { events, isAborted, save } from "./api.js";
import { element } from "./elements.js";

const SIDE = 384; // the photograph's longer side on the page, in pixels
const BRUSH = 24; // the brush's radius
const FIELDS = { steps: "150", restarts: "8" };

export class Restore {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.dialog = element("restore", HTMLDialogElement);
    this.photo = element("photo", HTMLCanvasElement);
    this.result = element("restored", HTMLCanvasElement);
    this.note = element("restore-note", HTMLElement);
    this.begin = element("restore-begin", HTMLButtonElement);
    this.take = element("restore-take", HTMLButtonElement);
    this.file = element("photo-file", HTMLInputElement);
    this.asked = new AbortController();
    /** The photograph as it was chosen, from which painting starts anew. @type {ImageBitmap | null} */
    this.chosen = null;
    /** The file of the last result. @type {Blob | null} */
    this.filled = null;
    this.listen();
  }

  listen() {
    element("open-restore", HTMLElement).addEventListener("click", () => this.dialog.showModal());
    this.dialog.addEventListener("close", () => this.asked.abort());
    this.file.addEventListener("change", () => this.choose(this.file.files?.[0]));
    this.dialog.addEventListener("dragover", (event) => event.preventDefault());
    this.dialog.addEventListener("drop", (event) => {
      event.preventDefault();
      this.choose(event.dataTransfer?.files[0]);
    });
    this.photo.addEventListener("pointerdown", (event) => {
      this.photo.setPointerCapture(event.pointerId);
      this.paint(event);
    });
    this.photo.addEventListener("pointermove", (event) => event.buttons && this.paint(event));
    element("hide-half", HTMLElement).addEventListener("click", () => {
      const { width, height } = this.photo;
      this.photo.getContext("2d")?.clearRect(width / 2, 0, width / 2, height);
    });
    element("show-all", HTMLElement).addEventListener("click", () => this.show());
    this.begin.addEventListener("click", () => this.bring());
    this.take.addEventListener("click", () => this.filled && save(this.filled, "restored.png"));
  }

  /** @param {File | undefined} file */
  async choose(file) {
    if (!file) return;
    try {
      this.chosen = await createImageBitmap(file);
    } catch {
      this.note.textContent = `${file.name} is no picture that this browser reads.`;
      return;
    }
    this.note.textContent = "Paint over what is to be hidden, or leave it whole.";
    this.begin.disabled = false;
    this.show();
  }

  /** Show the middle of the photograph, of the form of the model's images, with nothing hidden. */
  show() {
    if (!this.chosen) return;
    const [height, width] = this.page.shape;
    const scale = SIDE / Math.max(height, width);
    Object.assign(this.photo, { width: width * scale, height: height * scale }); // which clears it
    const cut = Math.min(this.chosen.width / width, this.chosen.height / height);
    const [w, h] = [width * cut, height * cut];
    const [x, y] = [(this.chosen.width - w) / 2, (this.chosen.height - h) / 2];
    this.photo.getContext("2d")?.drawImage(this.chosen, x, y, w, h, 0, 0, this.photo.width, this.photo.height);
  }

  /** Hide what is below the brush. @param {PointerEvent} event */
  paint(event) {
    const context = this.photo.getContext("2d");
    const box = this.photo.getBoundingClientRect();
    if (!context || !this.chosen) return;
    const scale = this.photo.width / box.width;
    context.save();
    context.globalCompositeOperation = "destination-out";
    context.beginPath();
    context.arc((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, BRUSH, 0, 2 * Math.PI);
    context.fill();
    context.restore();
  }

  /** Have the photograph restored, and show each image that comes. */
  async bring() {
    this.asked.abort();
    const asked = (this.asked = new AbortController());
    this.note.textContent = "Searching...";
    this.take.hidden = true;
    const { model, version } = /** @type {import("./api.js").Facts} */ (this.page.facts);
    const body = new FormData();
    for (const [name, value] of Object.entries({ ...FIELDS, model, version })) body.append(name, value);
    /** @type {Blob | null} */
    const photo = await new Promise((resolve) => this.photo.toBlob(resolve));
    if (photo) body.append("photo", photo, "photo.png");
    try {
      await events("v1/restore", { method: "POST", body, signal: asked.signal }, (kind, told) => {
        const file = blobOf(kind === "end" ? told.filled : told.image);
        this.draw(file);
        const off = told.distance.toFixed(1);
        this.note.textContent = `Step ${told.step} of ${told.steps}: ${off} grey levels off what is seen.`;
        if (kind !== "end") return;
        this.filled = file;
        this.take.hidden = false;
        this.result.dataset.done = "yes";
      });
    } catch (error) {
      if (!isAborted(error)) this.note.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** @param {Blob} file */
  async draw(file) {
    const image = await createImageBitmap(file);
    Object.assign(this.result, { width: image.width, height: image.height });
    this.result.getContext("2d")?.drawImage(image, 0, 0);
  }
}

/** @param {string} base64 */
function blobOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (x) => x.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
