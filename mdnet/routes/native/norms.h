// What is divided by a norm: features by their spread over the batch, weights by their length; and rows of a table.
#pragma once
#include "dense.h"

// BatchNorm over the points, whose weights sum up to one: z = (h - mean)/sqrt(variance + eps), h = f(gain z + shift).
template <class F, int OUT, int POINTS>
static inline void normalise(const real *weight, double eps, const real *gain, const real *shift, real *z, real *h,
                             real *scale) {
    for (int row = 0; row < OUT; row++) {
        real *here = h + row * POINTS, *normal = z + row * POINTS;
        vec total = {}, squares = {};
        for (int at = 0; at < POINTS; at += LANES) total += load(weight + at) * load(here + at);
        vec mean = all(sum(total));
        for (int at = 0; at < POINTS; at += LANES) {
            vec off = load(here + at) - mean;
            squares += load(weight + at) * off * off;
        }
        scale[row] = (real)(1 / std::sqrt((double)sum(squares) + eps));
        vec inverse = all(scale[row]), a = all(gain ? gain[row] : 1), b = all(shift ? shift[row] : 0);
        for (int at = 0; at < POINTS; at += LANES) {
            vec value = (load(here + at) - mean) * inverse;
            store(normal + at, value);
            store(here + at, F::value(a * value + b));
        }
    }
}

// Back through BatchNorm: e (OUT, POINTS) from that of its output to that of its input; adds the gradients of its own.
template <int OUT, int POINTS>
static inline void through_norm(const real *weight, const real *scale, const real *z, const real *gain, real *g_gain,
                                real *g_shift, real *e) {
    for (int row = 0; row < OUT; row++) {
        const real *normal = z + row * POINTS;
        real *here = e + row * POINTS;
        vec total = {}, product = {};
        for (int at = 0; at < POINTS; at += LANES) {
            total += load(here + at);
            product += load(here + at) * load(normal + at);
        }
        real plain = sum(total), along = sum(product);
        if (g_shift) g_shift[row] += plain;
        if (g_gain) g_gain[row] += along;
        vec factor = all(scale[row] * (gain ? gain[row] : 1));
        for (int at = 0; at < POINTS; at += LANES)
            store(here + at, factor * (load(here + at) - load(weight + at) * (plain + along * load(normal + at))));
    }
}

// u = w/|w|; returns 1/|w|.
template <int SIZE>
static inline real unit(const real *w, real *u) {
    double square = 0;
    for (int i = 0; i < SIZE; i++) square += (double)w[i] * w[i];
    real shrink = (real)(1 / std::sqrt(square));
    for (int i = 0; i < SIZE; i++) u[i] = w[i] * shrink;
    return shrink;
}

// The gradient g by u becomes that by w: what is along u goes, the rest shrinks.
template <int SIZE>
static inline void along(const real *u, real shrink, real *g) {
    double inner = 0;
    for (int i = 0; i < SIZE; i++) inner += (double)g[i] * u[i];
    for (int i = 0; i < SIZE; i++) g[i] = shrink * (g[i] - (real)inner * u[i]);
}

// Rows of a table (any, WIDTH) as blocks of points x (blocks, WIDTH, POINTS); points beyond `count` are left alone.
template <int WIDTH, int POINTS>
static inline void gather(const real *table, const int64_t *rows, long count, real *x) {
    for (long point = 0; point < count; point++) {
        const real *row = table + rows[point] * WIDTH;
        real *column = x + point / POINTS * WIDTH * POINTS + point % POINTS;
        for (int i = 0; i < WIDTH; i++) column[i * POINTS] = row[i];
    }
}
