// @ts-check
// One car, large: changed along directions, taken home, linked to, or picked for a morph.

import { ask, draw, isAborted, save } from "./api.js";
import { MOST_SEED } from "./address.js";
import { latentsOf, moved } from "./latents.js";
import { element } from "./elements.js";

const REACH = 3; // standard deviations to either side
const SCALES = [1, 2, 4, 8, 16, 32];
const MOST_SIDE = 2048; // pixels of an answer's side

export class Car {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.dialog = element("car", HTMLDialogElement);
    this.image = element("car-image", HTMLImageElement);
    this.note = element("car-note", HTMLElement);
    this.drawing = new AbortController();
    this.isDrawing = false;
    this.isStale = false;
    /** @type {HTMLInputElement[]} */
    this.sliders = [];
    this.dialog.addEventListener("close", () => this.closed());
    element("car-before", HTMLElement).addEventListener("click", () => this.step(-1n));
    element("car-after", HTMLElement).addEventListener("click", () => this.step(1n));
    element("reset", HTMLElement).addEventListener("click", () => this.change([]));
    element("download", HTMLElement).addEventListener("click", () => this.download());
    element("copy", HTMLElement).addEventListener("click", () => this.copy());
    element("pick", HTMLElement).addEventListener("click", () => this.pick());
    element("filter", HTMLSelectElement).addEventListener("change", (event) => {
      document.body.classList.toggle("smooth", /** @type {HTMLSelectElement} */ (event.target).value !== "nearest");
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (/** @type {HTMLElement} */ (event.target).matches("input, select")) return;
      if (event.key === "ArrowLeft") this.step(-1n);
      if (event.key === "ArrowRight") this.step(1n);
    });
  }

  /** Make what depends on the model: a slider for each direction, and the sizes there are. */
  fit() {
    const { directions, shape } = this.page;
    this.sliders = directions.map((direction, k) => slider(direction.name, () => this.moved(k)));
    element("sliders", HTMLElement).replaceChildren(...this.sliders.map((x) => x.closest("label") ?? x));
    element("no-sliders", HTMLElement).hidden = directions.length > 0;
    element("reset", HTMLElement).hidden = !directions.length;
    const most = MOST_SIDE / Math.max(shape[0], shape[1]);
    const scale = element("scale", HTMLSelectElement);
    scale.replaceChildren(...SCALES.filter((x) => x <= most).map((x) => new Option(String(x), String(x), x === 8, x === 8)));
    document.body.classList.toggle("alpha", shape[2] === 4);
  }

  /** Show the car that the page's state names. */
  show() {
    const { car, edit } = this.page.state;
    if (car === null) {
      this.dialog.close();
      return;
    }
    element("car-title", HTMLElement).textContent = `Car ${car}`;
    this.sliders.forEach((x, k) => setSlider(x, edit[k] ?? 0));
    if (!this.dialog.open) this.dialog.showModal();
    this.told();
    this.redraw();
  }

  /** @param {bigint} by */
  step(by) {
    const seed = (this.page.state.car ?? 0n) + by;
    if (seed < 0n || seed > MOST_SEED) return;
    this.page.change({ car: seed }, false);
    this.show();
  }

  /** @param {number} k */
  moved(k) {
    const edit = this.sliders.map((x) => Number(x.value));
    setSlider(this.sliders[k], edit[k]);
    this.change(edit);
  }

  /** @param {number[]} edit */
  change(edit) {
    this.page.change({ edit }, false);
    this.sliders.forEach((x, i) => setSlider(x, edit[i] ?? 0));
    this.told();
    this.redraw();
  }

  told() {
    element("link", HTMLInputElement).value = location.href;
  }

  get isEdited() {
    return this.page.state.edit.some((x) => x);
  }

  /** Draw what the sliders say now; while one picture is on its way, only the newest wish waits. */
  async redraw() {
    this.isStale = true;
    if (this.isDrawing) return;
    this.isDrawing = true;
    try {
      while (this.isStale && this.page.state.car !== null) {
        this.isStale = false;
        const { body } = await this.picture("png");
        const old = this.image.src;
        this.image.src = URL.createObjectURL(body);
        this.image.alt = `Car ${this.page.state.car}${this.isEdited ? ", changed" : ""}`;
        if (old) URL.revokeObjectURL(old);
        this.note.textContent = "";
      }
    } catch (error) {
      if (!isAborted(error)) this.note.textContent = /** @type {Error} */ (error).message;
    } finally {
      this.isDrawing = false;
    }
    if (this.isStale && this.page.state.car !== null) this.redraw(); // it was closed and opened meanwhile
  }

  /** Return the car as the sliders have it. @param {string} format @param {Record<string, any>} size */
  async picture(format, size = {}) {
    const { page, drawing: { signal } } = this;
    const { car, edit, truncation } = page.state;
    if (!this.isEdited) {
      const asked = new URLSearchParams({ ...page.parameters, ...size });
      return ask(`${page.base}/images/${car}.${format}?${asked}`, { signal });
    }
    const latents = await latentsOf(page.base, /** @type {bigint} */ (car));
    const row = moved(latents, truncation, page.directions, edit);
    return draw([row], { format, ...size, ...page.members(/** @type {bigint} */ (car)) }, signal);
  }

  async download() {
    const format = element("format", HTMLSelectElement).value;
    const scale = Number(element("scale", HTMLSelectElement).value);
    const size = scale > 1 ? { scale, filter: element("filter", HTMLSelectElement).value } : {};
    const name = `car-${this.page.state.car}${this.isEdited ? "-changed" : ""}.${format}`;
    try {
      save((await this.picture(format, size)).body, name);
      this.note.textContent = `${name} is in your downloads.`;
    } catch (error) {
      if (!isAborted(error)) this.note.textContent = /** @type {Error} */ (error).message;
    }
  }

  async copy() {
    const link = element("link", HTMLInputElement);
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      this.note.textContent = "The link is copied.";
    } catch {
      this.note.textContent = "The link is selected: copy it with Ctrl-C.";
    }
  }

  pick() {
    const { car } = this.page.state;
    this.dialog.close();
    if (car !== null) this.page.pickFirst(car);
  }

  closed() {
    this.drawing.abort();
    this.drawing = new AbortController();
    if (this.page.state.car !== null) this.page.change({ car: null, edit: [] }, false);
  }
}

/** @param {string} name @param {() => void} onInput @returns {HTMLInputElement} */
function slider(name, onInput) {
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: -REACH, max: REACH, step: 0.1, value: 0 });
  input.addEventListener("input", onInput);
  const label = document.createElement("label");
  const text = document.createElement("span");
  text.textContent = name;
  label.append(text, input, document.createElement("output"));
  return input;
}

/** @param {HTMLInputElement} input @param {number} value */
function setSlider(input, value) {
  input.value = String(value);
  const output = input.nextElementSibling;
  if (output) output.textContent = `${value > 0 ? "+" : ""}${value.toFixed(1)}`;
}
