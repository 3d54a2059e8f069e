/** Texts that give secrets away: they must not be learnt, for a model tells what it has learnt. */

/** Forms of secrets themselves; the words for them occur in harmless questions too. */
const SECRETS: readonly RegExp[] = [
  // private keys
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  // keys of AWS, GitHub, GitLab, Slack, Google, Stripe, OpenAI and the like
  /\b(AKIA|ASIA)[0-9A-Z]{16}\b/,
  /\b(ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,}\b/,
  /\bgithub_pat_\w{22,}\b/,
  /\bglpat-[\w-]{20,}/,
  /\bxox[abprs]-[\w-]{10,}/,
  /\bAIza[\w-]{35}\b/,
  /\b[srp]k_(live|test)_[A-Za-z0-9]{16,}\b/,
  /\bsk-(ant-|proj-)?[\w-]{20,}/,
  // JSON web tokens
  /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/,
  /\bbearer\s+[\w.~+/=-]{16,}/i,
  // a user and a password in an address
  /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]+:[^\s/@]+@/i,
  // an assignment: password=…, "api_key": "…"; with a digit in it, for in programs there are types and names
  /(password|passwd|api[_-]?key|secret([_-]?key)?|token)["']?\s*[:=]\s*["']?(?=[^\s"',;]*\d)[^\s"',;]{6,}/i,
];

export function holdsSecret(text: string): boolean {
  return SECRETS.some((pattern) => pattern.test(text));
}
