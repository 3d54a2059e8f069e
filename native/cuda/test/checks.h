// The driver's checks, one file each.
#pragma once

#include <string>

#include "support.h"

// Random shapes, batches and settings against the oracle, and against themselves: bit for bit the same from run to run,
// in whatever company, and (on the host shim) in whatever order independent calls run. `small`: a few quick ones.
void check_random_cases(const lorakeet_kernels& kernels, Checks& checks, bool small);

// Slots never written, copies, clearing, row ids, rejected updates, running out of memory.
void check_behaviour(const lorakeet_kernels& kernels, Checks& checks, bool small);

// The PyTorch goldens in the flat form that test/golden/flatten_kernels.py writes.
void check_goldens(const lorakeet_kernels& kernels, Checks& checks, const std::string& path);

// Prints a table of times; `copy_gbps` is the measured copy bandwidth that they are compared with.
void time_kernels(const lorakeet_kernels& kernels, double copy_gbps);
