// Which release performs at which tick: the one that `hello` names, then each `swap`'s.

import type { Hello, Swap } from "./protocol";

/** What a release changes on the page, from its first tick on. */
export type Release = Omit<Swap, "type">;

export class Releases {
  /** In order of their ticks; the first is the hello's. */
  private readonly list: Release[] = [];

  begin(hello: Hello): void {
    this.list.length = 0;
    this.add({ ...hello, tick: 0 });
  }

  /** A release said again, or another one for the same tick, takes the place of the first. */
  add({ tick, release, joints, confidence_base, lookahead_ms }: Release): void {
    const before = this.list.filter((r) => r.tick < tick);
    const after = this.list.filter((r) => r.tick > tick);
    const added = { tick, release, joints, confidence_base, lookahead_ms };
    this.list.splice(0, Infinity, ...before, added, ...after);
  }

  /** The release that performs at `tick`; null before `hello`. */
  at(tick: number): Release | null {
    return this.list.filter((r) => r.tick <= tick).at(-1) ?? this.list[0] ?? null;
  }

  /** The stretch of each release between two ticks. */
  between(from: number, to: number): { from: number; to: number; release: Release }[] {
    return this.list
      .map((release, i) => ({
        release,
        from: Math.max(release.tick, from),
        to: Math.min(this.list[i + 1]?.tick ?? Infinity, to),
      }))
      .filter((stretch) => stretch.from < stretch.to);
  }

  /** Every change of release, with the one before it. */
  swaps(): { before: Release; release: Release }[] {
    return this.list.slice(1).map((release, i) => ({ before: this.list[i], release }));
  }
}
