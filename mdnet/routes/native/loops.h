// What the written-out loops of a step call: wrapping integers, functions in vectors, replicas over threads.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__GLIBC__) && defined(__x86_64__)
extern "C" {
#define IN_VECTORS __attribute__((simd("notinbranch")))
IN_VECTORS float logf(float) noexcept;
IN_VECTORS float expf(float) noexcept;
IN_VECTORS float sinf(float) noexcept;
IN_VECTORS float cosf(float) noexcept;
IN_VECTORS double log(double) noexcept;
IN_VECTORS double exp(double) noexcept;
IN_VECTORS double sin(double) noexcept;
IN_VECTORS double cos(double) noexcept;
}
#endif

static inline int32_t wrap_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline int64_t wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int32_t shift_left(int32_t a, int n) { return (int32_t)((uint32_t)a << n); }
static inline int64_t shift_left(int64_t a, int n) { return (int64_t)((uint64_t)a << n); }

// Call body(first, count) for tiles of replicas, shared out over threads.
template <class Body>
static void in_tiles(long replicas, long tile, long threads, Body body) {
    long tiles = (replicas + tile - 1) / tile;
    threads = std::max(1L, std::min(threads, tiles));
    auto work = [&](long thread) {
        for (long k = tiles * thread / threads; k < tiles * (thread + 1) / threads; k++)
            body(k * tile, std::min(tile, replicas - k * tile));
    };
    std::vector<std::thread> others;
    for (long thread = 1; thread < threads; thread++) others.emplace_back(work, thread);
    work(0);
    for (auto &each : others) each.join();
}

// Memory for a thread's intermediate results, aligned for the widest vectors.
template <class T>
struct Scratch {
    T *at;
    explicit Scratch(size_t n) : at((T *)std::aligned_alloc(64, (n * sizeof(T) + 127) / 64 * 64)) {}
    ~Scratch() { std::free(at); }
    Scratch(const Scratch &) = delete;
};
