/** The files for Docker, without Docker: their syntax, and that they agree with each other and with the service. */
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ALL_KEYS } from '../../src/service/config/keys.js';
import { loadConfig } from '../../src/service/config/load.js';
import { root } from '../support/imports.js';

interface Service {
  image?: string;
  build?: { context: string; dockerfile: string };
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  secrets?: string[];
  healthcheck?: { test: string[] };
  depends_on?: string[] | Record<string, { condition: string }>;
  stop_grace_period?: string;
}

const folder = join(root, 'deploy');
const text = (name: string) => readFileSync(join(folder, name), 'utf8');
const source = text('compose.yaml');
const compose: {
  services: Record<string, Service>;
  volumes: object;
  secrets: Record<string, { environment: string }>;
} = parse(source, { strict: true, uniqueKeys: true });
const services = Object.entries(compose.services);
const VARIABLE = /(?<!\$)\$\{(\w+):\?[^}]*\}/g;

/** As compose does it, with a value for every variable. */
const filled = (value: string) => value.replace(VARIABLE, (_, name) => `value-of-${name.toLowerCase()}`);

const SERVICE_KEYS = [
  ...['image', 'build', 'command', 'entrypoint', 'environment', 'ports', 'volumes', 'secrets', 'healthcheck'],
  ...['depends_on', 'restart', 'stop_grace_period'],
];

describe('compose.yaml', () => {
  it.each(services)('says of %s only what compose knows, and pins its image', (_, service) => {
    expect(Object.keys(service).filter((name) => !SERVICE_KEYS.includes(name))).toEqual([]);
    if (service.build) expect(existsSync(join(folder, service.build.context, service.build.dockerfile))).toBe(true);
    else expect(service.image).toMatch(/^[\w./-]+:(?!latest)[\w.-]+$/);
  });

  it.each(services)('opens ports of %s to this machine only', (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  it.each(services)('mounts into %s what is there', (_, { volumes = [] }) => {
    for (const volume of volumes) {
      const [from] = volume.split(':');
      if (from.startsWith('.')) expect(existsSync(join(folder, from)), volume).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(from);
    }
  });

  it('waits for what is there, and for health only where it is told', () => {
    for (const [name, { depends_on = [] }] of services) {
      const wanted = Array.isArray(depends_on)
        ? depends_on.map((one) => [one, {}] as const)
        : Object.entries(depends_on);
      for (const [other, { condition = 'service_started' }] of wanted as [string, { condition?: string }][]) {
        expect(Object.keys(compose.services), name).toContain(other);
        expect(['service_started', 'service_healthy', 'service_completed_successfully']).toContain(condition);
        if (condition === 'service_healthy') expect(compose.services[other].healthcheck, other).toBeDefined();
      }
    }
  });

  it('takes every secret from a file that has no values in the repository', () => {
    const needed = [...source.matchAll(VARIABLE)].map(([, name]) => name);
    const fromSecrets = Object.values(compose.secrets).map(({ environment }) => environment);
    const example = text('.env.example')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect([...new Set([...needed, ...fromSecrets])].sort()).toEqual(
      example.map((line) => line.replace(/=$/, '')).sort(),
    );
    for (const [, { environment = {} }] of services) {
      for (const [name, value] of Object.entries(environment)) {
        if (/PASSWORD|SECRET|TOKEN|ACCESS_KEY/.test(name)) expect(filled(value), name).toContain('value-of-');
      }
    }
  });
});

describe('the service in it', () => {
  const { environment = {}, volumes = [], ports = [], stop_grace_period } = compose.services.lorakeet;
  const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filled(value)]));
  const mounts = new Map(
    volumes.map((volume) => volume.split(':') as [string, string]).map(([from, to]) => [to, from]),
  );

  it('has a configuration that is accepted, and variables that exist', async () => {
    expect(mounts.get(env.LORAKEET_CONFIG)).toBe('./lorakeet.yaml');
    const known = [...ALL_KEYS.map(({ variable }) => variable), 'LORAKEET_CONFIG'];
    expect(Object.keys(env).filter((name) => !known.includes(name))).toEqual([]);
    const { config } = await loadConfig({ file: join(folder, 'lorakeet.yaml'), env });
    expect(config.service.tokens.map(({ scope }) => scope)).toEqual(['operate', 'read']);
    expect(config.postgres.password?.reveal()).toBe('value-of-postgres_password');
    expect(config.storage.s3.secretKey?.reveal()).toBe('value-of-minio_secret_key');
  });

  it('finds its servers, its model and its golden set where they are', async () => {
    const { config } = await loadConfig({ file: join(folder, 'lorakeet.yaml'), env });
    expect(config.postgres.host).toBe('postgres');
    const { POSTGRES_USER, POSTGRES_DB } = compose.services.postgres.environment ?? {};
    expect([config.postgres.user, config.postgres.database]).toEqual([POSTGRES_USER, POSTGRES_DB]);
    expect(config.storage.s3.endpoint).toBe('http://minio:9000');
    expect(source).toContain(`mb --ignore-existing store/${config.storage.s3.bucket}\n`);
    for (const path of [config.model.folder as string, config.golden.suite as string, config.storage.folder]) {
      const mount = [...mounts.keys()].find((to) => path === to || path.startsWith(`${to}/`));
      expect(mount, path).toBeDefined();
      const from = mounts.get(mount as string) as string;
      if (from.startsWith('.'))
        expect(existsSync(join(folder, from, posix.relative(mount as string, path))), path).toBe(true);
    }
    expect(ports).toEqual([`127.0.0.1:${config.service.port}:${config.service.port}`]);
    expect(Number.parseInt(stop_grace_period ?? '', 10)).toBeGreaterThan(config.service.shutdownTimeoutSeconds);
  });

  it('is asked for its metrics with the token that may read', async () => {
    const { config } = await loadConfig({ file: join(folder, 'lorakeet.yaml'), env });
    const { scrape_configs } = parse(text('prometheus.yaml'), { strict: true });
    expect(scrape_configs).toHaveLength(1);
    const [{ metrics_path, authorization, static_configs }] = scrape_configs;
    expect(metrics_path).toBe('/metrics');
    const [secret] = compose.services.prometheus.secrets ?? [];
    expect(authorization).toEqual({ type: 'Bearer', credentials_file: `/run/secrets/${secret}` });
    const token = config.service.tokens.find(({ scope }) => scope === 'read')?.token.reveal();
    expect(token).toBe(filled(`\${${compose.secrets[secret].environment}:?}`));
    expect(static_configs).toEqual([{ targets: [`lorakeet:${config.service.port}`] }]);
  });
});

describe('provisioning of Grafana', () => {
  it('reads the dashboards where they are mounted, and asks Prometheus where it is', () => {
    const [provider] = parse(text('grafana/provisioning/dashboards/lorakeet.yaml')).providers;
    const [datasource] = parse(text('grafana/provisioning/datasources/prometheus.yaml')).datasources;
    expect(compose.services.grafana.volumes).toContain(`./grafana/dashboards:${provider.options.path}:ro`);
    expect(datasource).toMatchObject({ type: 'prometheus', url: 'http://prometheus:9090' });
  });
});

describe('the Dockerfile', () => {
  const lines = text('Dockerfile').replace(/\\\n/g, ' ').split('\n');
  const instructions = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s+/, 1).concat(line.replace(/^\S+\s+/, '')));
  const all = (name: string) => instructions.filter(([first]) => first === name).map(([, rest]) => rest);

  it('has instructions that Docker knows', () => {
    const known = ['FROM', 'RUN', 'WORKDIR', 'COPY', 'ENV', 'USER', 'VOLUME', 'EXPOSE', 'ENTRYPOINT', 'CMD'];
    expect(instructions.map(([name]) => name).filter((name) => !known.includes(name))).toEqual([]);
    expect(instructions[0][0]).toBe('FROM');
  });

  it('copies what is there', () => {
    for (const rest of all('COPY')) {
      const [stage, ...words] = rest.startsWith('--from') ? rest.split(/\s+/) : ['', ...rest.split(/\s+/)];
      for (const from of words.slice(0, -1)) {
        const path = stage === '' ? from : posix.relative('/build', from);
        const made = ['dist', 'build/Release', 'node_modules'].includes(path);
        expect(made || existsSync(join(root, path)), rest).toBe(true);
      }
    }
  });

  it('runs `lorakeet serve` on its port, not as root', async () => {
    const { config } = await loadConfig({ env: {} });
    const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(JSON.parse(all('ENTRYPOINT')[0])).toEqual(['node', posix.normalize(bin.lorakeet)]);
    expect(JSON.parse(all('CMD')[0])).toEqual(['serve']);
    expect(all('EXPOSE')).toEqual([String(config.service.port)]);
    expect(all('USER').at(-1)).toBe('node');
  });
});
