/* Products of matrices, shared out among threads; and of few rows, a step of decoding, without a BLAS. */
#include "kernels.h"

enum { PANEL = 12 }; /* columns at a time, of a product of few rows */

/* out[m, n] = alpha left[m, k] right[k, n] + beta out. A turned matrix is given as its transpose lies in memory. */
void product(gemm_t sgemm, int left_turned, int right_turned, size m, size n, size k, float alpha, const float *left,
             size left_stride, const float *right, size right_stride, float beta, float *out, size out_stride,
             int threads) {
    int left_how = left_turned ? TURNED : PLAIN, right_how = right_turned ? TURNED : PLAIN, by_columns = n >= m;
#pragma omp parallel num_threads(threads)
    {
        size all = by_columns ? n : m, count = omp_get_num_threads();
        size each = ((all + count - 1) / count + LANES - 1) / LANES * LANES;
        size from = smaller(omp_get_thread_num() * each, all), till = smaller(from + each, all);
        if (till > from && by_columns)
            sgemm(ROWS, left_how, right_how, m, till - from, k, alpha, left, left_stride,
                  right + from * (right_turned ? right_stride : 1), right_stride, beta, out + from, out_stride);
        else if (till > from)
            sgemm(ROWS, left_how, right_how, till - from, n, k, alpha, left + from * (left_turned ? 1 : left_stride),
                  left_stride, right, right_stride, beta, out + from * out_stride, out_stride);
    }
}

/* Products of few rows: a step of decoding, where weights are read from memory once and nothing is worth packing but
 * the rows. `WIDE` of them lie in a vector, and each weight is multiplied with one or two vectors.
 */

/* Columns of the outcome for `rows` rows, packed [k, vectors * WIDE]: `columns` are computed and the first `wanted`
 * written. Counts are constants where it is called. */
static inline __attribute__((always_inline)) void panel(const int columns, const int vectors, size rows, size wanted,
                                                        size k, float alpha, const float *packed, const float *right,
                                                        size right_stride, float beta, float *out, size out_stride) {
    wide_t sums[PANEL][2];
#pragma GCC unroll 12
    for (int column = 0; column < columns; column++)
        for (int v = 0; v < vectors; v++) sums[column][v] = (wide_t){0};
    for (size at = 0; at < k; at++) {
        const float *x = packed + at * vectors * WIDE;
#pragma GCC unroll 12
        for (int column = 0; column < columns; column++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sums[column][v] += right[column * right_stride + at] * *(const wide_t *)(x + v * WIDE);
        if (at % LANES == 0) /* a line of memory of each weight row of the next panel */
#pragma GCC unroll 12
            for (int column = 0; column < columns; column++)
                __builtin_prefetch(right + (columns + column) * right_stride + at);
    }
    float said[PANEL][2 * WIDE];
#pragma GCC unroll 12
    for (int column = 0; column < columns; column++)
        for (int v = 0; v < vectors; v++) memcpy(said[column] + v * WIDE, &sums[column][v], sizeof(wide_t));
    for (size row = 0; row < rows; row++)
        for (size column = 0; column < wanted; column++) {
            float *into = out + row * out_stride + column;
            *into = alpha * said[column][row] + (beta ? beta * *into : 0.f);
        }
}

/* out[m, n] = alpha left[m, k] right'[k, n] + beta out; `right` [n, k] as it lies. `room` holds k times PANEL numbers
 * and as many rows as there are, rounded up to WIDE. */
void product_of_few(size m, size n, size k, float alpha, const float *left, size left_stride, const float *right,
                    size right_stride, float beta, float *out, size out_stride, float *room, int threads) {
    size padded = (m + WIDE - 1) / WIDE * WIDE;
    float *last = room + padded * k;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (size at = 0; at < k; at++)
            for (size row = 0; row < padded; row++) {
                size first = row / (2 * WIDE) * 2 * WIDE, together = smaller(2 * WIDE, padded - first);
                room[first * k + at * together + row - first] = row < m ? left[row * left_stride + at] : 0.f;
            }
        size count = omp_get_num_threads(), each = ((n + count - 1) / count + PANEL - 1) / PANEL * PANEL;
        size from = smaller(omp_get_thread_num() * each, n), till = smaller(from + each, n);
        for (; from < till; from += PANEL) {
            size wanted = smaller(till - from, PANEL), apart = right_stride;
            const float *w = right + from * right_stride;
            if (wanted < PANEL) { /* what is left of the columns, as a whole panel; one thread comes here at most */
                memset(last, 0, PANEL * k * sizeof(float));
                for (size column = 0; column < wanted; column++)
                    memcpy(last + column * k, w + column * right_stride, k * sizeof(float));
                w = last, apart = k;
            }
            for (size first = 0; first < padded; first += 2 * WIDE) {
                const float *x = room + first * k;
                float *into = out + first * out_stride + from;
                size rows = smaller(m - first, 2 * WIDE), half = PANEL / 2;
                if (padded - first > WIDE) {
                    panel(PANEL / 2, 2, rows, smaller(wanted, half), k, alpha, x, w, apart, beta, into, out_stride);
                    panel(PANEL / 2, 2, rows, larger(wanted - half, 0), k, alpha, x, w + half * apart, apart, beta,
                          into + half, out_stride);
                } else
                    panel(PANEL, 1, rows, wanted, k, alpha, x, w, apart, beta, into, out_stride);
            }
        }
    }
}
