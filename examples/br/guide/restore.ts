// restore.ts: a full backup and the incremental ones after it, into anything that is a RestoreTarget.

import { openContainer, type RestoreTarget } from 'tidemark';
import { restoreBrBackup, type BrCipher, type RestoreBrResult } from 'tidemark/br';

/** `urls`: the full backup first. At the end of the last one, unless `version` is the end of an earlier one. */
export async function restoreChain(
  urls: readonly string[],
  target: RestoreTarget,
  options: { readonly version?: bigint; readonly cipher?: BrCipher; readonly tables?: readonly string[] } = {},
): Promise<RestoreBrResult> {
  const { version, cipher, tables } = options;
  const containers = await Promise.all(urls.map((url) => openContainer(url)));
  return await restoreBrBackup({
    chain: containers.map((container) => ({ container, cipher })),
    target,
    version,
    tables, // such as ['shop.orders', 'shop.item_*']; undefined: all
    onProgress: ({ phase, bytesRead, bytesTotal }) => console.log(`${phase}: ${bytesRead} of ${bytesTotal} bytes`),
  });
}
