// Layers of a dense network over a block of data points, features as rows, points in the lanes.
#pragma once
#include <algorithm>

#include "lanes.h"

// Activations h = f(z): `value` gives h, `slope` gives f'(z) from z and h.
struct Identity {
    static constexpr bool needs_z = false;
    static inline vec value(vec z) { return z; }
    static inline vec slope(vec, vec) { return all(1); }
};
struct Tanh {
    static constexpr bool needs_z = false;
    static inline vec value(vec z) { return hyperbolic_tangent(z); }
    static inline vec slope(vec, vec h) { return 1 - h * h; }
};
struct Sigmoid {
    static constexpr bool needs_z = false;
    static inline vec value(vec z) { return logistic(z); }
    static inline vec slope(vec, vec h) { return h * (1 - h); }
};
struct ReLU {
    static constexpr bool needs_z = false;
    static inline vec value(vec z) { return z > 0 ? z : all(0); }
    static inline vec slope(vec, vec h) { return h > 0 ? all(1) : all(0); }
};
struct SiLU {
    static constexpr bool needs_z = true;
    static inline vec value(vec z) { return z * logistic(z); }
    static inline vec slope(vec z, vec h) {
        vec s = logistic(z);
        return s + h * (1 - s);
    }
};

// sums[i][c] += sum_k w[i, k] x[k, column c]: ROWS x COLUMNS vectors stay in registers.
template <int ROWS, int COLUMNS, int DEPTH, int STEP_ROW, int STEP_DEPTH, int POINTS>
static inline void multiply(const real *__restrict w, const real *__restrict x, vec (&sums)[ROWS][COLUMNS]) {
    for (int k = 0; k < DEPTH; k++) {
        vec column[COLUMNS];
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) column[c] = load(x + k * POINTS + c * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            vec weight = all(w[i * STEP_ROW + k * STEP_DEPTH]);
#pragma GCC unroll 8
            for (int c = 0; c < COLUMNS; c++) sums[i][c] += weight * column[c];
        }
    }
}

constexpr int REGISTERS = REGISTER == 64 ? 32 : 16;
// A tile of sums has ROWS x COLUMNS registers, and leaves room for a column and a weight.
constexpr int columns(int vectors) {
    int most = REGISTERS == 32 ? 7 : 3;
    while (vectors % most) most--;
    return most;
}
constexpr int rows(int columns, int all) { return std::min(all, std::min(6, (REGISTERS - 2 - columns) / columns)); }

// Call body.operator()<N>(row) for tiles of N rows, the last one smaller.
template <int ALL, int ROWS, class Body>
static inline void by_rows(Body &&body) {
    int row = 0;
    for (; row + ROWS <= ALL; row += ROWS) body.template operator()<ROWS>(row);
    if constexpr (ALL % ROWS) body.template operator()<ALL % ROWS>(row);
}

// One layer: z = w x + b, h = f(z), with w (OUT, IN), x (IN, POINTS), h and z (OUT, POINTS).
template <class F, int IN, int OUT, int POINTS>
static inline void forward(const real *w, const real *b, const real *x, real *z, real *h) {
    constexpr int COLUMNS = columns(POINTS / LANES), STRIDE = COLUMNS * LANES;
    for (int at = 0; at < POINTS; at += STRIDE)
        by_rows<OUT, rows(COLUMNS, OUT)>([&]<int N>(int row) {
            vec sums[N][COLUMNS];
#pragma GCC unroll 8
            for (int i = 0; i < N; i++)
#pragma GCC unroll 8
                for (int c = 0; c < COLUMNS; c++) sums[i][c] = all(b ? b[row + i] : 0);
            multiply<N, COLUMNS, IN, IN, 1, POINTS>(w + row * IN, x + at, sums);
            for (int i = 0; i < N; i++)
                for (int c = 0; c < COLUMNS; c++) {
                    int here = (row + i) * POINTS + at + c * LANES;
                    if (F::needs_z) store(z + here, sums[i][c]);
                    store(h + here, F::value(sums[i][c]));
                }
        });
}

// Back through one layer: d (IN, POINTS) = f'(z) * w^T e, with e (OUT, POINTS) and z, h of the layer before.
template <class F, int IN, int OUT, int POINTS>
static inline void backward(const real *w, const real *e, const real *z, const real *h, real *d) {
    constexpr int COLUMNS = columns(POINTS / LANES), STRIDE = COLUMNS * LANES;
    for (int at = 0; at < POINTS; at += STRIDE)
        by_rows<IN, rows(COLUMNS, IN)>([&]<int N>(int row) {
            vec sums[N][COLUMNS] = {};
            multiply<N, COLUMNS, OUT, 1, IN, POINTS>(w + row, e + at, sums);
            for (int i = 0; i < N; i++)
                for (int c = 0; c < COLUMNS; c++) {
                    int here = (row + i) * POINTS + at + c * LANES;
                    store(d + here, sums[i][c] * F::slope(F::needs_z ? load(z + here) : vec{}, load(h + here)));
                }
        });
}

// The sums of LANES vectors as the lanes of one: pairs are joined and halved.
template <int STEP = LANES / 2>
static inline vec sums_of(vec *v) {
    if constexpr (STEP == 0) {
        return v[0];
    } else {
        mask low, high;
        for (int l = 0; l < LANES; l++) {
            low[l] = l & STEP ? LANES + l - STEP : l;
            high[l] = l & STEP ? LANES + l : l + STEP;
        }
#pragma GCC unroll 16
        for (int k = 0; k < STEP; k++)
            v[k] = __builtin_shuffle(v[k], v[k + STEP], low) + __builtin_shuffle(v[k], v[k + STEP], high);
        return sums_of<STEP / 2>(v);
    }
}

// sums (OUT) += those of the rows of e (OUT, POINTS).
template <int OUT, int POINTS>
static inline void sums_of_rows(const real *e, real *__restrict sums) {
    for (int row = 0; row < OUT; row++) {
        vec s = {};
        for (int at = 0; at < POINTS; at += LANES) s += load(e + row * POINTS + at);
        sums[row] += sum(s);
    }
}

// Gradients of a layer: gw (OUT, IN) += e x^T and gb (OUT) += sum of e, with e (OUT, POINTS), x (IN, POINTS).
template <int IN, int OUT, int POINTS>
static inline void gradients(const real *e, const real *x, real *__restrict gw, real *__restrict gb) {
    constexpr int ACROSS = std::min(IN >= 4 ? 4 : IN >= 2 ? 2 : 1, LANES), DOWN = LANES / ACROSS;
    for (int row = 0; row < OUT; row += DOWN) {
        const real *rows[DOWN];
        for (int i = 0; i < DOWN; i++) rows[i] = e + std::min(row + i, OUT - 1) * POINTS;
        for (int column = 0; column < IN; column += ACROSS) {
            const real *columns[ACROSS];
            for (int j = 0; j < ACROSS; j++) columns[j] = x + std::min(column + j, IN - 1) * POINTS;
            vec sums[LANES] = {};
            for (int at = 0; at < POINTS; at += LANES) {
                vec right[ACROSS];
#pragma GCC unroll 16
                for (int j = 0; j < ACROSS; j++) right[j] = load(columns[j] + at);
#pragma GCC unroll 16
                for (int i = 0; i < DOWN; i++) {
                    vec left = load(rows[i] + at);
#pragma GCC unroll 16
                    for (int j = 0; j < ACROSS; j++) sums[i * ACROSS + j] += left * right[j];
                }
            }
            vec total = sums_of(sums);
            for (int i = 0; i < std::min(DOWN, OUT - row); i++)
                for (int j = 0; j < std::min(ACROSS, IN - column); j++) gw[(row + i) * IN + column + j] += total[i * ACROSS + j];
        }
    }
    if (gb) sums_of_rows<OUT, POINTS>(e, gb);
}

// Losses of the outputs h (OUT, POINTS): the weighted sum over points, and its derivative by h in e.
template <int OUT, int POINTS>
static inline double squared_error(const real *h, const real *target, const real *weight, real *e) {
    vec loss = {};
    for (int at = 0; at < POINTS; at += LANES) {
        vec w = load(weight + at) * (real)(1.0 / OUT);
        for (int i = 0; i < OUT; i++) {
            vec off = load(h + i * POINTS + at) - load(target + i * POINTS + at);
            loss += w * off * off;
            store(e + i * POINTS + at, 2 * w * off);
        }
    }
    return sum(loss);
}

template <int OUT, int POINTS>
static inline double cross_entropy(const real *h, const real *target, const real *weight, real *e) {
    vec loss = {};
    for (int at = 0; at < POINTS; at += LANES) {
        vec top = load(h + at), total = {}, named = {}, mass = {};
        for (int i = 1; i < OUT; i++) top = largest(top, load(h + i * POINTS + at));
        for (int i = 0; i < OUT; i++) {
            vec z = load(h + i * POINTS + at) - top, y = load(target + i * POINTS + at), grown = exponential(z);
            named += y * z;
            mass += y;
            total += grown;
            store(e + i * POINTS + at, grown);
        }
        vec w = load(weight + at), scale = w * mass / total;
        loss += w * (mass * logarithm(total) - named);
        for (int i = 0; i < OUT; i++) {
            real *here = e + i * POINTS + at;
            store(here, load(here) * scale - w * load(target + i * POINTS + at));
        }
    }
    return sum(loss);
}
