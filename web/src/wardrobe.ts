// Take an avatar from whoever drops a file or picks one, and give it to the picture; the code that reads
// it is fetched only then.

import { byId, write } from "./page";
import type { Skeleton } from "./protocol";
import type { Picture } from "./stage";

const LARGEST = 256 * 2 ** 20;

export class Wardrobe {
  private worn: { name: string; data: ArrayBuffer } | null = null;

  constructor(
    private readonly picture: () => Picture,
    private readonly skeleton: () => Skeleton | null,
    private readonly channels: () => readonly string[],
  ) {
    const input = byId<HTMLInputElement>("avatar-file");
    byId("avatar-open").addEventListener("click", () => (this.worn === null ? input.click() : this.takeOff()));
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = "";
      if (file) void this.take(file);
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) void this.take(file);
    });
  }

  /** A show begins: whoever wears an avatar wears it again. */
  async dress(): Promise<void> {
    if (this.worn !== null) await this.wear(this.worn.name, this.worn.data);
  }

  /** Wear the avatar at an address of this server. */
  async fetch(url: string): Promise<void> {
    let data: ArrayBuffer;
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(String(answer.status));
      data = await answer.arrayBuffer();
    } catch (problem) {
      this.say(`The show's avatar cannot be fetched: ${problem instanceof Error ? problem.message : String(problem)}.`);
      return;
    }
    await this.wear("the show's avatar", data);
  }

  private async take(file: File): Promise<void> {
    if (file.size > LARGEST) this.say(`${file.name} is larger than 256 MB.`);
    else await this.wear(file.name, await file.arrayBuffer());
  }

  private async wear(name: string, data: ArrayBuffer): Promise<void> {
    const skeleton = this.skeleton();
    if (skeleton === null) {
      this.say("No show yet: drop the avatar again when one is on.");
      return;
    }
    this.say(`Reading ${name} …`);
    try {
      const { readAvatar } = await import("./avatar");
      this.picture().wear(await readAvatar(data, skeleton, this.channels()));
      this.worn = { name, data };
      this.say("");
      document.documentElement.dataset.avatar = name;
      write(byId("avatar-open"), "mannequin");
    } catch (problem) {
      this.say(problem instanceof Error ? problem.message : String(problem));
    }
  }

  private takeOff(): void {
    this.worn = null;
    this.picture().wear(null);
    delete document.documentElement.dataset.avatar;
    write(byId("avatar-open"), "avatar");
  }

  private say(text: string): void {
    write(byId("avatar-note"), text);
    byId("avatar-note").hidden = text === "";
  }
}
