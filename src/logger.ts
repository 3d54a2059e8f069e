/** Where lorakeet's one-line messages go. `console` fits; so does pino. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The default: the documented one-line messages on the console, without debug output. */
export const consoleLogger: Logger = {
  debug() {},
  info: (message) => console.log(message),
  warn: (message) => console.warn(message),
  error: (message) => console.error(message),
};
