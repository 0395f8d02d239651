// Vectors of as many numbers as the processor takes at a time, and the functions of them that networks need.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#if defined(__AVX512F__)
constexpr int REGISTER = 64;
#elif defined(__AVX__)
constexpr int REGISTER = 32;
#else
constexpr int REGISTER = 16;
#endif

typedef REAL real;
typedef std::conditional_t<sizeof(REAL) == 4, int32_t, int64_t> whole;
constexpr int LANES = REGISTER / sizeof(real);
typedef real vec __attribute__((vector_size(REGISTER), may_alias));
typedef whole mask __attribute__((vector_size(REGISTER), may_alias));

static inline vec load(const real *x) { return *(const vec *)x; }
static inline void store(real *x, vec v) { *(vec *)x = v; }
static inline vec all(real x) { return vec{} + x; }
static inline vec largest(vec a, vec b) { return a > b ? a : b; }
static inline vec bits(mask m) { return (vec)m; }

constexpr bool SINGLE = sizeof(real) == 4;
constexpr int FRACTION = SINGLE ? 23 : 52;

// e^x - 1 and e^x from x = n ln 2 + r: the series of e^r - 1 to the last bit of |r| < ln 2/2.
struct Exponential {
    vec minus_one, power;  // e^r - 1, and 2^n
};

static inline Exponential split_exponential(vec x) {
    constexpr real high = SINGLE ? 0.693145751953125 : 0.6931471803691238164902;
    constexpr real low = SINGLE ? 1.428606765330187e-06 : 1.9082149292705877e-10;
    constexpr real round = SINGLE ? 12582912.0 : 6755399441055744.0;  // 1.5 x 2^fraction: adding it rounds
    constexpr int terms = SINGLE ? 7 : 13;
    constexpr double inverse[14] = {0, 1, 1 / 2., 1 / 3., 1 / 4., 1 / 5., 1 / 6., 1 / 7., 1 / 8., 1 / 9., 1 / 10., 1 / 11., 1 / 12., 1 / 13.};
    vec shifted = x * (real)1.4426950408889634 + round;
    vec n = shifted - round;
    vec r = (x - n * high) - n * low;
    real factors[terms + 1];
    factors[1] = 1;
    for (int k = 2; k <= terms; k++) factors[k] = factors[k - 1] * inverse[k];
    vec series = all(factors[terms]);
    for (int k = terms - 1; k >= 2; k--) series = series * r + factors[k];
    mask power = ((mask)shifted << FRACTION) + (mask)all(1);
    return {series * (r * r) + r, bits(power)};
}

static inline vec exponential(vec x) {
    constexpr real bottom = SINGLE ? -87 : -708, top = SINGLE ? 88 : 709;
    x = x < bottom ? all(bottom) : x;
    x = x > top ? all(top) : x;
    Exponential e = split_exponential(x);
    return e.minus_one * e.power + e.power;
}

static inline vec hyperbolic_tangent(vec x) {  // -t/(t + 2) with t = e^{-2|x|} - 1
    constexpr real far = SINGLE ? -20 : -40;
    mask sign = (mask)x & (mask{} + std::numeric_limits<whole>::min());
    vec y = -2 * bits((mask)x ^ sign);
    y = y < far ? all(far) : y;
    Exponential e = split_exponential(y);
    vec t = e.minus_one * e.power + (e.power - 1);
    return bits((mask)(-t / (t + 2)) | sign);
}

static inline vec logistic(vec x) { return 1 / (1 + exponential(-x)); }

static inline vec logarithm(vec x) {
    for (int l = 0; l < LANES; l++) x[l] = std::log(x[l]);
    return x;
}

static inline real sum(vec v) {
    real s = 0;
    for (int l = 0; l < LANES; l++) s += v[l];
    return s;
}
