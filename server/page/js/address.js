// @ts-check
// The page's state is its address: a link shows the same cars, the same pair, the same sliders.

export const MOST_SEED = 2n ** 64n - 1n;

/** @typedef {{first: bigint, truncation: number, class: string, car: bigint | null, edit: number[],
 *   from: bigint | null, to: bigint | null, way: number}} State */

/** Return the seed that `text` writes, or null. @param {string | null} text */
export function seedOf(text) {
  if (text === null || !/^[0-9]{1,20}$/.test(text.trim())) return null;
  const seed = BigInt(text.trim());
  return seed <= MOST_SEED ? seed : null;
}

/** @param {string | null} text @param {number} low @param {number} high @param {number} other */
function numberOf(text, low, high, other) {
  const value = text ? Number(text) : NaN;
  return value >= low && value <= high ? value : other;
}

/** @param {string} query @returns {State} */
export function read(query) {
  const asked = new URLSearchParams(query);
  return {
    first: seedOf(asked.get("first")) ?? 0n,
    truncation: numberOf(asked.get("truncation"), 0.05, 1, 1),
    class: asked.get("class") ?? "",
    car: seedOf(asked.get("car")),
    edit: (asked.get("edit") ?? "").split(",").map((x) => numberOf(x, -3, 3, 0)),
    from: seedOf(asked.get("from")),
    to: seedOf(asked.get("to")),
    way: numberOf(asked.get("way"), 0, 1, 0),
  };
}

/** Return the query string of `state`; what is as usual is left out. @param {State} state */
export function query(state) {
  const told = new URLSearchParams();
  if (state.first) told.set("first", String(state.first));
  if (state.truncation !== 1) told.set("truncation", String(state.truncation));
  if (state.class) told.set("class", state.class);
  if (state.car !== null) {
    told.set("car", String(state.car));
    if (state.edit.some((x) => x)) told.set("edit", state.edit.join(","));
  }
  if (state.from !== null) told.set("from", String(state.from));
  if (state.to !== null) told.set("to", String(state.to));
  if (state.from !== null && state.to !== null && state.way) told.set("way", String(state.way));
  const text = told.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

/** Put `state` into the address; with `isNew`, the browser's Back returns to the one before.
 * @param {State} state @param {boolean} isNew */
export function write(state, isNew = false) {
  const address = location.pathname + query(state);
  if (address === location.pathname + location.search) return;
  history[isNew ? "pushState" : "replaceState"](null, "", address);
}
