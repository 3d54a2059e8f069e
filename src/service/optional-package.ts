/** Packages that only those need who use what they are for. */
import { LorakeetError } from '../errors.js';

/** What `load` imports, as in `loadPackage('metrics', 'prom-client', () => import('prom-client'))`. Rejects with ERR_PACKAGE_MISSING. */
export async function loadPackage<T>(what: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const text = `${what}: a package is needed that is not installed: npm install ${name}`;
    throw new LorakeetError('ERR_PACKAGE_MISSING', text, { cause });
  }
}
