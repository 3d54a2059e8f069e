/** The logger that a configuration asks for. */
import type { Logger } from '../../logger.js';
import type { ServiceConfig } from '../config/keys.js';
import { loadPackage } from '../optional-package.js';
import { redactorOf } from './redaction.js';

export interface ServiceLoggerOptions {
  /** Takes whole lines. Default: standard output. */
  write?: (line: string) => void;
  /** Default: imports the package pino. */
  load?: () => Promise<Pick<typeof import('pino'), 'pino'>>;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/**
 * Lines of JSON by pino, or text as `2026-01-31T12:00:00.000Z info message`, from logging.level on. No line has a secret of the
 * configuration in it, or is more than a line. Rejects with ERR_PACKAGE_MISSING where the format is json and there is no pino.
 */
export async function openServiceLogger(config: ServiceConfig, options: ServiceLoggerOptions = {}): Promise<Logger> {
  const { write = (line: string) => void process.stdout.write(line), load = () => import('pino') } = options;
  const { level, format } = config.logging;
  const redact = redactorOf(config);
  if (format === 'text') {
    const least = level === 'silent' ? LEVELS.length : LEVELS.indexOf(level);
    const method = (name: (typeof LEVELS)[number], rank: number) => (message: string) => {
      if (rank >= least) write(`${new Date().toISOString()} ${name} ${onOneLine(redact(message))}\n`);
    };
    const [debug, info, warn, error] = LEVELS.map(method);
    return { debug, info, warn, error };
  }
  const { pino } = await loadPackage('logging.format json', 'pino', load);
  const formatters = { level: (label: string) => ({ level: label }) };
  const settings = { level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime, formatters };
  const logger = pino(settings, { write });
  return {
    debug: (message) => logger.debug(redact(message)),
    info: (message) => logger.info(redact(message)),
    warn: (message) => logger.warn(redact(message)),
    error: (message) => logger.error(redact(message)),
  };
}

/** Nobody forges a line by a line break in what is quoted. */
function onOneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
