/** Writes docs/http-api.md from the tables of routes and problems; build first (`npm run build`). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_CODES } from '../dist/errors.js';
import { HTTP_PROBLEMS, SERVICE_STATUSES } from '../dist/service/http/problems.js';
import { ROUTES } from '../dist/service/http/routes.js';
import { httpApiDocument } from './lib/http-api-document.mjs';
import { root } from './lib/process.mjs';

const document = httpApiDocument({ ROUTES, HTTP_PROBLEMS, SERVICE_STATUSES, ERROR_CODES });
writeFileSync(join(root, 'docs/http-api.md'), document);
