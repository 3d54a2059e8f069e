// What the fuzz programs throw at the addon, and what they take for an answer.

export function detach(view) {
  if (view.buffer instanceof ArrayBuffer) structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

function resizable(view) {
  const buffer = new ArrayBuffer(view.byteLength, { maxByteLength: view.byteLength + 4096 });
  const copy = new view.constructor(buffer); // follows the buffer's length
  copy.set(view);
  return copy;
}

function shared(view) {
  const copy = new view.constructor(new SharedArrayBuffer(view.byteLength));
  copy.set(view);
  return copy;
}

/** Seeded. */
export function createNonsense(seed) {
  let state = seed >>> 0;
  function next() {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }
  const below = (n) => next() % n;
  const chance = (share) => below(1000) < share * 1000;
  const pick = (list) => list[below(list.length)];

  function hostileValue() {
    return pick([
      undefined,
      null,
      NaN,
      Infinity,
      -1,
      0,
      1.5,
      2 ** 31,
      2 ** 32,
      1e300,
      '',
      'x'.repeat(100),
      true,
      Symbol('s'),
      10n,
      {},
      [],
      () => {},
      new Date(0),
      new Proxy({}, {}),
      new Float64Array(3),
      new Uint8Array(2),
      new Int32Array(4),
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      new Float32Array(0),
      new Uint32Array(0),
      new Float32Array(1 << 16),
      Uint32Array.of(2 ** 32 - 1),
      Uint32Array.of(0, 0),
      Uint32Array.of(5, 1),
      new Uint32Array(1 << 16),
    ]);
  }

  function spoil(value) {
    if (!ArrayBuffer.isView(value) || value instanceof DataView || value.byteLength === 0) return hostileValue();
    switch (below(9)) {
      case 0:
        return detach(value.slice());
      case 1:
        return shared(value);
      case 2: {
        const view = resizable(value);
        if (chance(0.5)) view.buffer.resize(pick([0, 4, (view.byteLength >> 1) & ~3, view.byteLength + 4096]));
        return view;
      }
      case 3:
        return value.subarray(0, below(value.length + 1));
      case 4: {
        const longer = new value.constructor(value.length + 1 + below(3));
        longer.set(value);
        return longer;
      }
      case 5: {
        const changed = value.slice();
        for (let i = 0; i < changed.length; i++)
          if (chance(0.3)) changed[i] = pick([NaN, 2 ** 32 - 1, 40, 39, 0, -1, 1e38]);
        return changed;
      }
      case 6: {
        // unaligned within its buffer as far as typed arrays can be
        const buffer = new ArrayBuffer(value.byteLength + value.BYTES_PER_ELEMENT);
        const moved = new value.constructor(buffer, value.BYTES_PER_ELEMENT);
        moved.set(value);
        return moved;
      }
      default:
        return hostileValue();
    }
  }

  /** Arguments that share memory with each other: outputs over inputs, indices over outputs. */
  function overlap(args) {
    const views = args.filter((value) => ArrayBuffer.isView(value) && value.BYTES_PER_ELEMENT >= 4);
    if (views.length < 2) return args;
    const buffer = new ArrayBuffer(Math.max(...views.map((view) => view.byteLength)));
    return args.map((value) => {
      if (!views.includes(value)) return value;
      const view = new value.constructor(buffer, 0, value.length);
      view.set(value);
      return view;
    });
  }

  return { next, below, chance, pick, hostileValue, spoil, overlap };
}

/** Ends the process unless the error is one of ours that says what it got and expected; `closed` need not. */
export function checkError(name, error, closed) {
  if (!(error instanceof Error) || !/^ERR_[A-Z_]+$/.test(error.code ?? '')) {
    console.error(`${name}: neither a result nor a coded error:`, error);
    process.exit(1);
  }
  if (
    error.code !== closed &&
    !/: got .+, expected /.test(error.message) &&
    !/^(ERR_OUT_OF_MEMORY|ERR_BACKEND)/.test(error.code)
  ) {
    console.error(`${name}: the message does not name value and expectation: ${error.message}`);
    process.exit(1);
  }
}
