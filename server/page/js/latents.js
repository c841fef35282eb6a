// @ts-check
// Latents: those of a seed, moved along directions, and the way from one to another.

import { json } from "./api.js";

/** @type {Map<string, Promise<number[]>>} */
const known = new Map();
const MOST_KNOWN = 200;

/** Return the latents of `seed`. @param {string} base @param {bigint} seed */
export function latentsOf(base, seed) {
  const path = `${base}/latents/${seed}`;
  let found = known.get(path);
  if (!found) {
    if (known.size >= MOST_KNOWN) known.clear();
    found = json(path).then((answer) => answer.latents[0]);
    found.catch(() => known.delete(path));
    known.set(path, found);
  }
  return found;
}

/** Return `latents` times `truncation`, moved by `steps` along `directions`.
 * @param {number[]} latents @param {number} truncation
 * @param {{latents: number[]}[]} directions @param {number[]} steps */
export function moved(latents, truncation, directions, steps) {
  return latents.map((x, i) =>
    directions.reduce((sum, direction, k) => sum + (steps[k] ?? 0) * direction.latents[i], truncation * x),
  );
}

/** Return the latents at `way`, 0 to 1, from `a` to `b`: on the arc between them where latents are
 * normal, as points of a straight line would be nearer to the average than any car is. The
 * direction turns evenly, and the length changes evenly.
 * @param {number[]} a @param {number[]} b @param {number} way @param {boolean} isStraight */
export function between(a, b, way, isStraight = false) {
  if (way === 0 || way === 1) return way ? b : a;
  const [lengthA, lengthB] = [Math.hypot(...a), Math.hypot(...b)];
  const cosine = a.reduce((sum, x, i) => sum + x * b[i], 0) / (lengthA * lengthB);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (isStraight || !(Math.sin(angle) > 1e-6)) return a.map((x, i) => (1 - way) * x + way * b[i]);
  const length = ((1 - way) * lengthA + way * lengthB) / Math.sin(angle);
  const ofA = (Math.sin((1 - way) * angle) * length) / lengthA;
  const ofB = (Math.sin(way * angle) * length) / lengthB;
  return a.map((x, i) => ofA * x + ofB * b[i]);
}
