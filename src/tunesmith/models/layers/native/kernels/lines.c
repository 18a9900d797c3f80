/* What is done to the numbers of each token by themselves: gates, RMSNorms, rotations by position. */
#include "kernels.h"

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

/* Heads turned by the angles of their token: number i of a head's first half with number i of its second. `cos` and
 * `sin` [N, K]; `back` is the way back, the same with angles turned round. */
void rotate(size tokens, size heads, size width, const heads_t *from, const float *cos, const float *sin, int back,
            float *into, int threads) {
    size half = width / 2;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size token = 0; token < tokens; token++) {
        const float *c = cos + token * width, *s = sin + token * width;
        for (size head = 0; head < heads; head++) {
            const float *in = head_of(from, token, head);
            float *out = into + (token * heads + head) * width;
            if (back)
                for (size i = 0; i < half; i++) {
                    float first = in[i], second = in[half + i];
                    out[i] = first * c[i] + second * s[half + i];
                    out[half + i] = second * c[half + i] - first * s[i];
                }
            else
                for (size i = 0; i < half; i++) {
                    float first = in[i], second = in[half + i];
                    out[i] = first * c[i] - second * s[i];
                    out[half + i] = second * c[half + i] + first * s[half + i];
                }
        }
    }
}
