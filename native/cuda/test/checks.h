// The driver's checks, one file each.
#pragma once

#include <string>

#include "support.h"

// Random shapes, batches and settings against the oracle, and against themselves: bit for bit the same from run to run,
// in whatever company, and (on the host shim) in whatever order independent calls run. Shapes that are always checked,
// fewer when `small`, and `count` random ones.
void check_random_cases(const lorakeet_kernels& kernels, Checks& checks, bool small, uint32_t count);

// Slots never written, copies, clearing, row ids, rejected updates, duplicates, running out of memory.
void check_behaviour(const lorakeet_kernels& kernels, Checks& checks, bool small);

// A pool that has room for few of its slots on the device against one that has room for all, through random operations;
// batches that are cut into pieces; launches that fail (on the host shim).
void check_paging(const lorakeet_kernels& kernels, Checks& checks, bool small);
void check_pieces(const lorakeet_kernels& kernels, Checks& checks);
void check_failed_launches(const lorakeet_kernels& kernels, Checks& checks);

// The PyTorch goldens in the flat form that test/golden/flatten-kernels.mjs writes.
void check_goldens(const lorakeet_kernels& kernels, Checks& checks, const std::string& path);

// Prints a table of times of whole calls; `copy_gbps` and `upload_gbps` are the measured bandwidth of the GPU's memory
// and rate of transfers to it, with which they are compared.
void time_kernels(const lorakeet_kernels& kernels, double copy_gbps, double upload_gbps);
