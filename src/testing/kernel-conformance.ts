/**
 * The conformance suite of the kernel contract, for any backend and any test framework.
 *
 * Its truth is no other backend: hand cases, finite differences in double precision, a plain-loop oracle (oracle.ts), and
 * goldens of an independent implementation. mutants.ts holds backends that are wrong on purpose, all of which it must
 * refuse; budgets.ts says how exact is exact enough.
 */
import type { KernelBackend } from '../kernels/contract.js';
import { agreementCases } from './cases-agreement.js';
import { asyncCases } from './cases-async.js';
import { batchCases } from './cases-batches.js';
import { bf16Cases } from './cases-bf16.js';
import { determinismCases } from './cases-determinism.js';
import { goldenCases, type KernelGoldens } from './cases-golden.js';
import { gradientCases } from './cases-gradient.js';
import { handCases } from './cases-hand.js';
import { holdCases } from './cases-hold.js';
import { invalidCases } from './cases-invalid.js';
import { rejectionCases } from './cases-rejection.js';
import { slotCases } from './cases-slots.js';
import type { ConformanceCase } from './harness.js';

export interface ConformanceOptions {
  /** Expectations of an independent implementation to hold the backend to as well. */
  goldens?: KernelGoldens;
  /** Smaller sizes, for emulated processors; default false. */
  quick?: boolean;
}

/** The cases, in no particular need of order. Each makes its own pools on a backend of `makeBackend` and closes them. */
export function kernelConformance(
  makeBackend: () => KernelBackend,
  { goldens, quick = false }: ConformanceOptions = {},
): ConformanceCase[] {
  const context = { makeBackend, quick };
  return [
    ...handCases(context),
    ...holdCases(context),
    ...gradientCases(context),
    ...agreementCases(context),
    ...(goldens ? goldenCases(context, goldens) : []),
    ...batchCases(context),
    ...determinismCases(context),
    ...asyncCases(context),
    ...rejectionCases(context),
    ...slotCases(context),
    ...bf16Cases(context),
    ...invalidCases(context),
  ];
}
