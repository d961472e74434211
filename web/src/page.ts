// Find the page's elements once, and write to them only what changed.

export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element: HTMLElement, name: string, value: string | null): void {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

export function make(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/** Make a button copy a whole hash while it shows the first six digits. */
export function hashButton(button: HTMLButtonElement, hash: string, what: string): void {
  if (button.dataset.hash === hash) return;
  button.dataset.hash = hash;
  const short = `${hash.slice(0, 6)}…`;
  button.textContent = short;
  button.title = `${hash} – click to copy`;
  button.setAttribute("aria-label", `${what} ${hash.slice(0, 6)}, copy the whole hash`);
  button.onclick = async () => {
    const copied = await copy(hash);
    button.textContent = copied ? "copied" : hash;
    window.setTimeout(() => (button.textContent = short), copied ? 1500 : 8000);
  };
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not allowed here: the hash is then shown whole, to be copied by hand
  }
}
