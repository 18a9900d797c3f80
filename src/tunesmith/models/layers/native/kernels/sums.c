/* Sums of products of matrices: what a layer says of its states and LoRA adds to it, and the gradient of what it read.
 *
 * A block of the right matrices' columns is packed where it is multiplied next, in the cache of the core that does it;
 * lines of the left ones are read where they lie. A sum stays in registers from its first product to its last, so what
 * LoRA adds costs no pass of its own. Each number is computed by one thread in one order, whichever thread that is and
 * whatever lies beside it. (Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication", less the
 * packing of left matrices, which takes longer here than it saves.)
 */
#include "kernels.h"

enum { TILE = 6, COLUMNS = 2 * WIDE };         /* what is summed in registers at once */
enum { PANELS = 3, DEPTH = 1056, PIECES = 8 }; /* of a packed block: columns, by COLUMNS; lines; products it is of */

/* What a block holds of a product. */
typedef struct {
    const float *left;
    size stride, depth;
} piece_t;

/* Numbers of two vectors, by their places: those of the second begin at WIDE. */
typedef int32_t order_t __attribute__((vector_size(4 * WIDE)));
#define TAKEN(a, b, ...) __builtin_shuffle(a, b, (order_t){__VA_ARGS__})

/* A square of numbers, times alpha, its lines as columns. */
static inline void turned(const float *from, size from_stride, float alpha, float *into, size into_stride) {
    wide_t a[WIDE], b[WIDE];
#pragma GCC unroll 8
    for (int i = 0; i < WIDE; i++) a[i] = *(const wide_t *)(from + i * from_stride) * alpha;
#pragma GCC unroll 4
    for (int i = 0; i < WIDE; i += 2) {
        b[i] = TAKEN(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = TAKEN(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 4
    for (int i = 0; i < WIDE / 2; i++) {
        int at = i / 2 * 4 + i % 2, to = i / 2 * 4 + i % 2 * 2;
        a[to] = TAKEN(b[at], b[at + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[to + 1] = TAKEN(b[at], b[at + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (int i = 0; i < WIDE / 2; i++) {
        wide_t *low = (wide_t *)(into + i * into_stride), *high = (wide_t *)(into + (i + WIDE / 2) * into_stride);
        *low = TAKEN(a[i], a[i + WIDE / 2], 0, 1, 2, 3, 8, 9, 10, 11);
        *high = TAKEN(a[i], a[i + WIDE / 2], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* alpha times `depth` lines of a right matrix, COLUMNS columns of it, of which `wanted` are there and others zeros. */
static void pack(const term_t *term, size from, size depth, size column, size wanted, float *packed) {
    size apart = term->right_stride, at = 0;
    float alpha = term->alpha;
    const float *right = term->right + (term->turned ? column * apart + from : from * apart + column);
    if (wanted == COLUMNS && term->turned)
        for (; at + WIDE <= depth; at += WIDE)
            for (int v = 0; v < COLUMNS; v += WIDE)
                turned(right + v * apart + at, apart, alpha, packed + at * COLUMNS + v, COLUMNS);
    else if (wanted == COLUMNS)
        for (; at < depth; at++)
            for (int v = 0; v < COLUMNS; v += WIDE)
                *(wide_t *)(packed + at * COLUMNS + v) = *(const wide_t *)(right + at * apart + v) * alpha;
    for (; at < depth; at++)
        for (size c = 0; c < COLUMNS; c++)
            packed[at * COLUMNS + c] = c < wanted ? right[term->turned ? c * apart + at : at * apart + c] * alpha : 0.f;
}

/* out[TILE, COLUMNS] = or += the sum over the pieces, for `rows` rows of the left matrices; the others are the last. */
static void tile(const piece_t *pieces, size count, size row, size rows, const float *packed, int add, float *out,
                 size out_stride) {
    wide_t sums[TILE][2];
#pragma GCC unroll 6
    for (int i = 0; i < TILE; i++) {
        __builtin_prefetch(out + i * out_stride, 1);
        sums[i][0] = sums[i][1] = (wide_t){0};
    }
    for (const piece_t *piece = pieces; piece < pieces + count; piece++) {
        const float *lines[TILE];
#pragma GCC unroll 6
        for (int i = 0; i < TILE; i++) lines[i] = piece->left + (row + smaller(i, rows - 1)) * piece->stride;
        for (size at = 0; at < piece->depth; at++, packed += COLUMNS) {
            wide_t first = *(const wide_t *)packed, second = *(const wide_t *)(packed + WIDE);
#pragma GCC unroll 6
            for (int i = 0; i < TILE; i++) {
                sums[i][0] += lines[i][at] * first;
                sums[i][1] += lines[i][at] * second;
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < 2; v++) {
            wide_t *into = (wide_t *)(out + i * out_stride + v * WIDE);
            if (add) sums[i][v] += *into;
            *into = sums[i][v];
        }
}

/* The same, for what the end of the rows or columns leaves of a tile too. */
static void corner(const piece_t *pieces, size count, size row, size rows, size wanted, const float *packed, int add,
                   float *out, size out_stride) {
    if (rows == TILE && wanted == COLUMNS) {
        tile(pieces, count, row, rows, packed, add, out, out_stride);
        return;
    }
    float whole[TILE * COLUMNS];
    tile(pieces, count, row, rows, packed, 0, whole, COLUMNS);
    for (size i = 0; i < rows; i++)
        for (size c = 0; c < wanted; c++) {
            float *into = out + i * out_stride + c;
            *into = whole[i * COLUMNS + c] + (add ? *into : 0.f);
        }
}

/* Some columns, `panels` times COLUMNS or what is left of them, of some rows. */
static void block(size from, size till, size column, size n, size panels, size count, const term_t *terms, size depth,
                  int add, float *out, size out_stride) {
    static _Thread_local float packed[PANELS * DEPTH * COLUMNS] __attribute__((aligned(64)));
    for (size term = 0, done = 0; term < count; add = 1) {
        piece_t pieces[PIECES];
        size many = 0, held = 0;
        for (; term < count && held < depth && many < PIECES; many++) {
            size taken = smaller(depth - held, terms[term].depth - done);
            pieces[many] = (piece_t){terms[term].left + done, terms[term].left_stride, taken};
            for (size p = 0; p < panels; p++) {
                size at = column + p * COLUMNS;
                pack(terms + term, done, taken, at, smaller(COLUMNS, n - at), packed + (p * DEPTH + held) * COLUMNS);
            }
            held += taken, done += taken;
            if (done == terms[term].depth) term++, done = 0;
        }
        for (size row = from; row < till; row += TILE)
            for (size p = 0; p < panels; p++) {
                size at = column + p * COLUMNS;
                corner(pieces, many, row, smaller(TILE, till - row), smaller(COLUMNS, n - at),
                       packed + p * DEPTH * COLUMNS, add, out + row * out_stride + at, out_stride);
            }
    }
}

/* out[m, n] = or += the sum of the terms; none of them is empty. */
void sum_of_products(size m, size n, size count, const term_t *terms, int add, float *out, size out_stride,
                     int threads) {
    size panels = (n + COLUMNS - 1) / COLUMNS, total = 0;
    for (size term = 0; term < count; term++) total += terms[term].depth;
    size passes = (total + DEPTH - 1) / DEPTH, depth = (total + passes - 1) / passes;
    size blocks = (panels + PANELS - 1) / PANELS, shares = (2 * threads + blocks - 1) / blocks;
    size each = (panels + blocks - 1) / blocks, rows = ((m + shares - 1) / shares + TILE - 1) / TILE * TILE;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
    for (size first = 0; first < panels; first += each)
        for (size from = 0; from < m; from += rows)
            block(from, smaller(from + rows, m), first * COLUMNS, n, smaller(each, panels - first), count, terms, depth,
                  add, out, out_stride);
}
