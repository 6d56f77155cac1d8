// What the snippets take from a browser and from Node 22, and nothing else of either.

declare const console: { log(...what: unknown[]): void };

declare function fetch(
  url: string,
  init?: { method?: string; headers?: Record<string, string>; body?: string | undefined },
): Promise<{ ok: boolean; status: number; json(): Promise<any>; text(): Promise<string> }>;

declare class WebSocket {
  constructor(url: string, protocols?: string[]);
  onmessage: ((event: { data: string }) => void) | null;
  send(text: string): void;
}

/** Where Dialtone is: `https://dialtone.example.com`. */
declare const DIALTONE_URL: string;
/** The user's token, from your own login. */
declare const token: string;
