/* Products with matrices of few columns: LoRA's. A BLAS packs what it reads, which is most of what there is to do here.
 *
 * N tokens, D width of what is read, R columns, a multiple of WIDE. Lines are read where they lie, some at a time, and
 * what is summed up stays in registers.
 */
#include "kernels.h"

enum { TILE = 6, BLOCK = 48 }; /* lines of a tile; tokens that stay in the cache while they are read twice */

/* out[rows, vectors] = alpha lines[rows, D] table[D, vectors]. Counts are constants where it is called. */
static inline __attribute__((always_inline)) void narrow(const int rows, const int vectors, size D, float alpha,
                                                         const float *lines, size apart, const float *table, size R,
                                                         float *out, size out_stride) {
    wide_t sums[TILE][2];
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++) sums[row][v] = (wide_t){0};
    for (size at = 0; at < D; at++)
#pragma GCC unroll 6
        for (int row = 0; row < rows; row++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sums[row][v] += lines[row * apart + at] * *(const wide_t *)(table + at * R + v * WIDE);
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++) *(wide_t *)(out + row * out_stride + v * WIDE) = alpha * sums[row][v];
}

/* table[columns, vectors] += alpha lines[tokens, columns]' low[tokens, vectors]. */
static inline __attribute__((always_inline)) void gather(const int columns, const int vectors, size tokens, float alpha,
                                                         const float *lines, size apart, const float *low,
                                                         size low_stride, float *table, size R) {
    wide_t sums[TILE][2];
#pragma GCC unroll 6
    for (int column = 0; column < columns; column++)
        for (int v = 0; v < vectors; v++) sums[column][v] = (wide_t){0};
    for (size token = 0; token < tokens; token++)
#pragma GCC unroll 6
        for (int column = 0; column < columns; column++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sums[column][v] += lines[token * apart + column] * *(const wide_t *)(low + token * low_stride + v * WIDE);
#pragma GCC unroll 6
    for (int column = 0; column < columns; column++)
        for (int v = 0; v < vectors; v++) *(wide_t *)(table + column * R + v * WIDE) += alpha * sums[column][v];
}

static void narrow_all(size rows, size D, size R, float alpha, const float *lines, size apart, const float *table,
                       float *out, size out_stride) {
    for (size row = 0; row < rows;) {
        const float *read = lines + row * apart;
        size whole = rows - row >= TILE, column = 0;
        for (; R - column >= 2 * WIDE; column += 2 * WIDE)
            if (whole)
                narrow(TILE, 2, D, alpha, read, apart, table + column, R, out + row * out_stride + column, out_stride);
            else
                narrow(1, 2, D, alpha, read, apart, table + column, R, out + row * out_stride + column, out_stride);
        if (column < R && whole)
            narrow(TILE, 1, D, alpha, read, apart, table + column, R, out + row * out_stride + column, out_stride);
        else if (column < R)
            narrow(1, 1, D, alpha, read, apart, table + column, R, out + row * out_stride + column, out_stride);
        row += whole ? TILE : 1;
    }
}

static void gather_all(size tokens, size D, size R, float alpha, const float *lines, size apart, const float *low,
                       size low_stride, float *table) {
    for (size at = 0; at < D;) {
        size whole = D - at >= TILE, column = 0;
        for (; R - column >= 2 * WIDE; column += 2 * WIDE)
            if (whole)
                gather(TILE, 2, tokens, alpha, lines + at, apart, low + column, low_stride, table + at * R + column, R);
            else
                gather(1, 2, tokens, alpha, lines + at, apart, low + column, low_stride, table + at * R + column, R);
        if (column < R && whole)
            gather(TILE, 1, tokens, alpha, lines + at, apart, low + column, low_stride, table + at * R + column, R);
        else if (column < R)
            gather(1, 1, tokens, alpha, lines + at, apart, low + column, low_stride, table + at * R + column, R);
        at += whole ? TILE : 1;
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
            if (table) narrow_all(tokens, D, R, alpha, read, apart, table, out + from * out_stride, out_stride);
            if (d_table)
                gather_all(tokens, D, R, alpha, read, apart, low + from * low_stride, low_stride,
                           d_table + thread * D * R);
        }
    }
}
