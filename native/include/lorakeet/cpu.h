/* The CPU backend's tables, one per instruction set. */
#ifndef LORAKEET_CPU_H
#define LORAKEET_CPU_H

#include "lorakeet/decoder.h"
#include "lorakeet/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The table number `index` of those that this processor can run, fastest first; null past the last. Index 0 always
 * exists. `device` names the instruction set: "avx512", "avx2", "neon" or "baseline".
 */
const lorakeet_kernels* lorakeet_cpu_kernels(uint32_t index);

/* The language-model decoder of an instruction set by its name; null if this processor cannot run it. */
const lorakeet_decoder* lorakeet_cpu_decoder(const char* device);

#ifdef __cplusplus
}
#endif
#endif
