import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { CuttableProxy } from './cuttable-proxy.js';

/** A server that answers every piece with itself, and what it has heard. */
async function echo() {
  const heard: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard.push(text);
      socket.write(text);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const proxy = await CuttableProxy.start((server.address() as AddressInfo).port);
  onTestFinished(async () => {
    await proxy.close();
    await once(server.close(), 'close');
  });
  return { heard, proxy };
}

async function call(proxy: CuttableProxy): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1');
  await once(socket, 'connect');
  onTestFinished(() => void socket.destroy());
  return socket.setEncoding('utf8');
}

async function ask(socket: Socket, text: string): Promise<unknown> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [unknown];
  return answer;
}

it('passes nothing while it is cut, in neither direction, and all of it afterwards', async () => {
  const { heard, proxy } = await echo();
  const socket = await call(proxy);
  expect(await ask(socket, 'before')).toBe('before');
  proxy.cut();
  socket.write('while');
  const late = await call(proxy);
  late.write('new');
  // A connection that is not cut comes and goes meanwhile.
  const other = await echo();
  expect(await ask(await call(other.proxy), 'elsewhere')).toBe('elsewhere');
  expect(heard).toEqual(['before']);
  const answers = Promise.all([once(socket, 'data'), once(late, 'data')]);
  proxy.mend();
  expect(await answers).toEqual([['while'], ['new']]);
  expect(heard.sort()).toEqual(['before', 'new', 'while']);
  expect(await ask(socket, 'after')).toBe('after');
});

it('delivers what a host has sent that has gone meanwhile', async () => {
  const { heard, proxy } = await echo();
  const socket = await call(proxy);
  expect(await ask(socket, 'before')).toBe('before');
  proxy.cut();
  socket.end('last words');
  proxy.mend();
  await once(socket.resume(), 'end');
  expect(heard).toEqual(['before', 'last words']);
});
