// What every demo does with signals and errors: it ends in good order, says what failed first, and sets the exit code.

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const INTERRUPTED = new Error('interrupted');

/** Runs `demo`, whose controller aborts at a signal. Never rejects. */
export async function runInterruptible(demo: (abort: AbortController) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  const interrupt = () => abort.abort(INTERRUPTED);
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  try {
    await demo(abort);
  } catch (error) {
    // What failed first is the reason; the rest failed because everything was stopped.
    const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
    if (reason === INTERRUPTED) console.error('Interrupted');
    else console.error('FAILED:', reason);
    process.exitCode = 1;
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, interrupt);
  }
}
