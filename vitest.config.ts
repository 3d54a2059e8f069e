import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    // the examples import the package by its name, the benchmark its inner modules; in tests that is the source, no build
    alias: [
      { find: /^lorakeet$/, replacement: fileURLToPath(new URL('./src/index.ts', import.meta.url)) },
      { find: /^lorakeet\/formats$/, replacement: fileURLToPath(new URL('./src/formats.ts', import.meta.url)) },
      { find: /^lorakeet\/learning$/, replacement: fileURLToPath(new URL('./src/learning/index.ts', import.meta.url)) },
      { find: /^lorakeet\/llm$/, replacement: fileURLToPath(new URL('./src/llm/index.ts', import.meta.url)) },
      { find: /^lorakeet\/service$/, replacement: fileURLToPath(new URL('./src/service/index.ts', import.meta.url)) },
      { find: /^lorakeet\/serving$/, replacement: fileURLToPath(new URL('./src/serving/index.ts', import.meta.url)) },
      {
        find: /^lorakeet\/stores\/(.*)$/,
        replacement: `${fileURLToPath(new URL('./src/stores/', import.meta.url))}$1.ts`,
      },
      { find: /^lorakeet\/merge$/, replacement: fileURLToPath(new URL('./src/merge/index.ts', import.meta.url)) },
      { find: /^lorakeet\/versions$/, replacement: fileURLToPath(new URL('./src/versions/index.ts', import.meta.url)) },
      { find: /^lorakeet\/testing$/, replacement: fileURLToPath(new URL('./src/testing/index.ts', import.meta.url)) },
      { find: /^#lorakeet\/(.*)\.js$/, replacement: `${fileURLToPath(new URL('./src/', import.meta.url))}$1.ts` },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // by default all cores but one, which on a machine of two is one file after another
    maxWorkers: '100%',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
