/** What can go wrong with the API server, as a closed set: it is a metric label and decides what is done next. */

export const API_PROBLEMS = {
  unreachable: 'it cannot be reached; check the network and that it runs',
  timeout: 'it does not answer in time',
  certificate: 'its certificate, or the authority that should have signed it, is not valid',
  credentials: 'the token or certificate to present cannot be had; check its file or plugin',
  unauthorized: 'it refuses the token or certificate (401)',
  forbidden: 'the account may not do that (403); grant it list and watch',
  missing: 'it does not know this resource (404)',
  expired: 'the version to go on from is too old (410)',
  overloaded: 'it asks to come back later',
  refused: 'it answered with an unexpected status',
  malformed: 'what it sent is not what the API promises',
  too_large: 'it sent one object that is larger than any may be',
} as const;

export type ApiProblem = keyof typeof API_PROBLEMS;

/** An answer of the API server that is none, or a connection that failed. Never holds what was sent or received. */
export class ApiError extends Error {
  readonly problem: ApiProblem;
  /** Of the Retry-After header; undefined where there is none. */
  readonly retryAfterMs: number | undefined;

  constructor(problem: ApiProblem, options: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(API_PROBLEMS[problem], options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ApiError';
    this.problem = problem;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** By status code of HTTP, or of a Status object in a watch. */
export function problemOfStatus(status: number): ApiProblem {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'missing';
  if (status === 410) return 'expired';
  if (status === 429 || status >= 500) return 'overloaded';
  return 'refused';
}

/** Codes of OpenSSL (X509_verify_cert_error_string) and of Node.js for certificates. */
const CERTIFICATE = /CERT|^UNABLE_TO_|^HOSTNAME_MISMATCH$|^INVALID_(CA|PURPOSE)$|^ERR_(TLS|SSL|OSSL)_/;

export function problemOfError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const { code = '' } = error as { code?: string };
  if (CERTIFICATE.test(code)) return new ApiError('certificate', { cause: error });
  if (code === 'ETIMEDOUT') return new ApiError('timeout', { cause: error });
  return new ApiError('unreachable', { cause: error });
}
