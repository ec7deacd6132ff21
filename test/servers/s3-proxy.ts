// An HTTP proxy in front of the S3 server that does what networks, proxies and S3 itself do on bad days.

import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export type Fault =
  /** Answers with S3's error, and forwards nothing. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string }
  /** Takes half of the body, and closes the connection. Forwards nothing. */
  | { readonly kind: 'cut-request' }
  /** Forwards it, and closes the connection instead of answering. */
  | { readonly kind: 'lose-answer' }
  /** Answers with half of the body, and closes the connection. */
  | { readonly kind: 'cut-answer' }
  /** Changes a byte of the request's body. */
  | { readonly kind: 'corrupt-request' }
  /** Gives the first answer that was given to a request of this method and path (whatever its query) once more. */
  | { readonly kind: 'repeat-answer' }
  /** Answers with this, and forwards nothing. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** Forwards it, and changes the answer's body. */
  | { readonly kind: 'change-answer'; readonly change: (body: string) => string }
  /** Never answers; the request waits until its client gives up or `release` is called, and is then forwarded. */
  | { readonly kind: 'hold' };

interface Rule {
  readonly match: (request: ProxiedRequest) => boolean;
  readonly fault: Fault;
  left: number;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Requests by what they are. */
export const is = {
  part: ({ method, url }: ProxiedRequest) => method === 'PUT' && url.includes('partNumber='),
  begin: ({ method, url }: ProxiedRequest) => method === 'POST' && /[?&]uploads/.test(url),
  complete: ({ method, url }: ProxiedRequest) => method === 'POST' && url.includes('uploadId='),
  put: (request: ProxiedRequest) => request.method === 'PUT' && request.url.includes('/data/') && !is.part(request),
  get: ({ method, url }: ProxiedRequest) => method === 'GET' && url.includes('/data/'),
  list: ({ method, url }: ProxiedRequest) => method === 'GET' && url.includes('list-type=2'),
  deleteMany: ({ method, url }: ProxiedRequest) => method === 'POST' && /[?&]delete/.test(url),
};

export class S3Proxy {
  /** All requests so far. */
  readonly requests: ProxiedRequest[] = [];
  /** The most bodies of parts that were on their way at once. */
  mostParts = 0;
  #parts = 0;
  readonly #target: string;
  readonly #server: http.Server;
  readonly #agent = new http.Agent({ keepAlive: true });
  #rules: Rule[] = [];
  readonly #first = new Map<string, Answer>();
  #held: (() => void)[] = [];
  #onHeld: (() => void)[] = [];

  constructor(target: string) {
    this.#target = target;
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
  }

  async stop(): Promise<void> {
    this.heal();
    this.#server.closeAllConnections();
    await once(this.#server.close(), 'close');
    this.#agent.destroy();
  }

  /** The next `times` requests of this kind meet the fault; rules are asked in the order in which they were made. */
  break(match: (request: ProxiedRequest) => boolean, fault: Fault, times = 1): void {
    this.#rules.push({ match, fault, left: times });
  }

  /** Ends all faults, forgets what was counted, and lets go of what is held. */
  heal(): void {
    this.#rules = [];
    this.requests.length = 0;
    this.#first.clear();
    this.mostParts = 0;
    this.release();
  }

  /** Whether each fault has happened as often as it was to; one that stays may do as it likes. */
  get isSpent(): boolean {
    return this.#rules.every(({ left }) => left === 0 || left === Infinity);
  }

  release(): void {
    for (const go of this.#held.splice(0)) go();
  }

  /** Resolves when a request is held. */
  async untilHeld(count = 1): Promise<void> {
    while (this.#held.length < count) await new Promise<void>((resolve) => this.#onHeld.push(resolve));
  }

  count(match: (request: ProxiedRequest) => boolean): number {
    return this.requests.filter(match).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    const proxied: ProxiedRequest = { method, url, headers };
    this.requests.push(proxied);
    const rule = this.#rules.find(({ left, match }) => left > 0 && match(proxied));
    if (rule !== undefined) rule.left--;
    const isPart = is.part(proxied);
    if (isPart) this.mostParts = Math.max(this.mostParts, ++this.#parts);
    try {
      await this.#answer(request, response, rule?.fault);
    } catch {
      // The client, or the server, has gone.
      response.destroy();
    } finally {
      if (isPart) this.#parts--;
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): Promise<void> {
    if (fault?.kind === 'cut-request') return cutRequest(request);
    const body = await collect(request);
    const key = `${request.method} ${request.url?.split('?')[0]}`;
    switch (fault?.kind) {
      case 'error': {
        send(response, errorAnswer(fault.status, fault.code));
        return;
      }
      case 'answer': {
        send(response, { status: fault.status, headers: {}, body: Buffer.from(fault.body) });
        return;
      }
      case 'repeat-answer': {
        const first = this.#first.get(key);
        if (first === undefined) throw new Error('nothing to repeat');
        send(response, first);
        return;
      }
      case 'corrupt-request':
        body[body.length >> 1] = ((body[body.length >> 1] ?? 0) + 1) & 0xff;
        break;
      case 'hold':
        await new Promise<void>((resolve) => {
          this.#held.push(resolve);
          for (const tell of this.#onHeld.splice(0)) tell();
        });
        if (response.destroyed) return;
        break;
      default:
    }
    const answer = await this.#forward(request, body);
    if (!this.#first.has(key)) this.#first.set(key, answer);
    if (fault?.kind === 'lose-answer') response.destroy();
    else if (fault?.kind === 'cut-answer') cutAnswer(response, answer);
    else if (fault?.kind === 'change-answer') {
      const { 'content-length': _length, ...headers } = answer.headers;
      send(response, { ...answer, headers, body: Buffer.from(fault.change(answer.body.toString())) });
    } else send(response, answer, request.method === 'HEAD');
  }

  async #forward(request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { method, url, headers } = request;
    const { expect: _expect, ...rest } = headers;
    const outgoing = http.request(this.#target, { method, path: url, headers: rest, agent: this.#agent });
    outgoing.end(body);
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { status: incoming.statusCode ?? 500, headers: incoming.headers, body: await collect(incoming) };
  }
}

export async function startProxy(target: string): Promise<S3Proxy> {
  const proxy = new S3Proxy(target);
  await proxy.start();
  return proxy;
}

async function collect(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function cutRequest(request: IncomingMessage): Promise<void> {
  const half = Number(request.headers['content-length'] ?? 0) / 2;
  let taken = 0;
  for await (const chunk of request) {
    taken += (chunk as Buffer).length;
    if (taken >= half) break;
  }
  request.socket.destroy();
}

function send(response: ServerResponse, { status, headers, body }: Answer, isHead = false): void {
  const { 'transfer-encoding': _encoding, connection: _connection, ...rest } = headers;
  response.writeHead(status, isHead ? rest : { ...rest, 'content-length': body.length });
  response.end(isHead ? undefined : body);
}

function cutAnswer(response: ServerResponse, { status, headers, body }: Answer): void {
  const { 'transfer-encoding': _encoding, connection: _connection, ...rest } = headers;
  response.writeHead(status, { ...rest, 'content-length': body.length });
  response.write(body.subarray(0, body.length >> 1), () => response.destroy());
}

export function errorXml(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>a fault of the test</Message></Error>`;
}

function errorAnswer(status: number, code: string): Answer {
  return { status, headers: { 'content-type': 'application/xml' }, body: Buffer.from(errorXml(code)) };
}
