// How a span of an alert looks on the time axis: every cause has its own pattern, so that causes are
// told apart without hue; the colour is the cue's.

import { causeCue } from "./sentences";
import type { Theme } from "./theme";

type Pattern = (c: CanvasRenderingContext2D, x: number, y: number, w: number, h: number) => void;

/** Repeat a stroke or a dot along the span, at places that do not wander as the axis does. */
function every(step: number, stamp: (c: CanvasRenderingContext2D, x: number, y: number, h: number) => void): Pattern {
  return (c, x, y, w, h) => {
    c.beginPath();
    for (let at = x + step / 2; at < x + w + step; at += step) stamp(c, at, y, h);
  };
}

const PATTERNS: Record<string, Pattern> = {
  "capture fault": (c, x, y, w, h) => c.fillRect(x, y, w, h),
  machine: (c, x, y, w, h) => {
    every(5, (c, at, y, h) => c.rect(at - 1.25, y, 2.5, h))(c, x, y, w, h);
    c.fill();
  },
  "new style": (c, x, y, w, h) => {
    every(7, (c, at, y, h) => (c.moveTo(at - h, y + h), c.lineTo(at, y)))(c, x, y, w, h);
    c.stroke();
  },
  "new person": (c, x, y, w, h) => {
    const r = Math.min(h / 2, 3);
    every(9, (c, at, y, h) => (c.moveTo(at + r, y + h / 2), c.arc(at, y + h / 2, r, 0, 7)))(c, x, y, w, h);
    c.fill();
  },
  "new sound": (c, x, y, w, h) => {
    every(10, (c, at, y, h) => {
      c.moveTo(at - 5, y + h - 1);
      c.lineTo(at, y + 1);
      c.lineTo(at + 5, y + h - 1);
    })(c, x, y, w, h);
    c.stroke();
  },
  model: (c, x, y, w, h) => c.strokeRect(x + 0.75, y + 0.75, Math.max(w - 1.5, 1), h - 1.5),
};

/** An alert whose cause is not known, or not to this page. */
const OTHER: Pattern = (c, x, y, w, h) => c.fillRect(x, y + h / 2 - 1.5, w, 3);

/** Draw one span; a bar at its beginning keeps the shortest in sight. */
export function drawCause(
  c: CanvasRenderingContext2D,
  cause: string | null,
  [x, y, w, h]: [number, number, number, number],
  theme: Theme,
): void {
  c.save();
  c.fillStyle = c.strokeStyle = theme.cue[causeCue(cause)];
  c.lineWidth = 1.5;
  c.fillRect(x - 1, y, 2, h);
  c.beginPath();
  c.rect(x, y, Math.max(w, 1), h);
  c.clip();
  (PATTERNS[cause ?? ""] ?? OTHER)(c, x, y, Math.max(w, 1), h);
  c.restore();
}
