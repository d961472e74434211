// Write figures the same way everywhere: with their unit, in a fixed number of digits.

const thousands = new Intl.NumberFormat("en-GB");

export function whole(n: number): string {
  return thousands.format(n);
}

/** Show time as h:mm:ss, with tenths when `tenths`. */
export function clock(tick: number, hz: number, tenths = false): string {
  const seconds = Math.max(0, tick) / hz;
  const s = Math.floor(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  const tail = tenths ? `.${Math.floor((seconds - s) * 10 + 1e-6)}` : "";
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}${tail}`;
}

export function ms(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

export function share(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(2);
}

/** How long ago, in words that are short and steady: "3 s", "2 min", "1 h 5 min". */
export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 100) return `${s} s`;
  const min = Math.floor(s / 60);
  return min < 60 ? `${min} min` : `${Math.floor(min / 60)} h ${min % 60} min`;
}
