/*
 * The functions that liblorakeet_cuda exports. The module links the CUDA runtime statically, so it can be opened on
 * a machine without driver or GPU and says there why it is of no use.
 */
#ifndef LORAKEET_CUDA_H
#define LORAKEET_CUDA_H

#include <stddef.h>

#include "lorakeet/decoder.h"
#include "lorakeet/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* By these names loaders look the functions up. */
#define LORAKEET_CUDA_ENTRY "lorakeet_cuda_kernels"
#define LORAKEET_CUDA_DECODER "lorakeet_cuda_decoder"
#define LORAKEET_CUDA_FAILURE "lorakeet_cuda_failure"

/*
 * The table of the first GPU that the driver shows (CUDA_VISIBLE_DEVICES chooses), valid as long as the module is open.
 * Null when there is none that can run these kernels; `reason` [reason_size bytes] then holds a sentence that says why.
 */
typedef const lorakeet_kernels* (*lorakeet_cuda_kernels_function)(char* reason, size_t reason_size);

const lorakeet_kernels* lorakeet_cuda_kernels(char* reason, size_t reason_size);

/* The same for language models, which need cuBLAS as well: it is opened when this is first called. */
typedef const lorakeet_decoder* (*lorakeet_cuda_decoder_function)(char* reason, size_t reason_size);

const lorakeet_decoder* lorakeet_cuda_decoder(char* reason, size_t reason_size);

/*
 * Why the last operation on this thread returned something other than LORAKEET_OK, if it did: a sentence, told once.
 */
typedef void (*lorakeet_cuda_failure_function)(char* reason, size_t reason_size);

void lorakeet_cuda_failure(char* reason, size_t reason_size);

#ifdef __cplusplus
}
#endif
#endif
