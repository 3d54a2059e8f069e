// The adapter kernels, once for all instruction sets: each kernels_<isa>.cc includes this file under its own flags.
//
// Notation: A = loraA [rank × in], B = loraB [out × rank], s = scaling, row x, target t, weight w. See docs/math.md.
// Every number of a slot is computed from that slot and its own rows, in an order that depends only on their shape;
// what else is in the batch, and how rows are blocked into registers, never changes a bit of it.

#pragma once

#include "apply.inl"
#include "consolidate.inl"
#include "update.inl"
