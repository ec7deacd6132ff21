// An error as it may be shown where it could quote a URL that holds a secret: in its message, or in anything that it carries along, such as the `input` of Node's "Invalid URL".

import { BackupError } from './errors.js';
import { redactUrl, redactUrlIn } from './redact-url.js';

/** Causes of causes that are looked at. */
const MOST_CAUSES = 8;

/** The same error if it does not quote the URL, or the URL has no secret; else one that has its message and code, and nothing that it carries along. */
export function errorWithoutSecret(error: unknown, url: string): unknown {
  if (redactUrl(url) === url || !quotes(error, url, MOST_CAUSES)) return error;
  const message = redactUrlIn(messageOf(error), url);
  if (!BackupError.is(error)) return new Error(message);
  const { retryable, container, file } = error;
  return new BackupError(error.code, message, { retryable, container, file });
}

function messageOf(error: unknown): string {
  const isObject = typeof error === 'object' && error !== null;
  return String(isObject && 'message' in error ? error.message : error);
}

function quotes(value: unknown, url: string, causes: number): boolean {
  if (typeof value === 'string') return value.includes(url);
  if (typeof value !== 'object' || value === null || causes === 0) return false;
  return Object.values(Object.getOwnPropertyDescriptors(value)).some(
    ({ value: part }: PropertyDescriptor) =>
      (typeof part === 'string' && part.includes(url)) || (part instanceof Error && quotes(part, url, causes - 1)),
  );
}
