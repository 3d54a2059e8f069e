// Eigenvalues and eigenvectors of a symmetric matrix: the C++ form of src/kernels/tridiagonal-js.ts, where the method
// and its sources stand.
#pragma once

#include <float.h>
#include <math.h>
#include <string.h>

#include "isa.h"

namespace {

using namespace lorakeet;

// Σ a[j]·b[j], in lanes that the compiler turns into vectors
double dot(const double* a, const double* b, size_t n) {
  constexpr size_t kLanes = 16;
  double lanes[kLanes] = {};
  size_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    for (size_t l = 0; l < kLanes; l++) lanes[l] += a[j + l] * b[j + l];
  }
  double sum = 0;
  for (; j < n; j++) sum += a[j] * b[j];
  for (size_t l = 0; l < kLanes; l++) sum += lanes[l];
  return sum;
}

// y += factor·x
void add_multiple(double factor, const double* __restrict x, double* __restrict y, size_t n) {
  for (size_t j = 0; j < n; j++) y[j] += factor * x[j];
}

// p = S·v for the symmetric S whose upper triangle stands in a, n apart, both from `first` on
void multiply_upper(const double* a, size_t n, size_t first, const double* v, double* p) {
  for (size_t i = first; i < n; i++) p[i] = 0;
  for (size_t i = first; i < n; i++) {
    const double* row = a + i * n;
    p[i] += row[i] * v[i] + dot(row + i + 1, v + i + 1, n - i - 1);
    add_multiple(v[i], row + i + 1, p + i + 1, n - i - 1);
  }
}

// Row k of a right of the diagonal becomes a reflector; factors[k] = 2/|v|², or 0 for none.
void tridiagonalise(size_t n, double* a, double* off_diagonal, double* factors, double* p) {
  for (size_t k = 0; k < n; k++) off_diagonal[k] = factors[k] = 0;
  for (size_t k = 0; k + 2 < n; k++) {
    double* v = a + k * n;
    double scale = 0;
    for (size_t j = k + 1; j < n; j++) scale = fmax(scale, fabs(v[j]));
    if (scale == 0) continue;
    for (size_t j = k + 1; j < n; j++) v[j] /= scale;
    const size_t rest = n - k - 1;
    const double norm = sqrt(dot(v + k + 1, v + k + 1, rest));
    const double target = v[k + 1] > 0 ? -norm : norm;
    off_diagonal[k] = target * scale;
    v[k + 1] -= target;
    const double factor = 2 / dot(v + k + 1, v + k + 1, rest);
    factors[k] = factor;
    multiply_upper(a, n, k + 1, v, p);
    const double half = dot(v + k + 1, p + k + 1, rest) * factor * factor / 2;
    for (size_t j = k + 1; j < n; j++) p[j] = factor * p[j] - half * v[j];
    for (size_t i = k + 1; i < n; i++) {
      double* row = a + i * n;
      const double vi = v[i], pi = p[i];
      for (size_t j = i; j < n; j++) row[j] -= vi * p[j] + pi * v[j];
    }
  }
  if (n > 1) off_diagonal[n - 2] = a[(n - 2) * n + n - 1];
}

// q = the transposed product of all reflections
void reflections(size_t n, const double* a, const double* factors, double* q) {
  memset(q, 0, n * n * sizeof(double));
  for (size_t i = 0; i < n; i++) q[i * n + i] = 1;
  for (size_t k = n; k-- > 0;) {
    if (factors[k] == 0) continue;
    const double* v = a + k * n + k + 1;
    for (size_t i = k + 1; i < n; i++) {
      double* row = q + i * n + k + 1;
      add_multiple(-factors[k] * dot(row, v, n - k - 1), v, row, n - k - 1);
    }
  }
}

void rotate(double* __restrict upper, double* __restrict lower, size_t n, double sine, double cosine) {
  for (size_t j = 0; j < n; j++) {
    const double f = lower[j];
    lower[j] = sine * upper[j] + cosine * f;
    upper[j] = cosine * upper[j] - sine * f;
  }
}

// One QL step with Wilkinson's shift on the unreduced block from l to m.
void sweep(size_t n, double* d, double* e, double* q, size_t l, size_t m) {
  double g = (d[l + 1] - d[l]) / (2 * e[l]);
  double r = hypot(g, 1);
  g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
  double sine = 1, cosine = 1, p = 0;
  for (size_t i = m; i-- > l;) {
    const double f = sine * e[i], b = cosine * e[i];
    e[i + 1] = r = hypot(f, g);
    if (r == 0) {
      d[i + 1] -= p;
      e[m] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = d[i + 1] - p;
    r = (d[i] - g) * sine + 2 * cosine * b;
    p = sine * r;
    d[i + 1] = g + p;
    g = cosine * r - b;
    rotate(q + i * n, q + (i + 1) * n, n, sine, cosine);
  }
  d[l] -= p;
  e[l] = g;
  e[m] = 0;
}

void diagonalise(size_t n, double* d, double* e, double* q) {
  constexpr double kEpsilon = DBL_EPSILON;
  double largest = 0;
  for (size_t i = 0; i < n; i++) largest = fmax(largest, fmax(fabs(d[i]), fabs(e[i])));
  for (size_t l = 0; l < n; l++) {
    for (;;) {
      size_t m = l;
      for (; m + 1 < n; m++) {
        const double neighbours = fabs(d[m]) + fabs(d[m + 1]);
        if (fabs(e[m]) <= fmax(kEpsilon * neighbours, kEpsilon * kEpsilon * largest)) break;
      }
      if (m == l) break;
      sweep(n, d, e, q, l, m);
    }
  }
}

void eigen(size_t n, double* matrix, double* values, double* scratch) {
  double *off_diagonal = scratch, *factors = scratch + n, *p = scratch + 2 * n, *q = scratch + 4 * n;
  tridiagonalise(n, matrix, off_diagonal, factors, p);
  for (size_t i = 0; i < n; i++) values[i] = matrix[i * n + i];
  reflections(n, matrix, factors, q);
  diagonalise(n, values, off_diagonal, q);
  memcpy(matrix, q, n * n * sizeof(double));
}

}  // namespace
