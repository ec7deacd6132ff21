// npm run inspect -- backupmeta PATH: what a TiKV backup (BR's) says of itself. Exits with 1 for a backup that cannot be read, with 2 for a wrong command line.

import { runInspect } from './run.js';

process.exitCode = await runInspect(process.argv.slice(2), {
  out: process.stdout,
  complain: (text) => console.error(text),
});
