// A host's process, from outside: started, killed, frozen, cut off, asked to stop, and watched for whatever it should not do.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CuttableProxy } from './cuttable-proxy.js';
import { monotonicNow, type HostCommand, type HostMessage, type HostSettings } from './messages.js';

const PROCESS = fileURLToPath(new URL('./host-process.ts', import.meta.url));
/** ms: far longer than anything takes, on a busy machine too. */
const PATIENCE = 60_000;
const MAX_OUTPUT = 8_000;

export type FleetHostSettings = Omit<HostSettings, 'storeUrl'> & {
  /** Of the coordination etcd on loopback; the host reaches it through a proxy of its own. */
  readonly storePort: number;
};

export class FleetHost {
  readonly name: string;
  readonly problems: string[] = [];
  /** All that it has told, in order. */
  readonly messages: HostMessage[] = [];
  readonly #process: ChildProcess;
  readonly #proxy: CuttableProxy;
  readonly #ended: Promise<void>;
  readonly #onMessage: () => void;
  #errors = '';
  #isKilled = false;
  #isOver = false;

  /** `onMessage` is called after each message, and when the process has ended. */
  static async start(settings: FleetHostSettings, onMessage: () => void): Promise<FleetHost> {
    const { storePort, ...rest } = settings;
    const proxy = await CuttableProxy.start(storePort);
    return new FleetHost({ ...rest, storeUrl: `http://127.0.0.1:${proxy.port}` }, proxy, onMessage);
  }

  private constructor(settings: HostSettings, proxy: CuttableProxy, onMessage: () => void) {
    this.name = settings.host;
    this.#proxy = proxy;
    this.#onMessage = onMessage;
    this.#process = fork(PROCESS, [JSON.stringify(settings)], {
      execArgv: ['--import', 'tsx'],
      // It would be taken for something that the host has to say.
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-MAX_OUTPUT);
    });
    this.#process.on('message', (message: HostMessage) => {
      this.messages.push(message);
      if (message.kind === 'problem') this.problems.push(message.message);
      onMessage();
    });
    this.#ended = this.#awaitEnd();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it has told of this event of its fleet, at `since` or later. */
  hasTold(event: string, since = 0): boolean {
    return this.messages.some((message) => message.kind === 'fleet' && message.event === event && message.at >= since);
  }

  /** Tags whose workers run, as it has told. */
  get runningTags(): ReadonlySet<number> {
    const running = new Set<number>();
    for (const message of this.messages) {
      if (message.kind !== 'worker') continue;
      if (message.event === 'started') running.add(message.tag);
      else if (message.event === 'ended') running.delete(message.tag);
    }
    return running;
  }

  /** The time of it. */
  async kill(): Promise<number> {
    const at = monotonicNow();
    this.#isKilled = true;
    this.#process.kill('SIGKILL');
    await this.#ended;
    return at;
  }

  /** The time of it. Nothing of the process runs until `thaw`; what it has sent already is still on its way. */
  freeze(): number {
    const at = monotonicNow();
    this.#process.kill('SIGSTOP');
    return at;
  }

  thaw(): number {
    const at = monotonicNow();
    this.#process.kill('SIGCONT');
    return at;
  }

  /** From the coordination store alone. The time of it. */
  cut(): number {
    const at = monotonicNow();
    this.#proxy.cut();
    return at;
  }

  mend(): number {
    const at = monotonicNow();
    this.#proxy.mend();
    return at;
  }

  /** Lets it end in good order, which it must, leaving nothing behind. The time at which it was asked. */
  async stop(): Promise<number> {
    const at = monotonicNow();
    const command: HostCommand = { command: 'stop' };
    if (this.#process.connected) this.#process.send(command);
    const patience = new AbortController();
    const late = sleep(PATIENCE, true, { signal: patience.signal }).catch(() => false);
    const isLate = await Promise.race([this.#ended.then(() => false), late]);
    patience.abort();
    if (isLate) {
      this.problems.push('it did not end when it was asked to');
      await this.kill();
      return at;
    }
    const end = this.messages.find((message) => message.kind === 'end');
    if (end !== undefined && end.resources.length > 0) this.problems.push(`it left ${end.resources.join(', ')}`);
    return at;
  }

  /** Whatever has become of it: nothing is left. */
  async dispose(): Promise<void> {
    if (!this.#isOver) await this.kill();
    await this.#proxy.close();
  }

  async #awaitEnd(): Promise<void> {
    const [code, signal] = (await once(this.#process, 'close')) as [number | null, string | null];
    this.#isOver = true;
    const errors = this.#errors.trim();
    if (!this.#isKilled) {
      if (code !== 0) this.problems.push(`it ended by itself, code ${code}, signal ${signal}: ${errors}`);
      else if (errors !== '') this.problems.push(`it said: ${errors}`);
    }
    this.#onMessage();
  }
}
