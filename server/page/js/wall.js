// @ts-check
// The wall: a hundred thousand places for cars, of which only those in sight are elements.

import { MOST_SEED } from "./address.js";

const COUNT = 100_000;
const TILE = 76; // CSS pixels, about
const LARGE_TILE = 132; // of images of more than 64 pixels
const FEWEST_COLUMNS = 3;
const AHEAD = 1; // screens that are asked for beyond the one in sight

/** Return how many cars a wall that begins with `first` has. @param {bigint} first @param {number} size */
export function countFrom(first, size) {
  // A sheet ends with a whole row, which must not reach beyond the last seed.
  const left = MOST_SEED - first + 1n;
  return left >= BigInt(COUNT + size) ? COUNT : Math.min(COUNT, Number(left));
}

export class Wall {
  /** @param {HTMLElement} element @param {number[]} shape
   * @param {(seed: bigint) => void} onOpen */
  constructor(element, shape, onOpen) {
    this.element = element;
    this.shape = shape;
    this.onOpen = onOpen;
    /** @type {import("./sheets.js").Sheets | null} */
    this.sheets = null;
    /** @type {Map<number, HTMLButtonElement>} */
    this.tiles = new Map();
    this.active = 0;
    this.columns = FEWEST_COLUMNS;
    this.across = this.down = TILE; // CSS pixels of a tile
    this.waits = false;
    addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(element);
    element.addEventListener("keydown", (event) => this.onKey(event));
    element.addEventListener("click", (event) => {
      const tile = /** @type {HTMLElement} */ (event.target).closest("button");
      if (tile) this.open(Number(tile.dataset.index));
    });
    element.addEventListener("focusin", (event) => {
      const tile = /** @type {HTMLElement} */ (event.target).closest("button");
      if (tile) this.activate(Number(tile.dataset.index));
    });
  }

  /** Show the cars of `sheets`: others if they are `isNew`, else the same seeds drawn anew, of which
   * the old pictures stay until the new ones are here.
   * @param {import("./sheets.js").Sheets} sheets @param {boolean} isNew */
  show(sheets, isNew) {
    this.sheets?.end();
    this.sheets = sheets;
    for (const tile of this.tiles.values()) {
      if (isNew) tile.remove();
      delete tile.dataset.drawn;
      tile.classList.add("waits");
    }
    if (isNew) {
      this.tiles.clear();
      this.active = 0;
    }
    this.later();
  }

  /** Draw before the browser's next frame, once for all that has changed. */
  later() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.layOut();
    });
  }

  layOut() {
    if (!this.sheets) return;
    const width = this.element.clientWidth;
    const large = Math.max(...this.shape.slice(0, 2)) > 64;
    this.columns = Math.max(FEWEST_COLUMNS, Math.floor(width / (large ? LARGE_TILE : TILE)));
    this.across = width / this.columns;
    this.down = (this.across - 4) * (this.shape[0] / this.shape[1]) + 4; // a tile has 2 pixels around it
    const rows = Math.ceil(this.sheets.count / this.columns);
    this.element.style.height = `${rows * this.down}px`;
    const top = -this.element.getBoundingClientRect().top;
    const inSight = (y) => Math.min(rows - 1, Math.max(0, Math.floor(y / this.down)));
    const last = this.sheets.count - 1;
    const low = inSight(top) * this.columns;
    const high = Math.min(last, (inSight(top + innerHeight) + 1) * this.columns - 1);
    const screen = high - low + 1;
    this.sheets.want(Math.max(0, low - (top > 0 ? screen * AHEAD : 0)), Math.min(last, high + screen * AHEAD));
    const isFocused = this.element.contains(document.activeElement);
    if (!isFocused && (this.active < low || this.active > high)) this.active = low;
    this.place(low, high);
  }

  /** Have tiles for the cars `low` to `high`, and for the active one. @param {number} low @param {number} high */
  place(low, high) {
    const spare = [];
    for (const [index, tile] of this.tiles) {
      if ((index < low || index > high) && index !== this.active) {
        this.tiles.delete(index);
        spare.push(tile);
      }
    }
    for (let index = low; index <= high; index++) this.tile(index, spare);
    this.tile(this.active, spare);
    for (const tile of spare) tile.remove();
  }

  /** @param {number} index @param {HTMLButtonElement[]} spare */
  tile(index, spare) {
    let tile = this.tiles.get(index);
    if (!tile) {
      tile = spare.pop() ?? this.element.appendChild(newTile(this.shape));
      this.tiles.set(index, tile);
      tile.dataset.index = String(index);
      delete tile.dataset.drawn;
      tile.classList.add("waits");
      const canvas = /** @type {HTMLCanvasElement} */ (tile.firstChild);
      canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
      const seed = this.seed(index);
      tile.setAttribute("aria-label", `Car ${seed}`);
      tile.title = `seed ${seed}`;
    }
    tile.tabIndex = index === this.active ? 0 : -1;
    const [row, column] = [Math.floor(index / this.columns), index % this.columns];
    tile.style.width = `${this.across}px`;
    tile.style.height = `${this.down}px`;
    tile.style.transform = `translate(${column * this.across}px, ${row * this.down}px)`;
    this.draw(index, tile);
  }

  /** @param {number} index @param {HTMLButtonElement} tile */
  draw(index, tile) {
    const sheets = this.sheets;
    const sheet = tile.dataset.drawn ? null : sheets?.with(index);
    if (!sheets || !sheet) return;
    const [height, width] = this.shape;
    const place = index % sheets.size;
    const [x, y] = [(place % sheets.side) * width, Math.floor(place / sheets.side) * height];
    const canvas = /** @type {HTMLCanvasElement} */ (tile.firstChild);
    canvas.getContext("2d")?.drawImage(sheet, x, y, width, height, 0, 0, width, height);
    tile.dataset.drawn = "yes";
    tile.classList.remove("waits");
  }

  /** @param {number} index */
  seed(index) {
    return (this.sheets?.first ?? 0n) + BigInt(index);
  }

  /** @param {number} index */
  activate(index) {
    const before = this.tiles.get(this.active);
    if (before) before.tabIndex = -1;
    this.active = index;
    const tile = this.tiles.get(index);
    if (tile) tile.tabIndex = 0;
  }

  /** @param {number} index */
  open(index) {
    this.onOpen(this.seed(index));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.down) - 1) * this.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page };
    const step = steps[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.goTo(this.active + step);
  }

  /** @param {number} index */
  goTo(index) {
    if (!this.sheets || index < 0 || index >= this.sheets.count) return;
    this.activate(index);
    const top = this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.down;
    if (top < 0) scrollBy(0, top - 8);
    else if (top + this.down > innerHeight) scrollBy(0, top + this.down - innerHeight + 8);
    this.layOut();
    this.tiles.get(index)?.focus({ preventScroll: true });
  }
}

/** @param {number[]} shape @returns {HTMLButtonElement} */
function newTile([height, width]) {
  const tile = document.createElement("button");
  tile.type = "button";
  tile.className = "tile waits";
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  tile.append(canvas);
  return tile;
}
