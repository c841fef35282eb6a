// @ts-check
// The live strip: images a second, the queue, and how long requests take, out of `/metrics`.

import { askOnce, Refused } from "./api.js";
import { element } from "./elements.js";

const EVERY_MS = 2000;
const SPAN = 5; // readings that latencies are taken from
const DRAWS = /route="\/(v1|v2)\//;

/** @typedef {{at: number, images: number, waiting: number, buckets: Map<number, number>}} Reading */

/** Read what is wanted of Prometheus's text. @param {string} text @param {number} at @returns {Reading} */
export function reading(text, at) {
  /** @type {Reading} */
  const found = { at, images: 0, waiting: 0, buckets: new Map() };
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    if (line.startsWith("carfront_images_total")) found.images += value;
    else if (line.startsWith("carfront_queue_rows")) found.waiting += value;
    else if (line.startsWith("http_server_request_duration_seconds_bucket") && DRAWS.test(line)) {
      const edge = Number(/le="([^"]*)"/.exec(line)?.[1].replace("+Inf", "Infinity"));
      found.buckets.set(edge, (found.buckets.get(edge) ?? 0) + value);
    }
  }
  return found;
}

/** Return the seconds within which the share `share` of the requests between two readings was
 * answered, at most: a bucket's edge. NaN if there were none.
 * @param {Reading} before @param {Reading} after @param {number} share */
export function within(before, after, share) {
  const edges = [...after.buckets.keys()].sort((a, b) => a - b);
  const counts = edges.map((x) => (after.buckets.get(x) ?? 0) - (before.buckets.get(x) ?? 0));
  const all = counts.at(-1) ?? 0;
  return all > 0 ? edges[counts.findIndex((x) => x >= share * all)] : NaN;
}

/** @param {number} seconds */
function told(seconds) {
  if (Number.isNaN(seconds)) return "-";
  if (!Number.isFinite(seconds)) return "over 30 s";
  return seconds < 1 ? `within ${seconds * 1000} ms` : `within ${seconds} s`;
}

/** Show the server's figures from now on, if it has any at this port. @param {boolean} hasMetrics */
export async function begin(hasMetrics) {
  const figures = element("figures", HTMLElement);
  if (!hasMetrics) {
    figures.textContent = "The server keeps its figures at another port.";
    return;
  }
  /** @type {Reading[]} */
  const seen = [];
  for (;;) {
    if (!document.hidden) {
      try {
        const { body } = await askOnce("metrics");
        seen.push(reading(await body.text(), performance.now() / 1000));
        if (seen.length > SPAN) seen.shift();
        figures.textContent = sentence(seen);
      } catch (error) {
        if (error instanceof Refused && error.status < 500 && error.status !== 429) {
          figures.textContent = "The server's figures are not to be read from here.";
          return;
        }
        figures.textContent = "No figures: the server does not answer.";
        seen.length = 0; // a new server counts from zero
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

/** @param {Reading[]} seen */
function sentence(seen) {
  const [first, last, before] = [seen[0], seen[seen.length - 1], seen[seen.length - 2]];
  if (!before) return "";
  const rate = Math.max(0, (last.images - before.images) / (last.at - before.at));
  const waiting = `${last.waiting} waiting`;
  return `${Math.round(rate).toLocaleString()} images/s, ${waiting}; p50 ${told(within(first, last, 0.5))}, p99 ${told(within(first, last, 0.99))}`;
}
