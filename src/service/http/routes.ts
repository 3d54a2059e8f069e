/** The table of all routes: the app, the OpenAPI document and docs/http-api.md follow from it. */
import { ADAPTER_ROUTES } from './adapter-routes.js';
import { FEEDBACK_ROUTES } from './feedback-routes.js';
import type { Route } from './route.js';
import { SERVICE_ROUTES } from './service-routes.js';
import { TRAINING_ROUTES } from './training-routes.js';

export const ROUTES: readonly Route[] = [...SERVICE_ROUTES, ...FEEDBACK_ROUTES, ...TRAINING_ROUTES, ...ADAPTER_ROUTES];
