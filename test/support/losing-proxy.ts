import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net';

/** Passes everything on, and drops the connection when the answer to the next request that begins like this arrives. */
export async function startLosingProxy(port: number, start: RegExp) {
  let losing: boolean | (() => Promise<void>) = true;
  let lost = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTo(port, '127.0.0.1');
    let drop: typeof losing = false;
    client.on('data', (data) => {
      if (losing && start.test(data.toString('latin1'))) {
        drop = losing;
        losing = false;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (drop && !data.toString('latin1').startsWith('HTTP/1.1 100')) {
        lost++;
        const meanwhile = typeof drop === 'function' ? drop() : Promise.resolve();
        void meanwhile.finally(() => client.destroy());
      } else {
        client.write(data);
      }
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    lost: () => lost,
    /** A function is called when the answer has been lost, before the connection is. */
    loseNext: (how: typeof losing = true) => {
      losing = how;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
