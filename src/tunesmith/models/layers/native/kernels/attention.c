/* Attention of rows that lie one after another.
 *
 * Each key head of each row is a task: its queries [R, QUERIES, K] are taken a block at a time and look at no key that
 * none of them may see. `logsum` [N, H] keeps the logarithm of each query's sum, so that the way back takes no softmax.
 */
#include "kernels.h"

static float largest(const float *x, size count) {
    float parts[LANES], found = -INFINITY;
    size i = 0;
    for (int lane = 0; lane < LANES; lane++) parts[lane] = -INFINITY;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            parts[lane] = x[i + lane] > parts[lane] ? x[i + lane] : parts[lane];
    for (; i < count; i++) found = x[i] > found ? x[i] : found;
    for (int lane = 0; lane < LANES; lane++) found = parts[lane] > found ? parts[lane] : found;
    return found;
}

/* Which rows there are, and what their queries may see. */
typedef struct {
    size rows;
    const size *starts, *lengths; /* each row's first token, and its tokens */
    size key_heads, queries_each, head;
    float scale;
    size causal, window; /* a window of w: keys less than w tokens away; 0 for none */
    size longest;
} rows_t;

/* The keys that any query from `from` to `till` may see. */
static void seen(const rows_t *rows, size length, size from, size till, size *first, size *last) {
    *first = rows->window ? larger(0, from - rows->window + 1) : 0;
    *last = rows->causal ? till : rows->window ? smaller(length, till + rows->window - 1) : length;
}

/* Scores of what a query may not see become -inf: scores [R, count, width] of queries from `from` on, keys from `first`. */
static void hide(const rows_t *rows, float *scores, size count, size width, size from, size first) {
    for (size line = 0; line < rows->queries_each * count; line++) {
        float *line_scores = scores + line * width;
        size query = from + line % count, end = first + width;
        size ahead = rows->causal ? query + 1 : rows->window ? query + rows->window : end;
        for (size key = larger(ahead, first); key < end; key++) line_scores[key - first] = -INFINITY;
        for (size key = first; rows->window && key <= query - rows->window; key++) line_scores[key - first] = -INFINITY;
    }
}

/* The R heads of `count` tokens from `token` on, one head after another. */
static void gather(const rows_t *rows, const heads_t *from, size token, size key_head, size count, float *into) {
    for (size r = 0; r < rows->queries_each; r++)
        for (size i = 0; i < count; i++)
            memcpy(into + (r * count + i) * rows->head, head_of(from, token + i, key_head * rows->queries_each + r),
                   rows->head * sizeof(float));
}

/* Puts them into [N, H, K]. */
static void scatter(const rows_t *rows, const float *from, size token, size key_head, size count, float *into) {
    size heads = rows->key_heads * rows->queries_each;
    for (size r = 0; r < rows->queries_each; r++)
        for (size i = 0; i < count; i++)
            memcpy(into + ((token + i) * heads + key_head * rows->queries_each + r) * rows->head,
                   from + (r * count + i) * rows->head, rows->head * sizeof(float));
}

/* Queries of a row, and the keys that any of them may see. */
typedef struct {
    size count, first, width;
} block_t;

/* The scores [R, count, width] of a row's queries from `from` on; what a query may not see is -inf. */
static block_t scored(gemm_t sgemm, const rows_t *rows, const heads_t *query, size start, size group, size length,
                      size from, const float *keys, size keys_apart, float *asked, float *scores) {
    size till = smaller(from + QUERIES, length), first, last;
    seen(rows, length, from, till, &first, &last);
    block_t block = {till - from, first, last - first};
    gather(rows, query, start + from, group, block.count, asked);
    sgemm(ROWS, PLAIN, TURNED, rows->queries_each * block.count, block.width, rows->head, rows->scale, asked, rows->head,
          keys + first * keys_apart, keys_apart, 0.f, scores, block.width);
    if (rows->causal || rows->window) hide(rows, scores, block.count, block.width, from, first);
    return block;
}

/* `room` holds R QUERIES (longest + 2 K) numbers for each thread. */
void attention_forward(gemm_t sgemm, const rows_t *rows, const heads_t *query, const heads_t *key, const heads_t *value,
                       float *said, float *logsum, float *room, int threads) {
    size each = rows->queries_each, K = rows->head, heads = rows->key_heads * each;
#pragma omp parallel num_threads(threads)
    {
        float *scores = room + omp_get_thread_num() * each * QUERIES * (rows->longest + 2 * K);
        float *asked = scores + each * QUERIES * rows->longest, *told = asked + each * QUERIES * K;
#pragma omp for schedule(dynamic, 1)
        for (size number = 0; number < rows->rows * rows->key_heads; number++) {
            size group = number % rows->key_heads, start = rows->starts[number / rows->key_heads];
            size length = rows->lengths[number / rows->key_heads];
            const float *keys = head_of(key, start, group), *values = head_of(value, start, group);
            for (size from = 0; from < length; from += QUERIES) {
                block_t block = scored(sgemm, rows, query, start, group, length, from, keys, key->token, asked, scores);
                size count = block.count, width = block.width, first = block.first;
                for (size line = 0; line < each * count; line++) {
                    float *weights = scores + line * width, most = largest(weights, width), sum;
                    for (size i = 0; i < width; i++) weights[i] = exponential(weights[i] - most);
                    SUM(sum, width, weights[at]);
                    for (size i = 0; i < width; i++) weights[i] /= sum;
                    logsum[(start + from + line % count) * heads + group * each + line / count] = most + logf(sum);
                }
                sgemm(ROWS, PLAIN, PLAIN, each * count, K, width, 1.f, scores, width, values + first * value->token,
                      value->token, 0.f, told, K);
                scatter(rows, told, start + from, group, count, said);
            }
        }
    }
}

/* d_key and d_value [N, G, K] hold zeros; `room` holds R QUERIES (2 longest + 4 K) numbers for each thread. */
void attention_backward(gemm_t sgemm, const rows_t *rows, const heads_t *query, const heads_t *key,
                        const heads_t *value, const heads_t *said, const heads_t *d_said, const float *logsum,
                        float *d_query, float *d_key, float *d_value, float *room, int threads) {
    size each = rows->queries_each, K = rows->head, heads = rows->key_heads * each, apart = rows->key_heads * K;
#pragma omp parallel num_threads(threads)
    {
        size lines = each * QUERIES;
        float *weights = room + omp_get_thread_num() * lines * (2 * rows->longest + 4 * K);
        float *d_scores = weights + lines * rows->longest, *asked = d_scores + lines * rows->longest;
        float *d_asked = asked + lines * K, *told = d_asked + lines * K, *d_told = told + lines * K;
#pragma omp for schedule(dynamic, 1)
        for (size number = 0; number < rows->rows * rows->key_heads; number++) {
            size group = number % rows->key_heads, start = rows->starts[number / rows->key_heads];
            size length = rows->lengths[number / rows->key_heads];
            const float *keys = head_of(key, start, group), *values = head_of(value, start, group);
            float *d_keys = d_key + start * apart + group * K, *d_values = d_value + start * apart + group * K;
            for (size from = 0; from < length; from += QUERIES) {
                block_t block = scored(sgemm, rows, query, start, group, length, from, keys, key->token, asked, weights);
                size count = block.count, width = block.width, first = block.first;
                gather(rows, said, start + from, group, count, told);
                gather(rows, d_said, start + from, group, count, d_told);
                sgemm(ROWS, PLAIN, TURNED, each * count, width, K, 1.f, d_told, K, values + first * value->token,
                      value->token, 0.f, d_scores, width);
                for (size line = 0; line < each * count; line++) {
                    /* The sum over a line of d_weights * weights is that of d_told * told. */
                    const float *t = told + line * K, *d = d_told + line * K;
                    float *w = weights + line * width, *s = d_scores + line * width, inner;
                    SUM(inner, K, t[at] * d[at]);
                    float whole = logsum[(start + from + line % count) * heads + group * each + line / count];
                    for (size i = 0; i < width; i++) {
                        w[i] = exponential(w[i] - whole);
                        s[i] = w[i] * (s[i] - inner) * rows->scale;
                    }
                }
                sgemm(ROWS, TURNED, PLAIN, width, K, each * count, 1.f, weights, width, d_told, K, 1.f,
                      d_values + first * apart, apart);
                sgemm(ROWS, PLAIN, PLAIN, each * count, K, width, 1.f, d_scores, width, keys + first * key->token,
                      key->token, 0.f, d_asked, K);
                sgemm(ROWS, TURNED, PLAIN, width, K, each * count, 1.f, d_scores, width, asked, K, 1.f,
                      d_keys + first * apart, apart);
                scatter(rows, d_asked, start + from, group, count, d_query);
            }
        }
    }
}
