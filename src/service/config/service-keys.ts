/** Keys of what the service is: its address, its stores, its clock, where it deploys to. */
import {
  bucket,
  columnName,
  cron,
  endpoint,
  host,
  identifier,
  prefix,
  tableName,
  timeZone,
  url,
  urlPath,
} from './forms.js';
import { bearerToken, boolean, choice, integer, key, listOf, number, optional, secret, text, tokens } from './kinds.js';

const DAY_SECONDS = 86_400;

export const SERVICE_KEYS = {
  service: {
    host: optional(host, 'Address to listen on. Unset: 0.0.0.0 with tokens, 127.0.0.1 without.'),
    port: key(integer(0, 65535), 8003, 'Port to listen on; 0 takes a free one.'),
    tokens: {
      ...key(tokens, [], 'Who may call: name, token, and scope read or operate (which includes read).'),
      secret: true,
    },
    bodyLimitBytes: key(integer(1024, 2 ** 30), 2 ** 20, 'Largest body of a request.'),
    rateLimitPerSecond: key(integer(1, 1e6), 2000, 'Requests per second that one caller may make.'),
    requestTimeoutSeconds: key(number({ above: 0, max: 3600 }), 30, 'How long a request may take.'),
    shutdownTimeoutSeconds: key(
      number({ min: 0, max: 3600 }),
      30,
      'How long a shutdown waits for requests and for the checkpoint of a running job.',
    ),
    allowedFolders: key(listOf(text), [], 'Folders that paths in requests must lie below.'),
  },
  storage: {
    kind: key(choice('folder', 'postgres', 's3'), 'folder', 'Where versions of adapters are kept.'),
    folder: key(text, 'lorakeet-data', 'Folder of what is kept on this machine, whatever the other stores are.'),
    s3: {
      endpoint: optional(endpoint, 'S3, MinIO or Ceph. Unset: what the AWS SDK finds.', 'MINIO_ENDPOINT'),
      secure: key(boolean, true, 'TLS, where the endpoint is host:port.', 'MINIO_SECURE'),
      region: key(text, 'us-east-1', 'Region of the bucket.'),
      accessKey: secret('Access key. Unset: what the AWS SDK finds.', 'MINIO_ACCESS_KEY'),
      secretKey: secret('Secret key.', 'MINIO_SECRET_KEY'),
      bucket: key(bucket, 'lora-adapters', 'Bucket, which must exist.', 'MINIO_BUCKET'),
      prefix: optional(prefix, 'In front of every key.'),
    },
  },
  postgres: {
    url: secret('postgres://user:password@host:port/database, instead of the single settings.', 'DATABASE_URL'),
    host: optional(text, 'Name, address, or folder of a Unix socket.', 'POSTGRES_HOST'),
    port: key(integer(1, 65535), 5432, 'Port.', 'POSTGRES_PORT'),
    database: optional(text, 'Database. Unset: named like the user.', 'POSTGRES_DB'),
    user: optional(text, 'User. Unset: that of the process.', 'POSTGRES_USER'),
    password: secret('Password.', 'POSTGRES_PASSWORD'),
    tls: key(boolean, false, 'Encrypted connections, certificates checked.'),
    schema: key(identifier, 'lorakeet', 'Schema of the tables that lorakeet makes.'),
    connections: key(integer(1, 1000), 10, 'Connections at most.'),
  },
  feedback: {
    kind: key(choice('sqlite', 'postgres'), 'sqlite', 'Where feedback is kept.'),
    file: optional(text, 'SQLite file. Unset: feedback.db in storage.folder.'),
    maxImportBytes: key(integer(1, 2 ** 40), 2 ** 30, 'Largest JSONL file to import or to train on.'),
    table: optional(tableName, 'A table of your own in Postgres. Unset: lorakeet makes one.'),
    columns: {
      id: optional(columnName, 'Column of the id in that table.'),
      createdAt: optional(columnName, 'Column of the time.'),
      type: optional(columnName, 'Text column: thumbs_up or thumbs_down.'),
      rating: optional(columnName, 'Number column instead of the type: above 0 or below 0.'),
      request: optional(columnName, 'JSONB column of the request, with messages.'),
      response: optional(columnName, 'JSONB column of the response.'),
      query: optional(columnName, 'Text column instead of the request: what was asked.'),
      answer: optional(columnName, 'Text column instead of the response: what was answered.'),
      expectedAnswer: optional(columnName, 'Text column of the correction.'),
      reason: optional(columnName, 'Text column of the reason.'),
      intent: optional(columnName, 'Text column of the intent.'),
      project: optional(columnName, 'Text column of the project.'),
    },
  },
  jobs: {
    queue: key(
      choice('embedded', 'postgres'),
      'embedded',
      'Jobs of this machine, or shared by several through Postgres.',
    ),
    historyDays: key(integer(1, 3650), 90, 'How long finished jobs are remembered.'),
    worker: key(boolean, true, 'Work on jobs in this process; false: others do, started with lorakeet work.'),
  },
  schedule: {
    enabled: key(boolean, true, 'Train by itself.', 'AUTO_TRAIN_ENABLED'),
    cron: key(cron, '0 2 * * 1', 'When: minute, hour, day, month, weekday.', 'TRAIN_SCHEDULE_CRON'),
    timeZone: key(timeZone, 'UTC', 'Time zone of the cron expression.'),
    misfire: key(choice('once', 'skip'), 'once', 'After being down at such a time: catch up once, or not at all.'),
  },
  serving: {
    driver: key(
      choice('in-process', 'vllm', 'sglang', 'max', 'mistral.rs', 'llama.cpp', 'control-plane'),
      'in-process',
      'What answers, and how adapters get there.',
    ),
    urls: key(
      listOf(url),
      [],
      'Base URL of every replica; for drivers other than in-process.',
      'LORA_CONTROL_BASE_URL',
    ),
    token: bearerToken('Bearer token for them.'),
    folder: optional(text, 'Where versions are written for them. Unset: serving in storage.folder.'),
    serverFolder: optional(text, 'What they call that folder, as a container calls a mount. Unset: the same.'),
    maxRank: optional(integer(1, 65536), 'vllm, sglang, max, mistral.rs: the highest rank that they were started for.'),
    restartCommand: optional(
      text,
      'llama.cpp: program that starts it anew, called with its URL and the adapter files that it is to load.',
    ),
    reloadPath: key(
      urlPath,
      '/internal/lora/reload',
      'control-plane: path that loads a version.',
      'LORA_RELOAD_ENDPOINT_PATH',
    ),
    statePath: key(urlPath, '/internal/lora/state', 'control-plane: path that tells what is loaded.'),
    disablePath: optional(
      urlPath,
      'control-plane: path that takes the adapter away. Unset: an adapter that changes nothing is loaded.',
    ),
    timeoutSeconds: key(
      number({ above: 0, max: 3600 }),
      120,
      'How long an activation or a rollback may take.',
      'LORA_OPERATION_TIMEOUT_SECONDS',
    ),
    reconcileSeconds: key(
      number({ above: 0, max: DAY_SECONDS }),
      5,
      'How often replicas are compared with what the store says.',
    ),
  },
  logging: {
    level: key(choice('debug', 'info', 'warn', 'error', 'silent'), 'info', 'From which level on.', 'LOG_LEVEL'),
    format: key(choice('json', 'text'), 'json', 'JSON for machines, text for people.'),
  },
};
