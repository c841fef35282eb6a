// @ts-check
// Two cars, and all that lies between them: one request brings every step of the slider.

import { ask, draw, isAborted, save } from "./api.js";
import { seedOf } from "./address.js";
import { between, latentsOf } from "./latents.js";
import { element } from "./elements.js";

const STEPS = 32; // of the slider; there is one frame more
const COLUMNS = Math.ceil(Math.sqrt(STEPS + 1)); // a sheet is as wide as high
const FILM_FRAMES = 48;

export class Morph {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.dialog = element("morph", HTMLDialogElement);
    this.canvas = element("morph-image", HTMLCanvasElement);
    this.note = element("morph-note", HTMLElement);
    this.from = element("from", HTMLInputElement);
    this.to = element("to", HTMLInputElement);
    this.way = element("way", HTMLInputElement);
    this.film = element("film", HTMLButtonElement);
    this.asked = new AbortController();
    /** @type {ImageBitmap | null} */
    this.sheet = null;
    this.dialog.addEventListener("close", () => this.closed());
    this.way.addEventListener("input", () => this.moved());
    this.film.addEventListener("click", () => this.download());
    element("pair", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.chosen(this.from.value, this.to.value);
    });
    element("swap", HTMLElement).addEventListener("click", () => this.chosen(this.to.value, this.from.value));
  }

  /** @param {string} from @param {string} to */
  chosen(from, to) {
    const [a, b] = [seedOf(from), seedOf(to)];
    if (a === null || b === null) {
      this.note.textContent = "Two seeds are wanted, whole numbers from 0 to 2^64 - 1.";
      return;
    }
    this.page.change({ from: a, to: b, way: 0 }, false);
    this.show();
  }

  /** Show the pair that the page's state names. */
  show() {
    const { from, to, way } = this.page.state;
    this.film.hidden = !this.page.facts?.try.some((x) => x.includes("/morph."));
    if (from !== null) this.from.value = String(from);
    if (to !== null) this.to.value = String(to);
    this.way.value = String(way);
    this.sheet = null;
    if (!this.dialog.open) this.dialog.showModal();
    if (from !== null && to !== null) this.bring(from, to);
    this.paint();
  }

  /** @param {bigint} from @param {bigint} to */
  async bring(from, to) {
    this.asked.abort();
    const asked = (this.asked = new AbortController());
    const { page } = this;
    this.note.textContent = "Drawing...";
    try {
      const ends = await Promise.all([latentsOf(page.base, from), latentsOf(page.base, to)]);
      const [a, b] = ends.map((row) => row.map((x) => x * page.state.truncation));
      const isStraight = page.facts?.latents.distribution !== "normal";
      const rows = Array.from({ length: STEPS + 1 }, (_, i) => between(a, b, i / STEPS, isStraight));
      const { body } = await draw(rows, { format: "png", ...page.members(from) }, asked.signal);
      const sheet = await createImageBitmap(body);
      if (asked.signal.aborted) return;
      this.sheet = sheet;
      this.note.textContent = "";
      this.paint();
    } catch (error) {
      if (!isAborted(error)) this.note.textContent = /** @type {Error} */ (error).message;
    }
  }

  moved() {
    this.page.change({ way: Number(this.way.value) }, false);
    this.paint();
  }

  paint() {
    const [height, width] = this.page.shape;
    const frame = Math.round(Number(this.way.value) * STEPS);
    const percent = Math.round((100 * frame) / STEPS);
    element("way-value", HTMLElement).textContent = `${percent} %`;
    Object.assign(this.canvas, { width, height }); // which clears it
    this.canvas.setAttribute("aria-label", `${percent} % of the way from car ${this.from.value} to car ${this.to.value}`);
    if (!this.sheet) return;
    const [x, y] = [(frame % COLUMNS) * width, Math.floor(frame / COLUMNS) * height];
    this.canvas.getContext("2d")?.drawImage(this.sheet, x, y, width, height, 0, 0, width, height);
    this.canvas.dataset.frame = String(frame);
  }

  async download() {
    const { from, to } = this.page.state;
    const asked = new URLSearchParams({ ...this.page.parameters, from: String(from), to: String(to), frames: String(FILM_FRAMES) });
    try {
      save((await ask(`${this.page.base}/morph.webp?${asked}`)).body, `cars-${from}-${to}.webp`);
    } catch (error) {
      this.note.textContent = /** @type {Error} */ (error).message;
    }
  }

  closed() {
    this.asked.abort();
    delete this.canvas.dataset.frame;
    this.page.change({ from: null, to: null, way: 0 }, false);
  }
}
