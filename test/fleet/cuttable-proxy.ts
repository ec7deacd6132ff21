// A TCP proxy on loopback that can be cut like a network: nothing passes and nobody is told, connections stay open. What was on its way arrives late, once it is mended: that is how the old requests of a host
// come to a server that has long given its work to others.

import { once } from 'node:events';
import { type AddressInfo, createServer, connect, type Server, type Socket } from 'node:net';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class CuttableProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #isCut = false;

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
      this.#join({ near, far });
    });
  }

  /** In front of a server on loopback. */
  static async start(port: number): Promise<CuttableProxy> {
    const proxy = new CuttableProxy(port);
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** New connections are taken, and nothing passes on them either. */
  cut(): void {
    this.#isCut = true;
    for (const { near, far } of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
    }
  }

  mend(): void {
    if (!this.#isCut) return;
    this.#isCut = false;
    for (const pair of this.#pairs) {
      if (pair.near.closed || pair.far.closed) this.#drop(pair);
      else pass(pair);
    }
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) this.#drop(pair);
    await once(this.#server.close(), 'close');
  }

  #join(pair: Pair): void {
    this.#pairs.add(pair);
    for (const socket of [pair.near, pair.far]) {
      // Whoever has one side reset sees its 'close' next.
      socket.on('error', () => undefined);
      // While nothing passes the other side must not learn of it.
      socket.on('close', () => {
        if (!this.#isCut) this.#drop(pair);
      });
    }
    if (!this.#isCut) pass(pair);
  }

  #drop(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.near.destroy();
    pair.far.destroy();
  }
}

function pass({ near, far }: Pair): void {
  near.pipe(far);
  far.pipe(near);
}
