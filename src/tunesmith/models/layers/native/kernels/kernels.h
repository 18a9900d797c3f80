/* What a model on a CPU computes beside torch, in fp32 and one pass over memory each. Called from the Python files
 * of the folder above; here is what the C files have in common.
 *
 * N tokens, D width, H query heads, G key and value heads, R = H / G query heads of each of those, K head width.
 * Lines of a matrix lie `stride` numbers apart. Products are made here, or by a BLAS that is given as `sgemm` and
 * computes with one thread: threads are shared out here, in the OpenMP that torch uses, so that none waits spinning for
 * another.
 */
#pragma once

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

typedef int64_t size;
typedef void (*gemm_t)(int, int, int, size, size, size, float, const float *, size, const float *, size, float, float *,
                       size);
enum { ROWS = 101, PLAIN = 111, TURNED = 112 }; /* CBLAS's names for: row by row, as it is, transposed */
enum { LANES = 16, QUERIES = 64 };              /* sums run in so many parts; queries of a block of attention */
enum { WIDE = 8 };                              /* numbers in a vector */

typedef float wide_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

/* One product of a sum: alpha left[m, depth] right[depth, n]; a turned right matrix lies as [n, depth]. */
typedef struct {
    const float *left, *right;
    size left_stride, right_stride, depth, turned;
    float alpha;
} term_t;

void sum_of_products(size m, size n, size count, const term_t *terms, int add, float *out, size out_stride,
                     int threads);

static inline size smaller(size a, size b) { return a < b ? a : b; }
static inline size larger(size a, size b) { return a > b ? a : b; }

/* Heads of tokens: [N, heads, K]. */
typedef struct {
    const float *at;
    size token, head;
} heads_t;

static inline const float *head_of(const heads_t *heads, size token, size head) {
    return heads->at + token * heads->token + head * heads->head;
}

/* e^x to 1e-7, in a form that compilers vectorize (Cody and Waite's reduction, a polynomial of Cephes). */
static inline float exponential(float x) {
    float held = x > 88.f ? 88.f : x < -87.f ? -87.f : x; /* NaN is neither, and stays */
    float shifted = held * 1.44269504f + 12582912.f, whole = shifted - 12582912.f;
    float rest = held - whole * 0.693359375f + whole * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * rest * rest + rest + 1.f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits + 127u) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return x < -87.f ? 0.f : sum * scale;
}

/* Sums in LANES parts, which compilers may not make of a plain sum by themselves. */
#define SUM(result, count, term)                                                                                       \
    do {                                                                                                               \
        float parts_[LANES] = {0};                                                                                     \
        size i = 0;                                                                                                    \
        for (; i + LANES <= (count); i += LANES)                                                                       \
            for (int lane_ = 0; lane_ < LANES; lane_++) {                                                              \
                size at = i + lane_;                                                                                   \
                parts_[lane_] += (term);                                                                               \
            }                                                                                                          \
        float rest_ = 0;                                                                                               \
        for (; i < (count); i++) {                                                                                     \
            size at = i;                                                                                               \
            rest_ += (term);                                                                                           \
        }                                                                                                              \
        for (int lane_ = 0; lane_ < LANES; lane_++) rest_ += parts_[lane_];                                            \
        (result) = rest_;                                                                                              \
    } while (0)
