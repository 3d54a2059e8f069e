export { AdapterServer, type AdapterServerOptions } from './adapter-server.js';
