// Small drawings on a canvas that the time axis and the panel share.

/** Make the canvas as sharp as the screen and return its context, cleared, in CSS pixels. */
export function sheet(canvas: HTMLCanvasElement): {
  c: CanvasRenderingContext2D;
  w: number;
  h: number;
} {
  const ratio = Math.min(window.devicePixelRatio, 3);
  const { clientWidth: w, clientHeight: h } = canvas;
  const [pw, ph] = [Math.round(w * ratio), Math.round(h * ratio)];
  if (canvas.width !== pw || canvas.height !== ph) {
    canvas.width = pw;
    canvas.height = ph;
  }
  const c = canvas.getContext("2d")!;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return { c, w, h };
}

/** Where on a canvas a run of ticks lies. */
export class Axis {
  constructor(
    readonly from: number,
    readonly to: number,
    readonly left: number,
    readonly right: number,
  ) {}

  x(tick: number): number {
    return this.left + ((tick - this.from) / Math.max(this.to - this.from, 1)) * (this.right - this.left);
  }

  tick(x: number): number {
    return this.from + ((x - this.left) / Math.max(this.right - this.left, 1)) * (this.to - this.from);
  }

  /** Ticks that one pixel covers, at least 1. */
  get step(): number {
    return Math.max(1, (this.to - this.from) / Math.max(this.right - this.left, 1));
  }

  /** Call for every column of pixels with the whole ticks it covers. */
  columns(first: number, last: number, call: (x: number, width: number, a: number, b: number) => void): void {
    const step = this.step;
    for (let t = Math.max(first, this.from); t <= Math.min(last, this.to); t += step) {
      const a = Math.ceil(t - 1e-9);
      const b = Math.min(Math.max(a, Math.ceil(t + step - 1e-9) - 1), last);
      if (a > last) return;
      call(this.x(a), Math.max(this.x(b + 1) - this.x(a), 1), a, b);
    }
  }
}

export function line(c: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number, colour: string, dash: number[] = []): void {
  c.strokeStyle = colour;
  c.lineWidth = 1;
  c.setLineDash(dash);
  c.beginPath();
  c.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
  c.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  c.stroke();
  c.setLineDash([]);
}

/** Draw a figure over time: in each column from its lowest to its highest value, joined. */
export function curve(
  c: CanvasRenderingContext2D,
  axis: Axis,
  first: number,
  last: number,
  value: (tick: number) => number,
  y: (value: number) => number,
  colour: string,
): void {
  c.strokeStyle = colour;
  c.lineWidth = 1.25;
  c.lineJoin = "round";
  c.beginPath();
  let pen = false;
  axis.columns(first, last, (x, _width, a, b) => {
    let [low, high] = [Infinity, -Infinity];
    for (let t = a; t <= b; t++) {
      const v = value(t);
      if (v < low) low = v;
      if (v > high) high = v;
    }
    if (low === Infinity) {
      pen = false;
      return;
    }
    if (pen) c.lineTo(x, y(low));
    else c.moveTo(x, y(low));
    if (high > low) c.lineTo(x, y(high));
    pen = true;
  });
  c.stroke();
}
