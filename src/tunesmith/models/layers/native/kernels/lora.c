/* LoRA's layers that read the same states: what they say, and the gradients of all that they have from it.
 *
 * N tokens, D width of what is read, O outputs of a layer, r its ranks, a multiple of WIDE, R those of all layers. A
 * BLAS packs what it reads, which is most of what there is to do with matrices of few columns. Here their lines are
 * read where they lie, some at a time, and what is summed up stays in registers.
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

/* Two products with the same lines [N, D], each read from memory once: out[N, R] = alpha lines table[D, R], unless
 * `table` is NULL, and d_table[D, R] = alpha lines' low[N, R]. `room` holds as much as d_table for each thread. */
static void low_rank(size N, size D, size R, float alpha, const float *lines, size apart, const float *table,
                     float *out, const float *low, size low_stride, float *d_table, float *room, int threads) {
#pragma omp parallel num_threads(threads)
    {
        size thread = omp_get_thread_num(), count = omp_get_num_threads(), numbers = D * R;
        size each = ((N + count - 1) / count + TILE - 1) / TILE * TILE;
        size from = smaller(thread * each, N), till = smaller(from + each, N);
        float *part = room + thread * numbers;
        memset(part, 0, numbers * sizeof(float));
        for (; from < till; from += BLOCK) {
            size tokens = smaller(till - from, BLOCK);
            const float *read = lines + from * apart;
            if (table) tiles(tokens, R, 0, D, alpha, read, apart, 1, table, R, out + from * low_stride, low_stride);
            tiles(D, R, 1, tokens, alpha, read, 1, apart, low + from * low_stride, low_stride, part, R);
        }
#pragma omp barrier
        size share = (numbers + count - 1) / count, end = smaller((thread + 1) * share, numbers);
        for (size at = smaller(thread * share, numbers); at < end; at++) {
            float sum = room[at];
            for (size other = 1; other < count; other++) sum += room[other * numbers + at];
            d_table[at] = sum;
        }
    }
}

/* A layer of those that read the same. */
typedef struct {
    const float *weight, *up; /* [O, D], [O, r] */
    float *said, *d_up;       /* [N, O], its gradient on the way back; [O, r] */
    size said_stride, outputs, ranks;
    float scale;
} layer_t;

/* low = x down', and of every layer: said = x weight' + scale low up'. */
void lora_forward(size N, size D, size R, const float *x, size x_stride, const float *down, float *low, size count,
                  const layer_t *layers, int threads) {
    term_t lowered = {x, down, x_stride, D, D, 1, 1.f};
    sum_of_products(N, R, 1, &lowered, 0, low, R, threads);
    for (const layer_t *layer = layers; layer < layers + count; low += layer->ranks, layer++) {
        term_t terms[] = {{x, layer->weight, x_stride, D, D, 1, 1.f},
                          {low, layer->up, R, layer->ranks, layer->ranks, 1, layer->scale}};
        sum_of_products(N, layer->outputs, 2, terms, 0, layer->said, layer->said_stride, threads);
    }
}

/* The gradients: of every layer's `up`, of `low` [N, R], of `down` as [D, R], and of x unless d_x [N, D] is NULL.
 * `room` holds, for each thread, as much as the largest of these matrices of few columns. */
void lora_backward(size N, size D, size R, const float *x, size x_stride, const float *down, const float *low,
                   float *d_low, float *d_down, float *d_x, size count, const layer_t *layers, float *room,
                   int threads) {
    term_t terms[count + 1];
    size at = 0;
    for (size i = 0; i < count; at += layers[i].ranks, i++) {
        const layer_t *layer = layers + i;
        terms[i] = (term_t){layer->said, layer->weight, layer->said_stride, D, layer->outputs, 0, 1.f};
        low_rank(N, layer->outputs, layer->ranks, layer->scale, layer->said, layer->said_stride, layer->up, d_low + at,
                 low + at, R, layer->d_up, room, threads);
    }
    low_rank(N, D, R, 1.f, x, x_stride, NULL, NULL, d_low, R, d_down, room, threads);
    if (d_x == NULL) return;
    terms[count] = (term_t){d_low, down, R, D, R, 0, 1.f};
    sum_of_products(N, D, count + 1, terms, 0, d_x, D, threads);
}
