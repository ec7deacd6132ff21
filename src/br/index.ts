// `tidemark/br`: TiKV's backup on disk.

export type { BrCipher, BrCipherMethod, BrFile, BrKeyRange, BrRawRange, BrTableMeta } from '../format/br/messages.js';
