// The keyboard: everything that the pointer can do, and the list of keys.

import { byId } from "./page";
import type { Switch } from "./operator";
import type { Picture } from "./stage";

export interface Hands {
  pause(): void;
  step(ticks: number): void;
  live(): void;
  edge(end: boolean): void;
  picture(): Picture;
  press(of: Switch): void;
}

export function listenToKeys(hands: Hands): void {
  const help = byId<HTMLDialogElement>("help");
  const toggleHelp = () => (help.open ? help.close() : help.showModal());
  byId("help-open").addEventListener("click", toggleHelp);
  const does: Record<string, (event: KeyboardEvent) => void> = {
    " ": () => hands.pause(),
    l: () => hands.live(),
    "?": toggleHelp,
    ArrowLeft: (e) => hands.step(e.shiftKey ? -30 : -1),
    ArrowRight: (e) => hands.step(e.shiftKey ? 30 : 1),
    Home: () => hands.edge(false),
    End: () => hands.edge(true),
    a: () => hands.picture().turn(-0.12, 0),
    d: () => hands.picture().turn(0.12, 0),
    w: () => hands.picture().turn(0, 0.08),
    s: () => hands.picture().turn(0, -0.08),
    "+": () => hands.picture().closer(0.9),
    "-": () => hands.picture().closer(1.1),
    "0": () => hands.picture().reset(),
    h: () => hands.press("hold"),
    c: () => hands.press("cut"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (event.repeat && "hc".includes(event.key.toLowerCase())) return; // held down is pressed once
    if (target.closest("input, dialog:not(#help)")) return;
    if (event.key === " " && target.closest("button, summary")) return; // a button presses itself
    if (help.open && event.key !== "?") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = does[key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });
}
