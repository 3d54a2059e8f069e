/** The conformance suite of serving drivers (ServingDriver), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import type { LorakeetErrorCode } from '../errors.js';
import type { AdapterSource, DeployRequest, ServingDriver, ServingStatus } from '../serving/driver.js';
import { assertRejects, type ConformanceCase } from './harness.js';

/** A server of its own, with nothing deployed, and a driver of it. */
export interface ServingFixture {
  driver: ServingDriver;
  /** Of an adapter that the driver serves. */
  name: string;
  /** Weights that differ from version to version; v1.0, v1.1 and v1.2 are asked for. */
  source(version: string): AdapterSource;
  /** Weights that cannot be deployed. */
  broken: AdapterSource;
  /** Asks the server for an answer as its users do: by the weights of which version it is; null: the base model's. */
  answeredBy(name: string): Promise<string | null>;
  /** Another driver of the same server, as a process started later has it. Default: the server ends with its driver. */
  reopen?(): ServingDriver;
  /** Of a second adapter that is served independently. Default: the server holds only one. */
  otherName?: string;
  close(): Promise<void> | void;
}

export interface ServingConformanceOptions {
  open(): Promise<ServingFixture>;
}

const NAME_CODES: [unknown, LorakeetErrorCode][] = [
  ['', 'ERR_PATH_NOT_ALLOWED'],
  ['../a', 'ERR_PATH_NOT_ALLOWED'],
  [7, 'ERR_PATH_NOT_ALLOWED'],
];

/** The cases, in no particular order. Each opens a server of its own. */
export function servingConformance({ open }: ServingConformanceOptions): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (fixture: ServingFixture) => Promise<void>) => {
    cases.push({
      name,
      async run() {
        const fixture = await open();
        try {
          await body(fixture);
        } finally {
          await fixture.close();
        }
      },
    });
  };
  const requestOf = ({ name, source }: ServingFixture, version: string): DeployRequest => {
    return { name, version, ...source(version) };
  };
  /** What the driver gave, what the server says, and what its answers show. */
  const assertServed = async (fixture: ServingFixture, given: ServingStatus | null, version: string | null) => {
    const { driver, name } = fixture;
    const status = await driver.status(name);
    if (given) assert.deepEqual(given, status, 'what the operation gave, and what status gives');
    assert.equal(status.name, name);
    assert.equal(status.version, version, 'the version of the status');
    assert.equal(status.settled, true, 'settled');
    if (version !== null) assert.ok(status.loaded.includes(version), 'loaded holds what is served');
    assert.equal(await fixture.answeredBy(name), version, 'the version that answers');
  };

  add('serves the base model before anything is deployed', (fixture) => assertServed(fixture, null, null));

  add('serves what is deployed, replaces it, and goes back to it', async (fixture) => {
    for (const version of ['v1.0', 'v1.1', 'v1.2', 'v1.0']) {
      await assertServed(fixture, await fixture.driver.deploy(requestOf(fixture, version)), version);
    }
  });

  add('deploys again what is served', async (fixture) => {
    const first = await fixture.driver.deploy(requestOf(fixture, 'v1.0'));
    assert.deepEqual(await fixture.driver.deploy(requestOf(fixture, 'v1.0')), first);
    await assertServed(fixture, first, 'v1.0');
  });

  add('serves the base model once disabled, and disables again and in vain', async (fixture) => {
    const { driver, name } = fixture;
    await assertServed(fixture, await driver.disable(name), null);
    await driver.deploy(requestOf(fixture, 'v1.0'));
    const disabled = await driver.disable(name);
    assert.equal(await fixture.answeredBy(name), null, 'by the time that disable resolves');
    await assertServed(fixture, disabled, null);
    await assertServed(fixture, await driver.disable(name), null);
    await assertServed(fixture, await driver.deploy(requestOf(fixture, 'v1.0')), 'v1.0');
  });

  add('goes on with the version before when a deploy fails', async (fixture) => {
    const { driver, name, broken } = fixture;
    await driver.deploy(requestOf(fixture, 'v1.0'));
    await assert.rejects(driver.deploy({ name, version: 'v1.1', ...broken }), { name: 'LorakeetError' });
    await assertServed(fixture, null, 'v1.0');
  });

  add('lets operations that come at once follow each other', async (fixture) => {
    const { driver, name } = fixture;
    const versions = ['v1.0', 'v1.1', 'v1.2', 'v1.0', 'v1.1'];
    const all = versions.map((version) => driver.deploy(requestOf(fixture, version)));
    assert.deepEqual(
      (await Promise.all(all)).map(({ version }) => version),
      versions,
    );
    await assertServed(fixture, null, 'v1.1');
    const last = [driver.disable(name), driver.deploy(requestOf(fixture, 'v1.2'))];
    assert.deepEqual(
      (await Promise.all(last)).map(({ version }) => version),
      [null, 'v1.2'],
    );
    await assertServed(fixture, null, 'v1.2');
  });

  add('lets disable stop the deploys under way', async (fixture) => {
    const { driver, name } = fixture;
    await driver.deploy(requestOf(fixture, 'v1.0'));
    const deploys = ['v1.1', 'v1.2'].map((version) => driver.deploy(requestOf(fixture, version)));
    const stopped = deploys.map((deploy) => assertRejects('a deploy under way', 'ERR_ABORTED', () => deploy));
    await Promise.all([driver.disable(name), ...stopped]);
    await assertServed(fixture, null, null);
  });

  add('asks for confirmation before it tells the server anything', async (fixture) => {
    const { driver } = fixture;
    let asked = 0;
    await driver.deploy(requestOf(fixture, 'v1.0'), { confirm: async () => void asked++ });
    assert.equal(asked, 1);
    const refusal = new Error('no longer wanted');
    const refused = driver.deploy(requestOf(fixture, 'v1.1'), { confirm: () => Promise.reject(refusal) });
    await assert.rejects(refused, (error) => error === refusal);
    await assertServed(fixture, null, 'v1.0');
  });

  add('lets disable carry the day over a deploy that has been confirmed', async (fixture) => {
    const { driver, name } = fixture;
    let disabled: Promise<unknown> | undefined;
    const deploy = driver.deploy(requestOf(fixture, 'v1.0'), {
      confirm: async () => {
        disabled = driver.disable(name);
      },
    });
    await assertRejects('the deploy', 'ERR_ABORTED', () => deploy);
    await disabled;
    await assertServed(fixture, null, null);
  });

  add('changes nothing when it is aborted', async (fixture) => {
    const { driver } = fixture;
    await driver.deploy(requestOf(fixture, 'v1.0'));
    const aborted = { signal: AbortSignal.abort(new Error('why')) };
    await assertRejects('deploy', 'ERR_ABORTED', () => driver.deploy(requestOf(fixture, 'v1.1'), aborted));
    await assertServed(fixture, null, 'v1.0');
  });

  add('refuses arguments that make no sense, and changes nothing', async (fixture) => {
    const { driver, name, source } = fixture;
    await driver.deploy(requestOf(fixture, 'v1.0'));
    const deploy = (code: LorakeetErrorCode, request: object) =>
      assertRejects(`deploy ${JSON.stringify(Object.keys(request))}`, code, () => driver.deploy(request as never));
    for (const [wrong, code] of NAME_CODES) {
      await deploy(code, { ...source('v1.1'), name: wrong, version: 'v1.1' });
      await assertRejects(`disable ${wrong}`, code, () => driver.disable(wrong as string));
      await assertRejects(`status ${wrong}`, code, () => driver.status(wrong as string));
    }
    for (const version of ['', 'latest', '1.1', 'v01.1', 7, undefined]) {
      await deploy('ERR_INVALID_ARGUMENT', { ...source('v1.1'), name, version });
    }
    await deploy('ERR_INVALID_ARGUMENT', { name, version: 'v1.1' });
    await deploy('ERR_INVALID_ARGUMENT', {
      name,
      version: 'v1.1',
      ...source('v1.1'),
      folder: 'a',
      bytes: new Uint8Array(),
    });
    await deploy('ERR_INVALID_CONFIG', { name, version: 'v1.1', ...source('v1.1'), weights: 1 });
    await assertRejects('timeoutMs: 0', 'ERR_INVALID_CONFIG', () =>
      driver.deploy(requestOf(fixture, 'v1.1'), { timeoutMs: 0 }),
    );
    await assertServed(fixture, null, 'v1.0');
  });

  add('finds what another driver of the same server has deployed', async (fixture) => {
    if (!fixture.reopen) return;
    await fixture.driver.deploy(requestOf(fixture, 'v1.0'));
    const later = { ...fixture, driver: fixture.reopen() };
    await assertServed(later, null, 'v1.0');
    await assertServed(later, await later.driver.deploy(requestOf(later, 'v1.1')), 'v1.1');
    const disabling = { ...fixture, driver: fixture.reopen() };
    await assertServed(disabling, await disabling.driver.disable(fixture.name), null);
  });

  add('keeps adapters apart by their names', async (fixture) => {
    const { driver, name, otherName, source } = fixture;
    if (otherName === undefined) return;
    await driver.deploy(requestOf(fixture, 'v1.0'));
    await driver.deploy({ name: otherName, version: 'v1.1', ...source('v1.1') });
    await assertServed(fixture, null, 'v1.0');
    assert.equal((await driver.status(otherName)).version, 'v1.1');
    await driver.disable(name);
    await assertServed(fixture, null, null);
    assert.equal((await driver.status(otherName)).version, 'v1.1');
  });

  return cases;
}
