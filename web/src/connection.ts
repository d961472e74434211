// Stay connected to the show without anybody having to reload the page.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

export interface Listener {
  opened(): void;
  message(data: unknown): void;
  /** The connection is gone; the next try is at `retryAt` (milliseconds of performance.now). */
  closed(retryAt: number): void;
}

/** A WebSocket that comes back by itself, waiting twice as long after each failure, up to 8 s. */
export class Connection {
  private socket: WebSocket | null = null;
  private wait = FIRST_WAIT_MS;
  private timer = 0;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {
    window.addEventListener("online", () => this.now());
  }

  open(): void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.listener.opened();
    socket.onmessage = (event) => {
      this.wait = FIRST_WAIT_MS;
      this.listener.message(event.data);
    };
    socket.onclose = () => this.later();
  }

  /** Try at once instead of waiting. */
  now(): void {
    if (this.socket !== null) return;
    window.clearTimeout(this.timer);
    this.open();
  }

  private later(): void {
    this.socket = null;
    const wait = this.wait * (0.8 + 0.4 * Math.random());
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    this.timer = window.setTimeout(() => this.open(), wait);
    this.listener.closed(performance.now() + wait);
  }
}
