/* The CPU backend's kernel tables, one per instruction set. */
#ifndef LORAKEET_CPU_H
#define LORAKEET_CPU_H

#include "lorakeet/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The table number `index` of those that this processor can run, fastest first; null past the last. Index 0 always
 * exists. `device` names the instruction set: "avx512", "avx2", "neon" or "baseline".
 */
const lorakeet_kernels* lorakeet_cpu_kernels(uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
