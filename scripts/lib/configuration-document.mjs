/** docs/configuration.md from the table of keys. */

const INTRODUCTION = `# Configuration

<!-- Made from the table in src/service/config by \`node scripts/write-configuration.mjs\`; a test compares. -->

The learning engine service takes every setting from, in this order, the options of the command line, the environment, a YAML
file, and the defaults below: the first that has one wins. The file is the one that \`LORAKEET_CONFIG\` names. A key that is
empty (\`null\`) and a variable that is empty are not set. In a variable, lists are separated by commas; \`LEARNING_ENGINE_TOKENS\`
is JSON. Relative paths are relative to the working directory.

\`\`\`ts
import { writeFileSync } from 'node:fs';
import { describeConfig, loadConfig } from 'lorakeet/service';

writeFileSync(
  'lorakeet.yaml',
  \`
service:
  tokens:
    - { name: grafana, token: 3f9c1e77b0a24d58, scope: read }
training: { epochs: 2 }
\`,
);
const loaded = await loadConfig({ file: 'lorakeet.yaml', env: { BATCH_SIZE: '8' } });
const { service, training } = loaded.config;
if (training.epochs !== 2 || training.batchSize !== 8 || training.learningRate !== 2e-4) throw new Error('unexpected');
if (service.tokens[0].token.reveal() !== '3f9c1e77b0a24d58') throw new Error('unexpected');
if (JSON.stringify([loaded.config, describeConfig(loaded)]).includes('3f9c')) throw new Error('unexpected');
\`\`\`

What is unknown, out of its range, or in contradiction to something else is refused before anything starts: one
\`ERR_INVALID_CONFIG\` that names every such key, where its value came from, and what was expected. A variable that begins like
those of a section here (\`LORAKEET_TRAINING_…\`) and is none of them is refused too. Secrets have no default; in the configuration
they are objects that every log, JSON and template shows as \`[redacted]\`, and no message has one in it.

Without tokens the service listens on this machine only. Kubernetes gives containers variables named after services: of one
called \`learning-engine\` the variable \`LEARNING_ENGINE_PORT\` would be \`tcp://…\`, and is refused; set \`enableServiceLinks: false\`.
`;

const cell = (text) => text.replaceAll('|', '\\|');

function defaultOf(key) {
  if (key.default === undefined) return '';
  if (Array.isArray(key.default))
    return key.default.length === 0 ? 'none' : key.default.map((one) => `\`${one}\``).join(' ');
  return `\`${key.default}\``;
}

/** @param keys ALL_KEYS of src/service/config/keys.ts */
export function configurationDocument(keys) {
  const sections = groupBySection(keys);
  const tables = [...sections].map(([section, own]) => {
    const rows = own.map((key) => {
      const about = key.secret ? `${key.about} Secret.` : key.about;
      const cells = [`\`${key.path}\``, `\`${key.variable}\``, defaultOf(key), key.expected, about];
      return `| ${cells.map(cell).join(' | ')} |`;
    });
    return [`## ${section}`, '', '| key | variable | default | value | |', '|---|---|---|---|---|', ...rows].join('\n');
  });
  return `${INTRODUCTION}\n${tables.join('\n\n')}\n`;
}

const sectionOf = ({ path }) => path.slice(0, path.indexOf('.'));

function groupBySection(keys) {
  const groups = new Map();
  for (const key of keys) groups.set(sectionOf(key), [...(groups.get(sectionOf(key)) ?? []), key]);
  return groups;
}
