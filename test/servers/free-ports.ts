// Ports of loopback that nobody listens on.

import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** All different: each is held until all are known. Somebody else may take one before it is used, which a test that fails to start says. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
