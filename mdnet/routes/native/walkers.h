// What walkers do with a table of entropy: read it, fill it, and stay or go back after a test.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

// Where x lies in the bins of its own table, from the low end of the window.
static inline double place(const double *x, const double *low, const double *width, const long *owner,
                           long variables, long r, long k) {
    return (x[r * variables + k] - low[owner[r] * variables + k]) / width[k];
}

// S and dS/dx, multilinear between the middles of bins, straight on beyond the outermost.
extern "C" void look_up(const double *x, const double *low, const double *width, const long *owner, const double *S,
                        const long *bins, double *value, double *slope, long replicas, long variables) {
    const long B = bins[0], C = variables == 2 ? bins[1] : 1;
    for (long r = 0; r < replicas; r++) {
        double at[2] = {0, 0};
        long corner[2] = {0, 0};
        for (long k = 0; k < variables; k++) {
            at[k] = place(x, low, width, owner, variables, r, k) - 0.5;
            double first = std::min(std::max(std::floor(at[k]), 0.0), double(bins[k] - 2));
            corner[k] = first == first ? long(first) : 0;
            at[k] -= first;
        }
        const double *s = S + owner[r] * B * C + corner[0] * C + corner[1];
        if (variables == 1) {
            double rise = s[1] - s[0];
            value[r] = s[0] + at[0] * rise;
            slope[r] = rise / width[0];
            continue;
        }
        double up = s[1] - s[0], twist = s[C + 1] - s[C] - up;
        double along = s[C] - s[0] + at[1] * twist, across = up + at[0] * twist;
        value[r] = s[0] + at[0] * along + at[1] * up;
        slope[2 * r] = along / width[0];
        slope[2 * r + 1] = across / width[1];
    }
}

// The bin of each x, the nearest one of those beyond the edges, as an index into the tables, and whether it is inside.
extern "C" void bin(const double *x, const double *low, const double *width, const long *owner, const long *bins,
                    long *cell, bool *inside, long replicas, long variables) {
    for (long r = 0; r < replicas; r++) {
        cell[r] = owner[r];
        inside[r] = true;
        for (long k = 0; k < variables; k++) {
            double at = place(x, low, width, owner, variables, r, k);
            inside[r] = inside[r] && at >= 0 && at < bins[k];
            double nearest = std::min(std::max(std::floor(at), 0.0), double(bins[k] - 1));
            cell[r] = cell[r] * bins[k] + (nearest == nearest ? long(nearest) : 0);
        }
    }
}

// Add hits, spread by kernels whose rows (bins, bins) say what each bin gets of a unit, to S, and clear them.
extern "C" void spread(double *S, double *hits, const double *rows, const double *columns, const long *bins,
                       const long *reach, long tables, long variables) {
    const long B = bins[0], C = variables == 2 ? bins[1] : 1, across = variables == 2 ? reach[1] : 0;
    for (long t = 0; t < tables; t++)
        for (long i = 0; i < B; i++)
            for (long j = 0; j < C; j++) {
                const double hit = hits[(t * B + i) * C + j];
                if (hit == 0) continue;
                hits[(t * B + i) * C + j] = 0;
                const long left = std::max(0L, j - across), right = std::min(C, j + across + 1);
                for (long a = std::max(0L, i - reach[0]); a < std::min(B, i + reach[0] + 1); a++) {
                    const double share = hit * rows[i * B + a];
                    double *s = S + (t * B + a) * C;
                    if (variables == 1) *s += share;
                    else
                        for (long b = left; b < right; b++) s[b] += share * columns[j * C + b];
                }
            }
}

// After a test: the accepted remember where they are; the rejected go back, their momenta turned round.
extern "C" void settle(const bool *accept, real *q, real *p, double *heat, double *x, real *gradients, real *last_q,
                       real *last_p, double *last_heat, double *last_x, real *last_gradients, long replicas,
                       long dof, long variables) {
    auto copy = [](auto *to, const auto *from, long n) { std::memcpy(to, from, n * sizeof(*to)); };
    for (long r = 0; r < replicas; r++) {
        const long row = r * dof, place = r * variables;
        if (accept[r]) {
            copy(last_q + row, q + row, dof);
            copy(last_p + row, p + row, dof);
            copy(last_x + place, x + place, variables);
            last_heat[r] = heat[r];
        } else {
            for (long i = row; i < row + dof; i++) last_p[i] = -last_p[i];
            copy(q + row, last_q + row, dof);
            copy(p + row, last_p + row, dof);
            copy(x + place, last_x + place, variables);
            heat[r] = last_heat[r];
        }
        for (long k = 0; k < variables; k++) {
            const long slope = (k * replicas + r) * dof;
            if (accept[r]) copy(last_gradients + slope, gradients + slope, dof);
            else copy(gradients + slope, last_gradients + slope, dof);
        }
    }
}

// Count a test of each walker by its table: tests, accepted ones, and half of the times that it came to the other end.
extern "C" void count(const double *x, const long *owner, const bool *accept, double *side, double *tested,
                      const double *ends, long replicas, long variables, long tables) {
    for (long r = 0; r < replicas; r++) {
        const double at = x[r * variables], now = at < ends[0] ? -1 : at > ends[1] ? 1 : side[r];
        tested[owner[r]] += 1;
        tested[tables + owner[r]] += accept[r];
        tested[2 * tables + owner[r]] += now * side[r] < 0 ? 0.5 : 0;
        side[r] = now;
    }
}
