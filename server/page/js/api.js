// @ts-check
// The server: every request of the page goes through here, with the key and with patience.

const KEY = "carfront-key";
const LONGEST_PAUSE_S = 15;

/** The facts that `GET /` tells programs.
 * @typedef {{model: string, version: string, image: {shape: number[], colors: string},
 *   latents: {dim: number, distribution: string}, classes?: string[], try: string[]}} Facts
 */

/** What the server answered in place of what was asked: its sentence, and its status. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
    /** The seconds after which the server wants to be asked again, if it says so. */
    this.after = NaN;
  }
}

/** What the page shows of the server's state; `app.js` listens.
 * Events: "trouble" with a sentence, or "" when it is over; "key" when a key is wanted. */
export const server = new EventTarget();

/** @type {Promise<void> | null} */
let wantedKey = null;
/** @type {() => void} */
let keyGiven = () => {};
let inTrouble = new Set();

/** Keep `key` for this tab, and let those go on that waited for it. @param {string} key */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
  wantedKey = null;
  keyGiven();
}

/** @param {string} sentence @param {object} who */
function tell(sentence, who) {
  if (sentence) inTrouble.add(who);
  else inTrouble.delete(who);
  if (sentence || !inTrouble.size) {
    server.dispatchEvent(new CustomEvent("trouble", { detail: sentence }));
  }
}

/** An answer that has arrived as a whole.
 * @typedef {{body: Blob, headers: Headers}} Answer */

/** Ask once.
 * @param {string} path @param {RequestInit} options @returns {Promise<Answer>}
 * @throws {Refused} the server answered with another status than 2xx
 * @throws {TypeError} the server did not answer */
export async function askOnce(path, options = {}) {
  const response = await fetched(path, options);
  return { body: await response.blob(), headers: response.headers };
}

/** Ask once, and hand each of the Server-Sent Events of the answer to `take`.
 * @param {string} path @param {RequestInit} options @param {(kind: string, told: any) => void} take
 * @throws {Refused | TypeError} see `askOnce`; or the answer ended with an error */
export async function events(path, options, take) {
  const headers = { ...options.headers, Accept: "text/event-stream" };
  const response = await fetched(path, { ...options, headers });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = parts.pop() ?? "";
    for (const part of parts) {
      const [kind, data] = part.split("\n").map((line) => line.slice(line.indexOf(": ") + 2));
      const told = JSON.parse(data);
      if (kind === "error") throw new Refused(told.status, told.detail);
      take(kind, told);
    }
  }
}

/** @param {string} path @param {RequestInit} options @returns {Promise<Response>}
 * @throws {Refused | TypeError} see `askOnce` */
async function fetched(path, options) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("X-API-Key", key);
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  let detail = `the answer is ${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail || detail;
  } catch {} // whoever answered does not speak JSON
  const refused = new Refused(response.status, detail);
  if (response.headers.has("Retry-After")) refused.after = Number(response.headers.get("Retry-After"));
  throw refused;
}

/** Ask until the server answers: it may be away, full, or want a key first. A picture is a function
 * of its seed, so asking again is safe.
 * @param {string} path @param {RequestInit} options @returns {Promise<Answer>}
 * @throws {Refused} the request itself is wrong */
export async function ask(path, options = {}) {
  const who = {};
  try {
    for (let tried = 0; ; tried++) {
      try {
        return await askOnce(path, options);
      } catch (error) {
        options.signal?.throwIfAborted();
        if (error instanceof Refused && error.status === 401) {
          await waitForKey(error.message);
          continue;
        }
        const pause = pauseAfter(error, tried);
        if (pause === null) throw error;
        const why = error instanceof Refused ? `The server says: ${error.message}.` : "The server does not answer.";
        tell(`${why} Trying again ${pause < 1 ? "at once" : `in ${Math.round(pause)} s`}.`, who);
        await sleep(pause, options.signal);
      }
    }
  } finally {
    tell("", who);
  }
}

/** Return the seconds until asking again is worth it; null where it never is.
 * @param {any} error @param {number} tried */
function pauseAfter(error, tried) {
  const backOff = Math.min(LONGEST_PAUSE_S, 0.5 * 2 ** tried) * (0.75 + Math.random() / 2);
  if (error instanceof TypeError) return backOff;
  if (error instanceof Refused && [429, 502, 503, 504].includes(error.status)) {
    return Number.isFinite(error.after) ? Math.min(LONGEST_PAUSE_S, Math.max(error.after, 0.25)) : backOff;
  }
  return null;
}

/** @param {string} sentence */
function waitForKey(sentence) {
  const isKnown = sessionStorage.getItem(KEY) === null;
  wantedKey ??= new Promise((resolve) => {
    keyGiven = resolve;
    server.dispatchEvent(new CustomEvent("key", { detail: isKnown ? "" : sentence }));
  });
  return wantedKey;
}

/** @param {number} seconds @param {AbortSignal | null | undefined} signal */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Ask for JSON. @param {string} path @param {RequestInit} options */
export async function json(path, options = {}) {
  return JSON.parse(await (await ask(path, options)).body.text());
}

/** @returns {Promise<Facts>} */
export async function facts() {
  return json("./", { headers: { Accept: "application/json" } });
}

/** Have `latents` drawn, a row an image.
 * @param {number[][]} latents @param {object} members of the body, such as format
 * @param {AbortSignal} [signal] @returns {Promise<Answer>} */
export function draw(latents, members, signal) {
  return ask("v1/images", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ latents, ...members }),
    signal,
  });
}

/** Have the browser save `blob`. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return whether an error only says that nobody wants the answer any more. @param {any} error */
export function isAborted(error) {
  return error?.name === "AbortError";
}
