// A URL as it may be shown: in errors, descriptions, status and events. What opens a container keeps the real one.
// Must never let a secret through: where it is unclear what a part is, it is taken for one.

/** What stands in a secret's place. */
const REDACTED = '***';

/** Parameters whose value is shown to nobody, whatever scheme they belong to. `header` adds a header to every request: it may well be an `Authorization`. */
const SECRET_PARAMETER =
  /secret|password|passwd|token|credential|signature|^(?:amp;)?(?:header|key|sig|auth|pwd|pass)$|api[_-]?key|private/i;

/** What a URL begins with. Also of one that is quoted, has a blank before it or lacks slashes: nobody can open it, and the error shows it. One letter without slashes is a drive of Windows. */
const SCHEME = /^[\s"'`<(]*([a-z][a-z0-9+.-]*:\/\/|[a-z][a-z0-9+.-]+:\/?)/i;

/**
 * `blobstore://key:secret@host/name` becomes `blobstore://key:***@host/name`. A secret may hold any character, be it one that should have been percent-encoded: all up to the last `@` counts as credentials if it has a
 * colon, and where an S3 container's URL has no `@`, all behind a colon that is not a port's. `file:` URLs and what is no URL are returned as they are.
 */
export function redactUrl(url: string): string {
  const [begin, scheme] = SCHEME.exec(url) ?? [];
  if (begin === undefined || scheme === undefined || /^file:/i.test(scheme)) return url;
  const rest = url.slice(begin.length);
  return redactParameters(begin + (rest.includes('@') ? redactCredentials(rest) : redactHost(scheme, rest)));
}

/** The text with the URL in it as it may be shown. For errors of a container that quotes what it was opened with. */
export function redactUrlIn(text: string, url: string): string {
  const shown = redactUrl(url);
  return shown === url ? text : text.replaceAll(url, shown);
}

function redactCredentials(rest: string): string {
  const at = rest.lastIndexOf('@');
  const colon = rest.indexOf(':');
  return colon === -1 || colon > at ? rest : `${rest.slice(0, colon)}:${REDACTED}${rest.slice(at)}`;
}

/** Credentials without the `@host` that belongs behind them look like a host and its port. */
function redactHost(scheme: string, rest: string): string {
  if (!/^(?:s3|blobstore):/i.test(scheme)) return rest;
  const credentials = /^([^/?#:[]*):(?!\d{1,5}(?:[/?#]|$))/.exec(rest);
  return credentials === null ? rest : `${credentials[1]}:${REDACTED}`;
}

function redactParameters(url: string): string {
  const question = url.indexOf('?');
  if (question === -1) return url;
  const parameters = url.slice(question + 1).split('&');
  return `${url.slice(0, question)}?${parameters.map(redactParameter).join('&')}`;
}

function redactParameter(parameter: string): string {
  const equals = parameter.indexOf('=');
  if (equals === -1) return parameter;
  const name = parameter.slice(0, equals);
  return SECRET_PARAMETER.test(decoded(name)) ? `${name}=${REDACTED}` : parameter;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded: as it stands.
    return text;
  }
}
