// @ts-check
// The page, put together: its state is its address, and every part shows what the state says.

import * as address from "./address.js";
import { facts, isAborted, json, Refused, server, useKey } from "./api.js";
import { Car } from "./car.js";
import { element } from "./elements.js";
import * as live from "./live.js";
import { Morph } from "./morph.js";
import { Restore } from "./restore.js";
import { Sheets, sideOf } from "./sheets.js";
import { countFrom, Wall } from "./wall.js";

const SETTLED_MS = 200; // a slider is left alone for so long before the wall is drawn anew

export class Page {
  constructor() {
    this.state = address.read(location.search);
    /** @type {import("./api.js").Facts | null} */
    this.facts = null;
    /** @type {{name: string, latents: number[]}[]} */
    this.directions = [];
    this.shape = [32, 32, 3];
    this.base = "v1";
    /** The first car of a pair, while the second one is being picked. @type {bigint | null} */
    this.first = null;
    this.car = new Car(this);
    this.morph = new Morph(this);
    this.restore = new Restore(this);
    /** @type {Wall | null} */
    this.wall = null;
  }

  /** What the query of images and grids says besides their seeds. */
  get parameters() {
    const { truncation, class: named } = this.state;
    return {
      ...(truncation === 1 ? {} : { truncation: String(truncation) }),
      ...(named ? { class: named } : {}),
    };
  }

  /** What the body of a request for latents says besides them: latents have no class of their own,
   * so they get that of the seed they come from. @param {bigint} seed */
  members(seed) {
    const { model, version, classes } = /** @type {import("./api.js").Facts} */ (this.facts);
    const own = classes ? { class: this.state.class || Number(seed % BigInt(classes.length)) } : {};
    return { model, version, ...own };
  }

  /** Ask what the server draws with, and show it. */
  async begin() {
    this.facts = await facts();
    const { model, version, image } = this.facts;
    this.base = `v1/models/${encodeURIComponent(model)}/versions/${version}`;
    this.shape = image.shape;
    element("model", HTMLElement).textContent = `${model} ${version}.`;
    this.directions = (await json(`${this.base}/directions`)).directions;
    this.wall ??= new Wall(element("wall", HTMLElement), this.shape, (seed) => this.open(seed));
    this.wall.shape = this.shape;
    this.car.fit();
    element("open-restore", HTMLElement).hidden = !this.facts.try.includes("POST /v1/restore");
    this.fitClasses(this.facts.classes ?? []);
    this.show();
  }

  /** @param {string[]} classes */
  fitClasses(classes) {
    const select = element("class", HTMLSelectElement);
    element("class-label", HTMLElement).hidden = !classes.length;
    select.length = 1;
    for (const name of classes) select.add(new Option(name, name));
    const number = Number(this.state.class);
    if (this.state.class && !classes.includes(this.state.class)) {
      this.state.class = classes[number] ?? ""; // a link may name a class by its number
    }
  }

  /** Show all that the state says. */
  show() {
    const { state } = this;
    element("first", HTMLInputElement).value = String(state.first);
    element("truncation", HTMLInputElement).value = String(state.truncation);
    element("truncation-value", HTMLElement).textContent = state.truncation.toFixed(2);
    element("class", HTMLSelectElement).value = state.class;
    this.showWall(true);
    if (state.from !== null && state.to !== null) this.morph.show();
    else this.morph.dialog.close();
    this.car.show();
  }

  /** @param {boolean} isNew */
  showWall(isNew) {
    const count = countFrom(this.state.first, sideOf(this.shape) ** 2);
    const sheets = new Sheets(
      this.base,
      this.shape,
      this.state.first,
      count,
      this.parameters,
      (headers) => this.tellPlan(headers),
      (error) => this.refused(error).catch(tell),
      () => this.wall?.later(),
    );
    this.wall?.show(sheets, isNew);
  }

  /** @param {Headers} headers */
  tellPlan(headers) {
    const plan = headers.get("Carfront-Plan");
    if (plan) element("model", HTMLElement).textContent = `${this.facts?.model} ${this.facts?.version} on ${plan}.`;
  }

  /** Show another version where one took the place of this one; tell any other refusal.
   * @param {Error} error */
  async refused(error) {
    const isGone = error instanceof Refused && error.status === 404;
    const now = isGone ? await facts() : this.facts;
    if (now?.version === this.facts?.version && now?.model === this.facts?.model) tell(error);
    else await this.begin();
  }

  /** @param {Partial<address.State>} changes @param {boolean} isNew */
  change(changes, isNew) {
    Object.assign(this.state, changes);
    address.write(this.state, isNew);
  }

  /** @param {bigint} seed */
  open(seed) {
    if (this.first !== null) {
      const from = this.first;
      this.stopPicking();
      this.change({ from, to: seed, way: 0.5 }, true);
      this.morph.show();
      return;
    }
    this.change({ car: seed, edit: [] }, true);
    this.car.show();
  }

  /** @param {bigint} seed */
  pickFirst(seed) {
    this.first = seed;
    element("picking-text", HTMLElement).textContent = `Car ${seed} is picked. Choose the other one.`;
    element("picking", HTMLElement).hidden = false;
  }

  stopPicking() {
    this.first = null;
    element("picking", HTMLElement).hidden = true;
  }
}

/** @param {any} error */
function tell(error) {
  if (isAborted(error)) return;
  const trouble = element("trouble", HTMLElement);
  trouble.textContent = error.message;
  trouble.hidden = false;
}

/** @param {Page} page */
function listen(page) {
  const first = element("first", HTMLInputElement);
  first.addEventListener("change", () => {
    const seed = address.seedOf(first.value);
    first.setCustomValidity(seed === null ? "A whole number from 0 to 2^64 - 1 is wanted." : "");
    if (!first.reportValidity() || seed === null) return;
    page.change({ first: seed }, false);
    scrollTo(0, 0);
    page.showWall(true);
  });
  element("random", HTMLElement).addEventListener("click", () => {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    first.value = String(((BigInt(high) << 32n) | BigInt(low)) % (address.MOST_SEED - 100_000n));
    first.dispatchEvent(new Event("change"));
  });
  const truncation = element("truncation", HTMLInputElement);
  let settled = 0;
  truncation.addEventListener("input", () => {
    page.change({ truncation: Number(truncation.value) }, false);
    element("truncation-value", HTMLElement).textContent = page.state.truncation.toFixed(2);
    clearTimeout(settled);
    settled = setTimeout(() => page.showWall(false), SETTLED_MS);
  });
  const named = element("class", HTMLSelectElement);
  named.addEventListener("change", () => {
    page.change({ class: named.value }, false);
    page.showWall(false);
  });
  element("controls", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  element("open-morph", HTMLElement).addEventListener("click", () => page.morph.show());
  element("picking-stop", HTMLElement).addEventListener("click", () => page.stopPicking());
  addEventListener("popstate", () => {
    page.state = address.read(location.search);
    page.show();
  });
}

function listenToServer() {
  const trouble = element("trouble", HTMLElement);
  server.addEventListener("trouble", (event) => {
    trouble.textContent = /** @type {CustomEvent} */ (event).detail;
    trouble.hidden = !trouble.textContent;
  });
  const form = element("key-form", HTMLFormElement);
  const key = element("key", HTMLInputElement);
  server.addEventListener("key", (event) => {
    const sentence = /** @type {CustomEvent} */ (event).detail;
    if (sentence) element("key-note", HTMLElement).textContent = `The server says: ${sentence}.`;
    form.hidden = false;
    key.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.hidden = true;
    useKey(key.value.trim());
    key.value = "";
  });
}

const page = new Page();
listenToServer();
listen(page);
page.begin().catch(tell).finally(() => {
  document.body.dataset.ready = "yes";
  if (page.facts) live.begin(page.facts.try.includes("GET /metrics"));
});
