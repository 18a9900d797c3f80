/* What a model on a CPU computes beside torch: products shared out among threads, attention of rows, RMSNorms,
 * gates. All in fp32, one pass over memory each. Called from the Python files beside this one.
 *
 * N tokens, D width, H query heads, G key and value heads, R = H / G query heads of each of those, K head width.
 * Lines of a matrix lie `stride` numbers apart. Products are those of a BLAS that is given as `sgemm` and computes
 * with one thread: threads are shared out here, in the OpenMP that torch uses, so that none waits spinning for another.
 */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

typedef int64_t size;
typedef void (*gemm_t)(int, int, int, size, size, size, float, const float *, size, const float *, size, float, float *,
                       size);
enum { ROWS = 101, PLAIN = 111, TURNED = 112 }; /* CBLAS's names for: row by row, as it is, transposed */
enum { LANES = 16, QUERIES = 64 };              /* sums run in so many parts; queries of a block of attention */
enum { WIDE = 8, PANEL = 12 };                  /* rows in a vector, and columns at a time, of a product of few rows */

static size smaller(size a, size b) { return a < b ? a : b; }
static size larger(size a, size b) { return a > b ? a : b; }

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
 * the rows. `WIDE` of them lie in a vector, and each weight is multiplied with one or two vectors. */
typedef float wide_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

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

/* said = silu(gate) * up, of lines of `width` numbers. */
void gate_forward(size lines, size width, const float *gate, size gate_stride, const float *up, size up_stride,
                  float *said, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size line = 0; line < lines; line++) {
        const float *g = gate + line * gate_stride, *u = up + line * up_stride;
        float *s = said + line * width;
        for (size i = 0; i < width; i++) s[i] = g[i] / (1.f + exponential(-g[i])) * u[i];
    }
}

void gate_backward(size lines, size width, const float *gate, size gate_stride, const float *up, size up_stride,
                   const float *d_said, float *d_gate, float *d_up, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size line = 0; line < lines; line++) {
        const float *g = gate + line * gate_stride, *u = up + line * up_stride, *d = d_said + line * width;
        float *dg = d_gate + line * width, *du = d_up + line * width;
        for (size i = 0; i < width; i++) {
            float sigmoid = 1.f / (1.f + exponential(-g[i])), silu = g[i] * sigmoid;
            du[i] = d[i] * silu;
            dg[i] = d[i] * u[i] * (sigmoid + silu * (1.f - sigmoid));
        }
    }
}

/* said = x / sqrt(mean(x^2) + eps) * weight; `shrunk` holds what each token was multiplied with. */
void norm_forward(size tokens, size width, float eps, const float *x, const float *weight, float *said, float *shrunk,
                  int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size token = 0; token < tokens; token++) {
        const float *in = x + token * width;
        float *out = said + token * width, squares;
        SUM(squares, width, in[at] * in[at]);
        float by = 1.f / sqrtf(squares / width + eps);
        shrunk[token] = by;
        for (size i = 0; i < width; i++) out[i] = in[i] * by * weight[i];
    }
}

/* d_weight [threads, width] holds zeros, and each thread's part in the end; NULL where it is not wanted. */
void norm_backward(size tokens, size width, const float *x, const float *weight, const float *shrunk,
                   const float *d_said, float *d_x, float *d_weight, int threads) {
#pragma omp parallel num_threads(threads)
    {
        size thread = omp_get_thread_num(), count = omp_get_num_threads();
        float *d_w = d_weight ? d_weight + thread * width : 0;
        for (size token = tokens * thread / count; token < tokens * (thread + 1) / count; token++) {
            const float *in = x + token * width, *d = d_said + token * width;
            float *out = d_x + token * width, by = shrunk[token], inner;
            SUM(inner, width, in[at] * d[at] * weight[at]);
            inner *= by * by / width;
            for (size i = 0; i < width; i++) out[i] = by * (d[i] * weight[i] - in[i] * inner);
            if (d_w)
                for (size i = 0; i < width; i++) d_w[i] += d[i] * in[i] * by;
        }
    }
}

/* Attention --------------------------------------------------------------------------------------------------------
 * Each key head of each row is a task: its queries [R, QUERIES, K] are taken a block at a time and look at no key that
 * none of them may see. `logsum` [N, H] keeps the logarithm of each query's sum, so that the way back takes no softmax.
 */

/* Which rows there are, and what their queries may see. */
typedef struct {
    size rows;
    const size *starts, *lengths; /* each row's first token, and its tokens */
    size key_heads, queries_each, head;
    float scale;
    size causal, window; /* a window of w: keys less than w tokens away; 0 for none */
    size longest;
} rows_t;

/* Heads of tokens: [N, heads, K]. */
typedef struct {
    const float *at;
    size token, head;
} heads_t;

static const float *head_of(const heads_t *heads, size token, size head) {
    return heads->at + token * heads->token + head * heads->head;
}

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
