// The colours of the page, read from style.css, so that canvases and the scene follow its schemes.

import type { Cue } from "./sentences";

export interface Theme {
  dark: boolean;
  text: string;
  quiet: string;
  faint: string;
  line: string;
  cursor: string;
  cue: Record<Cue, string>;
  body: string;
  glow: string;
  ghost: string;
  ghostEdge: string;
  pool: string;
  shade: number;
  font: string;
  /** How much larger than on a laptop text is. */
  scale: number;
}

const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const motion = window.matchMedia("(prefers-reduced-motion: reduce)");

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const get = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    dark: scheme.matches,
    text: get("text"),
    quiet: get("quiet"),
    faint: get("faint"),
    line: get("line"),
    cursor: get("cursor"),
    cue: { fine: get("fine"), watch: get("watch"), act: get("act"), unknown: get("unknown") },
    body: get("body"),
    glow: get("glow"),
    ghost: get("ghost"),
    ghostEdge: get("ghost-edge"),
    pool: get("pool"),
    shade: Number(get("shade")),
    font: style.fontFamily,
    scale: parseFloat(style.fontSize) / 15 || 1,
  };
}

export function onThemeChange(call: () => void): void {
  scheme.addEventListener("change", call);
}

export function calm(): boolean {
  return motion.matches;
}
