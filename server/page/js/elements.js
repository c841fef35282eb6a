// @ts-check

/** Return the element `id`, which is a `kind`.
 * @template {Element} T @param {string} id @param {new (...args: any[]) => T} kind @returns {T} */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} ${id}`);
}
