import { describe, expect, it } from 'vitest';
import { inTransaction, openSqlite } from '../src/sqlite.js';

describe('openSqlite', () => {
  it('opens the database that this Node or the installed package has', () => {
    const database = openSqlite(':memory:');
    expect(database.prepare('SELECT 1 + 1 AS sum').get()).toEqual({ sum: 2 });
    database.close();
  });

  it('says what to install where there is none', () => {
    const missing = () => {
      throw new Error('Cannot find module');
    };
    expect(() => openSqlite(':memory:', [() => undefined, missing])).toThrow(
      expect.objectContaining({
        code: 'ERR_SQLITE_UNAVAILABLE',
        message: expect.stringContaining('npm install @photostructure/sqlite'),
        cause: expect.objectContaining({ message: 'Cannot find module' }),
      }),
    );
  });

  it('says which file it could not open', () => {
    expect(() => openSqlite('/no/such/folder/bank.db')).toThrow(
      expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE', message: expect.stringContaining('/no/such/folder') }),
    );
  });
});

describe('a transaction', () => {
  it('happens as a whole or not at all', () => {
    const database = openSqlite(':memory:');
    database.exec('CREATE TABLE numbers (value INTEGER)');
    const add = (value: number) => database.prepare('INSERT INTO numbers VALUES (?)').run(value);
    inTransaction(database, () => add(1));
    expect(() =>
      inTransaction(database, () => {
        add(2);
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(inTransaction(database, () => database.prepare('SELECT value FROM numbers').all())).toEqual([{ value: 1 }]);
    database.close();
  });
});
