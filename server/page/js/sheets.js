// @ts-check
// Sheets of cars: one request brings up to 64 of them, and those seen lately are kept.

import { ask, isAborted } from "./api.js";

const MOST_KEPT = 48;
const MOST_AT_ONCE = 3;
const MOST_SIDE = 1024;

/** Return how many cars are side by side in a sheet of cars [height, width]. @param {number[]} shape */
export function sideOf([height, width]) {
  return Math.max(1, Math.min(8, Math.floor(MOST_SIDE / Math.max(height, width))));
}

/** The sheets of one model, class and truncation, by their number from seed `first` on. */
export class Sheets {
  /** @param {string} base @param {number[]} shape @param {bigint} first @param {number} count
   * @param {Record<string, string>} parameters @param {(answer: Headers) => void} onAnswer
   * @param {(error: Error) => void} onRefused @param {() => void} onChange */
  constructor(base, shape, first, count, parameters, onAnswer, onRefused, onChange) {
    this.base = base;
    this.first = first;
    this.count = count;
    this.side = sideOf(shape);
    this.size = this.side ** 2;
    this.parameters = parameters;
    this.onAnswer = onAnswer;
    this.onRefused = onRefused;
    this.onChange = onChange;
    /** @type {Map<number, ImageBitmap>} */
    this.kept = new Map();
    /** @type {Map<number, AbortController>} */
    this.asked = new Map();
    /** @type {number[]} */
    this.wanted = [];
  }

  /** Return the sheet with car `index`, if it is here. @param {number} index */
  with(index) {
    const number = Math.floor(index / this.size);
    const sheet = this.kept.get(number);
    if (sheet) {
      this.kept.delete(number);
      this.kept.set(number, sheet); // it is the one used last
    }
    return sheet;
  }

  /** Bring the sheets of the cars `low` to `high`, the middle first, and no others.
   * @param {number} low @param {number} high */
  want(low, high) {
    const middle = (low + high) / 2 / this.size - 0.5;
    this.wanted = [];
    for (let n = Math.floor(low / this.size); n * this.size <= high; n++) this.wanted.push(n);
    this.wanted.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
    for (const [number, asked] of this.asked) if (!this.wanted.includes(number)) asked.abort();
    this.next();
  }

  next() {
    for (const number of this.wanted) {
      if (this.asked.size >= MOST_AT_ONCE) return;
      if (!this.kept.has(number) && !this.asked.has(number)) this.bring(number);
    }
  }

  /** @param {number} number */
  async bring(number) {
    const asked = new AbortController();
    this.asked.set(number, asked);
    try {
      const { body, headers } = await ask(this.path(number), { signal: asked.signal });
      const sheet = await createImageBitmap(body);
      this.onAnswer(headers);
      this.kept.set(number, sheet);
      for (const oldest of this.kept.keys()) {
        if (this.kept.size <= MOST_KEPT) break;
        this.kept.get(oldest)?.close();
        this.kept.delete(oldest);
      }
      this.onChange();
    } catch (error) {
      if (!isAborted(error)) {
        this.wanted = this.wanted.filter((x) => x !== number);
        this.onRefused(/** @type {Error} */ (error));
      }
    } finally {
      this.asked.delete(number);
      this.next();
    }
  }

  /** @param {number} number */
  path(number) {
    const left = this.count - number * this.size;
    const [rows, cols] = left >= this.size ? [this.side, this.side] : [Math.ceil(left / this.side), this.side];
    const seed = this.first + BigInt(number * this.size);
    const asked = { seed: String(seed), rows: String(rows), cols: String(cols), ...this.parameters };
    return `${this.base}/grid.webp?${new URLSearchParams(asked)}`;
  }

  end() {
    this.wanted = [];
    for (const asked of this.asked.values()) asked.abort();
    for (const sheet of this.kept.values()) sheet.close();
    this.kept.clear();
  }
}
