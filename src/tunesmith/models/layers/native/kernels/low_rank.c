/* Products with matrices of few columns: LoRA's. A BLAS packs what it reads, which is most of what there is to do here.
 *
 * N tokens, D width of what is read, R columns, a multiple of WIDE. Lines are read where they lie, some at a time, and
 * what is summed up stays in registers.
 */
#include "kernels.h"

enum { TILE = 6, BLOCK = 48 }; /* lines of a tile; tokens that stay in the cache while they are read twice */

/* out[count, vectors] = or += alpha numbers[count, terms] table[terms, vectors]; number [i, at] lies at i * across + at *
 * along. Counts and steps of one are constants where it is called. */
static inline __attribute__((always_inline)) void tile(const int count, const int vectors, const int add, size terms,
                                                       float alpha, const float *numbers, size across, size along,
                                                       const float *table, size apart, float *out, size out_stride) {
    wide_t sums[TILE][2];
#pragma GCC unroll 6
    for (int i = 0; i < count; i++)
        for (int v = 0; v < vectors; v++) sums[i][v] = (wide_t){0};
    for (size at = 0; at < terms; at++)
#pragma GCC unroll 6
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sums[i][v] += numbers[i * across + at * along] * *(const wide_t *)(table + at * apart + v * WIDE);
#pragma GCC unroll 6
    for (int i = 0; i < count; i++)
        for (int v = 0; v < vectors; v++) {
            wide_t *into = (wide_t *)(out + i * out_stride + v * WIDE);
            *into = add ? *into + alpha * sums[i][v] : alpha * sums[i][v];
        }
}

/* The same for any count and R columns, tile by tile. */
static inline __attribute__((always_inline)) void tiles(size count, size R, const int add, size terms, float alpha,
                                                        const float *numbers, size across, size along,
                                                        const float *table, size apart, float *out, size out_stride) {
    for (size i = 0, whole; i < count; i += whole ? TILE : 1) {
        const float *read = numbers + i * across;
        float *into = out + i * out_stride;
        size column = 0;
        whole = count - i >= TILE;
        for (; R - column >= 2 * WIDE; column += 2 * WIDE)
            if (whole)
                tile(TILE, 2, add, terms, alpha, read, across, along, table + column, apart, into + column, out_stride);
            else
                tile(1, 2, add, terms, alpha, read, across, along, table + column, apart, into + column, out_stride);
        if (column < R && whole)
            tile(TILE, 1, add, terms, alpha, read, across, along, table + column, apart, into + column, out_stride);
        else if (column < R)
            tile(1, 1, add, terms, alpha, read, across, along, table + column, apart, into + column, out_stride);
    }
}

/* Two products with the same lines [N, D], each read from memory once: out[N, R] = alpha lines table[D, R], and
 * d_table[D, R] = alpha lines' low[N, R]. `table` or `d_table` is NULL where that one is not wanted; d_table
 * [threads, D, R] holds zeros, and each thread's part in the end. */
void low_rank(size N, size D, size R, float alpha, const float *lines, size apart, const float *table, float *out,
              size out_stride, const float *low, size low_stride, float *d_table, int threads) {
#pragma omp parallel num_threads(threads)
    {
        size thread = omp_get_thread_num(), count = omp_get_num_threads();
        size each = ((N + count - 1) / count + TILE - 1) / TILE * TILE;
        size from = smaller(thread * each, N), till = smaller(from + each, N);
        for (; from < till; from += BLOCK) {
            size tokens = smaller(till - from, BLOCK);
            const float *read = lines + from * apart;
            if (table) tiles(tokens, R, 0, D, alpha, read, apart, 1, table, R, out + from * out_stride, out_stride);
            if (d_table)
                tiles(D, R, 1, tokens, alpha, read, 1, apart, low + from * low_stride, low_stride,
                      d_table + thread * D * R, R);
        }
    }
}
